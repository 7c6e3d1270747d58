package lb

import (
	"fmt"
	"math"

	"golang.org/x/sys/unix"

	"reconciler/internal/driver/lb/plane"
	"reconciler/internal/resource"
)

func encapOf(e plane.Encap) resource.Encap {
	if e == plane.L2DSR {
		return resource.L2DSR
	}
	return resource.IPIP
}

func planeEncap(e resource.Encap) plane.Encap {
	if e == resource.L2DSR {
		return plane.L2DSR
	}
	return plane.Tunnel
}

// seenBackend is a backend with its way, for who hears of changes on it.
type seenBackend struct {
	key resource.Key
	way way
	hop hop
}

// readBackends reads the backends, and holds their records against the way
// that there is.
func (l *reading) readBackends() {
	l.d.seen = l.d.seen[:0:0]
	for i, name := range l.names {
		if name == "" {
			continue
		}
		named := l.backends[i]
		r := resource.Backend{
			Name: named.Name, Address: named.Address, Encap: encapOf(named.Encap), Table: named.Table, State: resource.HealthState(named.Label),
		}
		h := l.hops[wayOf(r)]
		is, err := l.Backend(uint16(i))
		if err != nil {
			continue // the index is one of the map's
		}
		r.Seen = seenOf(uint16(i), is, h)
		r.Seen.Damage, r.Seen.Moved = l.d.damage(l.Plane, uint16(i), is, record(named, is, h), h)
		if l.backendCounters != nil {
			r.Seen.Packets, r.Seen.Bytes = l.backendCounters[i].Packets, l.backendCounters[i].Bytes
		}
		l.put(r)
		l.d.seen = append(l.d.seen, seenBackend{r.Key(), wayOf(r), h})
	}
}

func seenOf(i uint16, is plane.Backend, h hop) resource.BackendSeen {
	s := resource.BackendSeen{Index: i}
	if !is.Valid {
		return s
	}
	s.Link, s.VLAN, s.MAC, s.MTU = h.link, is.Next.VLAN, is.Next.DstMAC, uint32(is.Next.MTU)
	if is.Next.Ifindex != h.index {
		s.Link = fmt.Sprintf("link %d", is.Next.Ifindex)
	}
	s.Source = is.Next.Source
	return s
}

// record is what the record of a backend is to be. While its next hop is being
// asked it stays as it is: by the old way some packets may get there, by none
// none.
func record(named, is plane.Backend, h hop) plane.Backend {
	r := named
	r.Valid, r.Next = false, plane.Next{}
	switch {
	case h.answers():
		r.Valid, r.Next = true, plane.Next{
			Ifindex: h.index, VLAN: h.vlan, SrcMAC: h.src, DstMAC: h.dst, MTU: uint16(min(h.mtu, math.MaxUint16)), Source: h.source,
		}
	case h.why == nil && !h.failed() && is.Valid:
		r.Valid, r.Next = true, is.Next
	}
	return r
}

// damage tells how a record differs from the way there is, and whether that is
// another now.
func (d *Driver) damage(p *plane.Plane, i uint16, is, want plane.Backend, h hop) (damage []string, moved bool) {
	say := func(format string, args ...any) { damage = append(damage, fmt.Sprintf(format, args...)) }
	switch {
	case is.Valid && h.why != nil:
		say("%v", h.why)
	case is.Valid && !want.Valid:
		say("%s on %s does not answer", h.next.addr, h.link)
	case !is.Valid && want.Valid:
		say("next hop none -> %s on %s", h.dst, h.link)
	case is.Valid && h.answers():
		damage = differences(is.Next, want.Next, h)
	}
	moved = len(damage) > 0
	if !moved && !p.Holds(i, want) {
		say("the record is not as it was written")
	}
	if h.why == nil && d.uncared(h) {
		say("the kernel does not keep %s on %s fresh", h.next.addr, h.link)
	}
	return damage, moved
}

// uncared reports a neighbour that the kernel is to be asked for.
func (d *Driver) uncared(h hop) bool {
	if d.unmanaged {
		return h.state == 0 || h.state == unix.NUD_NONE
	}
	return !h.managed
}

// differences are what a record has otherwise than the way.
func differences(is, want plane.Next, h hop) (out []string) {
	say := func(what string, a, b any) { out = append(out, fmt.Sprintf("%s %v -> %v", what, a, b)) }
	if is.Ifindex != want.Ifindex {
		say("link", is.Ifindex, fmt.Sprintf("%d (%s)", want.Ifindex, h.link))
	}
	if is.VLAN != want.VLAN {
		say("vlan", is.VLAN, want.VLAN)
	}
	if is.DstMAC != want.DstMAC {
		say("mac", resource.MAC(is.DstMAC), resource.MAC(want.DstMAC))
	}
	if is.SrcMAC != want.SrcMAC {
		say("source mac", resource.MAC(is.SrcMAC), resource.MAC(want.SrcMAC))
	}
	if is.MTU != want.MTU {
		say("mtu", is.MTU, want.MTU)
	}
	if is.Source != want.Source {
		say("source", is.Source, want.Source)
	}
	return out
}
