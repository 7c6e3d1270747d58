package plane

import (
	"fmt"
	"net/netip"
	"sync/atomic"

	"reconciler/internal/driver/lb/bpf"
)

// Encap is how packets reach a backend.
type Encap uint8

// The ways there are. A tunnel is IPIP, 4in6, 6in4 or IP6IP6, as the families
// of packet and backend need.
const (
	Tunnel Encap = iota + 1
	L2DSR
)

func (e Encap) String() string {
	switch e {
	case Tunnel:
		return "ipip"
	case L2DSR:
		return "l2dsr"
	}
	return fmt.Sprintf("Encap(%d)", uint8(e))
}

// Next is the next hop on the way to a backend.
type Next struct {
	Ifindex        uint32 // where frames leave: never a VLAN's link, but the one below it
	VLAN           uint16 // id, and priority in the upper bits; 0: no tag
	SrcMAC, DstMAC [6]byte
	MTU            uint16     // of the way out, without the Ethernet header
	Source         netip.Addr // of tunnels, where settings have no prefix; not valid: none
}

// Backend is one that rings can name by its index.
type Backend struct {
	Valid   bool // the next hop is known; what comes while it is not is dropped, and counted
	Address netip.Addr
	Encap   Encap
	Table   uint32 // of routes, by which the next hop was found; the program does not ask
	Next    Next

	Name, Label string // at most 64 bytes each
}

const (
	flagValid = 1 << iota
	flagTagged
	flagPlain
	flagOuter6
)

// Backend reads one. An index that was never written is the zero value.
func (p *Plane) Backend(i uint16) (Backend, error) {
	if uint32(i) >= p.capacity.Backends {
		return Backend{}, fmt.Errorf("backend %d: there is room for %d", i, p.capacity.Backends)
	}
	return backendOf(&p.shared.Backends[i], p.hosts.at(int(i))), nil
}

// Backends reads all, by their index; those never written are the zero value.
func (p *Plane) Backends() []Backend {
	all := make([]Backend, p.capacity.Backends)
	for i := range all {
		if host := p.hosts.at(i); host.Encap != 0 || p.shared.Backends[i].Flags != 0 {
			all[i] = backendOf(&p.shared.Backends[i], host)
		}
	}
	return all
}

// backendOf reads a record as the program does; its address is that of the
// tunnel, if there is one.
func backendOf(r *bpf.LBBackend, host *bpf.LBBackendName) Backend {
	b := Backend{Valid: r.Flags&flagValid != 0, Encap: Encap(host.Encap), Table: host.Table, Name: text(&host.Name), Label: text(&host.Label)}
	if host.Family != 0 {
		b.Address = addressOf(host.Addr, host.Family)
	}
	if b.Valid {
		b.Encap = Tunnel
		if r.Flags&flagPlain != 0 {
			b.Encap = L2DSR
		} else if r.Flags&flagOuter6 != 0 {
			b.Address = addressOf(r.Addr, 6)
		} else {
			b.Address = addressOf(r.Addr, 4)
		}
	}
	b.Next = Next{Ifindex: r.Ifindex, DstMAC: [6]byte(r.Ether[:6]), SrcMAC: [6]byte(r.Ether[6:12]), MTU: r.Mtu}
	if r.Source != [4]uint32{} {
		b.Next.Source = addressOf(r.Source, outerFamily(r))
	}
	if r.Flags&flagTagged != 0 {
		b.Next.VLAN = uint16(r.Ether[14])<<8 | uint16(r.Ether[15])
	}
	return b
}

// SetBackend writes what differs of one. A packet that leaves while a next hop
// changes may have the old address in a frame for the new link; no other can.
func (p *Plane) SetBackend(i uint16, b Backend) error {
	if uint32(i) >= p.capacity.Backends {
		return fmt.Errorf("backend %d: there is room for %d", i, p.capacity.Backends)
	}
	next, host, err := b.records()
	if err != nil {
		return fmt.Errorf("backend %d: %w", i, err)
	}
	if *p.hosts.at(int(i)) != host {
		*p.hosts.at(int(i)) = host
	}
	kernel, want := words(&p.shared.Backends[i]), words(&next)
	if was := &p.shared.Backends[i]; !b.Valid || was.Addr != next.Addr || was.Flags != next.Flags {
		off := *was
		off.Flags = 0
		store(&kernel[flagsWord], words(&off)[flagsWord])
	}
	for n, w := range want {
		if n != flagsWord {
			store(&kernel[n], w)
		}
	}
	store(&kernel[flagsWord], want[flagsWord])
	return nil
}

// flagsWord is the word of a record that says whether it is valid.
const flagsWord = 2

func (b Backend) records() (bpf.LBBackend, bpf.LBBackendName, error) {
	host := bpf.LBBackendName{Encap: uint8(b.Encap), Table: b.Table}
	if b.Address.IsValid() {
		host.Addr, host.Family = wordsOf(b.Address)
	}
	if err := setText(&host.Name, b.Name); err != nil {
		return bpf.LBBackend{}, host, err
	}
	if err := setText(&host.Label, b.Label); err != nil {
		return bpf.LBBackend{}, host, err
	}
	if b.Valid && (!b.Address.IsValid() || b.Address.Is4In6() || b.Encap != Tunnel && b.Encap != L2DSR || b.Next.Ifindex == 0 || b.Next.MTU < minMTU) {
		return bpf.LBBackend{}, host, fmt.Errorf("%+v cannot be valid", b)
	}
	return b.record(), host, nil
}

const minMTU = 68 // RFC 791

func (b Backend) record() bpf.LBBackend {
	r := bpf.LBBackend{Ifindex: b.Next.Ifindex, Mtu: b.Next.MTU}
	copy(r.Ether[:], b.Next.DstMAC[:])
	copy(r.Ether[6:], b.Next.SrcMAC[:])
	if b.Valid {
		r.Flags |= flagValid
	}
	if b.Next.VLAN != 0 {
		r.Flags |= flagTagged
		copy(r.Ether[12:], []byte{0x81, 0, byte(b.Next.VLAN >> 8), byte(b.Next.VLAN)})
	}
	if b.Encap == L2DSR {
		r.Flags |= flagPlain
		return r
	}
	if !b.Address.IsValid() {
		return r
	}
	r.Addr, _ = wordsOf(b.Address)
	if b.Next.Source.IsValid() {
		r.Source, _ = wordsOf(b.Next.Source)
	}
	if b.Address.Is6() {
		r.Flags |= flagOuter6
		return r
	}
	dontFragment := uint32(native.Uint16([]byte{0x40, 0}))
	r.Sum = r.Addr[0]&0xffff + r.Addr[0]>>16 + dontFragment
	return r
}

func outerFamily(r *bpf.LBBackend) uint8 {
	if r.Flags&flagOuter6 != 0 {
		return 6
	}
	return 4
}

// valid tells whether packets can leave to a backend.
func (p *Plane) valid(i uint16) bool {
	return uint32(i) < p.capacity.Backends && atomic.LoadUint64(&words(&p.shared.Backends[i])[flagsWord])>>48&flagValid != 0
}
