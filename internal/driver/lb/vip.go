package lb

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"reconciler/internal/driver/lb/plane"
	"reconciler/internal/resource"
)

// stale is the label of a service that may have flows in the table of a time
// that is over. Nobody must find them when the next one begins.
const stale = "flows to forget"

// readVIPs reads the services and their drains.
func (l *reading) readVIPs() {
	for _, c := range l.claims {
		if int(c.Service) >= len(l.services) || l.services[c.Service].Name == "" {
			l.ghosts++
		}
	}
	for _, c := range l.Lost(l.claims) {
		l.lost[c.Service] = append(l.lost[c.Service], c)
	}
	for name, i := range l.vips {
		l.readVIP(name, i)
	}
}

func (l *reading) readVIP(name string, i uint16) {
	s := l.services[i]
	v := resource.VIP{Sticky: s.Sticky, NoBackend: resource.NoBackend(s.NoBackend.String())}
	at := strings.LastIndexByte(name, '/')
	v.Name, v.Family = name[:max(at, 0)], resource.Family(name[at+1:])
	ring := l.judge(s.Ring, s.Open())
	v.Shares = ring.shares
	v.Seen = resource.VIPSeen{Index: i, Ring: s.Ring, Checksum: ring.checksum, Draining: ring.leaving}
	v.Seen.Damage = append(slices.Clone(ring.damage), l.readClaims(&v, i)...)
	if s.Label == stale {
		v.Seen.Damage = append(v.Seen.Damage, "flows of a drain that is over are still known")
	}
	if l.vipCounters != nil {
		c := l.vipCounters[i]
		v.Seen.Packets, v.Seen.Bytes, v.Seen.NewFlows, v.Seen.NoBackend, v.Seen.TooBig = c.Packets, c.Bytes, c.Flows, c.NoBackend, c.TooBig
	}
	l.put(v)
	if s.Open() {
		l.put(l.drain(name, i, ring))
	}
}

// readClaims reads what a service answers for. It is each of its ports on each
// of its addresses, or it is damaged.
func (l *reading) readClaims(v *resource.VIP, i uint16) (damage []string) {
	claims := l.claimed[i]
	wild := 0
	for _, c := range claims {
		if !slices.Contains(v.Addresses, c.Address) {
			v.Addresses = append(v.Addresses, c.Address)
		}
		p := portOf(c)
		if c.Protocol == 0 {
			wild++
		} else if !slices.Contains(v.Ports, p) {
			v.Ports = append(v.Ports, p)
		}
	}
	slices.SortFunc(v.Addresses, netip.Addr.Compare)
	slices.SortFunc(v.Ports, comparePorts)
	all := len(v.Addresses) * max(1, len(v.Ports))
	switch {
	case wild > 0 && len(v.Ports) > 0:
		damage = append(damage, "of some addresses it has all packets, of others those of ports")
	case len(claims) != all:
		damage = append(damage, fmt.Sprintf("%d of %d entries of the VIP table are there", len(claims), all))
	}
	for _, c := range l.lost[i] {
		damage = append(damage, fmt.Sprintf("the VIP table does not lead to it for %s %s", c.Address, portOf(c)))
	}
	return damage
}

func comparePorts(a, b resource.ServicePort) int {
	return cmp.Or(strings.Compare(a.Protocol, b.Protocol), cmp.Compare(a.Number, b.Number))
}

func portOf(c plane.Claim) resource.ServicePort {
	protocol := map[uint8]string{0: "any", unix.IPPROTO_TCP: "tcp", unix.IPPROTO_UDP: "udp"}[c.Protocol]
	if protocol == "" {
		protocol = fmt.Sprint(c.Protocol)
	}
	return resource.ServicePort{Protocol: protocol, Number: c.Port}
}

// claimsOf are the entries of the VIP table that a VIP wants.
func claimsOf(v resource.VIP, service uint16) []plane.Claim {
	var out []plane.Claim
	for _, a := range v.Addresses {
		if len(v.Ports) == 0 {
			out = append(out, plane.Claim{Address: a, Service: service})
		}
		for _, p := range v.Ports {
			c := plane.Claim{Address: a, Protocol: unix.IPPROTO_TCP, Port: p.Number, Service: service}
			if p.Protocol == "udp" {
				c.Protocol = unix.IPPROTO_UDP
			}
			out = append(out, c)
		}
	}
	return out
}

func noBackendOf(n resource.NoBackend) plane.NoBackend {
	switch n {
	case resource.NoBackendPass:
		return plane.Pass
	case resource.NoBackendReject:
		return plane.Reject
	}
	return plane.Drop
}
