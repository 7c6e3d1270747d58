package plane

import (
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// Slot is one slot of a ring, and what it was before.
type Slot struct {
	Owner  uint16        // Nobody: none
	Moved  bool          // it had another owner lately
	Former uint16        // in the ring of before; Nobody where no window is open
	Opened time.Duration // CLOCK_MONOTONIC: when slots moved last
}

// SlotOf is the number of the slot that a packet falls into.
func SlotOf(k Packet, sticky bool, ringSize uint32) uint32 {
	k = k.whole()
	return slotOf(hashFlow(keyOf(FlowKey{Protocol: k.Protocol, Src: k.Src, Dst: k.Dst}), sticky), ringSize)
}

// whole is the packet without the ports that it has not.
func (k Packet) whole() Packet {
	if k.Fragment || !ported(k.Protocol) {
		k.Src, k.Dst = netip.AddrPortFrom(k.Src.Addr(), 0), netip.AddrPortFrom(k.Dst.Addr(), 0)
	}
	return k
}

// tcp reports a packet that tells whether it begins a flow.
func (k Packet) tcp() bool { return k.Protocol == unix.IPPROTO_TCP && !k.Fragment }

// Slot reads one of a service's ring.
func (p *Plane) Slot(s Service, i uint32) Slot {
	if uint32(s.Ring) >= p.capacity.Rings || i >= p.capacity.RingSize {
		return Slot{Owner: Nobody, Former: Nobody}
	}
	is := p.rings.at(int(s.Ring)).Slots[i]
	out := Slot{Owner: is &^ Moved, Moved: is&Moved != 0, Former: Nobody, Opened: s.Opened}
	if s.Open() && uint32(s.Previous) < p.capacity.Rings {
		out.Former = p.rings.at(int(s.Previous)).Slots[i] &^ Moved
	}
	return out
}

// Asks reports that a packet's flow is looked for in the table of flows.
func (s Slot) Asks(k Packet) bool { return s.Moved && (!k.tcp() || !k.Begins) }

// Choose follows the rules of flow.h. known is the packet's flow in the table;
// nil for none.
func (s Slot) Choose(k Packet, known *Flow, idle, now time.Duration) (backend uint16, why Why) {
	switch {
	case !s.Moved:
		return s.Owner, ByRing
	case !s.Asks(k):
		return s.Owner, ByNewRing
	case known != nil && (k.tcp() || now < known.Seen+idle):
		return known.Backend, ByTable
	case s.Former != Nobody && (k.tcp() || now < s.Opened+idle):
		return s.Former, ByOldRing
	}
	return s.Owner, ByNewRing
}

// Known is the flow of a packet in the table; nil if there is none.
func (p *Plane) Known(service uint16, k Packet) (*Flow, error) {
	k = k.whole()
	f, ok, err := p.Flow(FlowKey{Service: service, Protocol: k.Protocol, Src: k.Src, Dst: k.Dst})
	if err != nil || !ok {
		return nil, err
	}
	return &f, nil
}
