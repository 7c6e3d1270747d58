package doctor

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"reconciler/internal/resource"
)

// probe is a SYN to a VIP by one backend.
type probe struct {
	backend resource.Backend
	link    resource.Link // that it leaves by
	outer   netip.Addr    // source of the tunnel
	flow    flow
}

// flow is what the backend is to see.
type flow struct{ src, dst netip.AddrPort }

const (
	rounds   = 3
	patience = 300 * time.Millisecond // a round
)

// Probe sends each backend in the ring a SYN to the VIP, as the balancer would,
// and waits for what comes back to this host, a second at most. The kernel of
// this host resets what is accepted. It is nil where the VIP has no TCP.
func Probe(f Facts) (map[string]Answer, error) {
	out := map[string]Answer{}
	probes := f.probes(out)
	if len(probes) == 0 {
		if len(out) == 0 {
			return nil, nil
		}
		return out, nil
	}
	proto := htons(unix.ETH_P_IP)
	if f.VIP.Family == resource.IPv6 {
		proto = htons(unix.ETH_P_IPV6)
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, int(proto))
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	for range rounds {
		for _, p := range probes {
			if out[p.backend.Key().Name] != Silent {
				continue
			}
			if err := p.send(); err != nil {
				return nil, fmt.Errorf("send to %s: %w", p.backend.Key().Name, err)
			}
		}
		if err := await(fd, probes, out); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// probes are one for each backend that can be reached, noted as silent so far;
// the others are noted as not sent.
func (f Facts) probes(out map[string]Answer) (probes []probe) {
	port, ok := f.tcpPort()
	if !ok || len(f.VIP.Addresses) == 0 {
		return nil
	}
	base := 32768 + rand.IntN(20000)
	for i, b := range f.serving() {
		own := f.own(b)
		link, known := f.link(b.Seen.Link)
		p := probe{backend: b, link: link, outer: f.outerSource(b)}
		out[b.Key().Name] = Unsent
		if !own.IsValid() || !known || b.Encap != resource.L2DSR && !p.outer.IsValid() {
			continue
		}
		out[b.Key().Name] = Silent
		p.flow = flow{netip.AddrPortFrom(own, uint16(base+i%8192)), netip.AddrPortFrom(f.VIP.Addresses[0], port)}
		probes = append(probes, p)
	}
	return probes
}

// tcpPort is a port of TCP that the VIP answers for.
func (f Facts) tcpPort() (uint16, bool) {
	for _, p := range f.VIP.Ports {
		if p.Protocol == "tcp" {
			if p.Number == 0 {
				return 80, true
			}
			return p.Number, true
		}
	}
	return 80, len(f.VIP.Ports) == 0
}

// own is an address of this host that a backend can answer: best one in its
// network, or else one of the link that leads there.
func (f Facts) own(b resource.Backend) (own netip.Addr) {
	vips := map[netip.Addr]bool{}
	for _, v := range all[resource.VIP](f) {
		for _, a := range v.Addresses {
			vips[a] = true
		}
	}
	best := 0
	for _, at := range all[resource.Address](f) {
		a := at.Prefix.Addr()
		if resource.FamilyOf(a) != f.VIP.Family || vips[a] || a.IsLoopback() || a.IsLinkLocalUnicast() {
			continue
		}
		if n := f.nearness(at, b); n > best {
			own, best = a, n
		}
	}
	return own
}

// nearness ranks addresses of this host as a backend may know them.
func (f Facts) nearness(at resource.Address, b resource.Backend) int {
	over, _ := f.link(at.Link)
	switch {
	case at.Network().Contains(b.Address):
		return 4
	case b.Seen.Link != "" && (at.Link == b.Seen.Link || over.Below == b.Seen.Link):
		return 3
	case !over.Seen.Loopback:
		return 2
	}
	return 1
}

// outerSource is one of the addresses that tunnels to a backend come from.
func (f Facts) outerSource(b resource.Backend) netip.Addr {
	o, _ := f.Have.Get(resource.BalancerKey())
	lb, _ := o.Resource.(resource.Balancer)
	p := lb.Source4
	if b.Address.Is6() {
		p = lb.Source6
	}
	switch {
	case !p.IsValid():
		return b.Seen.Source
	case p.IsSingleIP():
		return p.Addr()
	}
	return p.Masked().Addr().Next() // the first one may be a network's
}

func htons(n uint16) uint16 { return n<<8 | n>>8 }

// send sends the frame that the balancer would.
func (p probe) send() error {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	to := &unix.SockaddrLinklayer{Ifindex: int(p.link.Seen.Index), Halen: 6}
	copy(to.Addr[:], p.backend.Seen.MAC[:])
	return os.NewSyscallError("sendto", unix.Sendto(fd, p.frame(), 0, to))
}

// await notes what comes back, until all have answered or the round is over.
func await(fd int, probes []probe, out map[string]Answer) error {
	buf := make([]byte, 2048)
	for end := time.Now().Add(patience); ; {
		left := time.Until(end)
		if left <= 0 || complete(out) {
			return nil
		}
		t := unix.NsecToTimeval(int64(left))
		if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &t); err != nil {
			return os.NewSyscallError("setsockopt", err)
		}
		n, _, err := unix.Recvfrom(fd, buf, 0)
		switch err {
		case nil:
			note(buf[:n], probes, out)
		case unix.EAGAIN, unix.EINTR:
		default:
			return os.NewSyscallError("recvfrom", err)
		}
	}
}

func complete(out map[string]Answer) bool {
	for _, a := range out {
		if a == Silent {
			return false
		}
	}
	return true
}

func note(packet []byte, probes []probe, out map[string]Answer) {
	back, flags, ok := parse(packet)
	if !ok {
		return
	}
	for _, p := range probes {
		name := p.backend.Key().Name
		switch {
		case back.src != p.flow.dst || back.dst != p.flow.src || out[name] == Accepted:
		case flags&(flagSYN|flagACK) == flagSYN|flagACK:
			out[name] = Accepted
		case flags&flagRST != 0:
			out[name] = Refused
		}
	}
}
