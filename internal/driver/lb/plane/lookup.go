package plane

import (
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"reconciler/internal/driver/lb/bpf"
)

// Packet is what the program asks of one to find its backend.
type Packet struct {
	Protocol uint8
	Src, Dst netip.AddrPort // ports are 0 where there are none
	Begins   bool           // TCP: SYN without ACK
	Fragment bool
}

// Why says how a packet came to its backend, or that it has none.
type Why uint8

// The ways there are.
const (
	NotVIP      Why = iota + 1 // passes
	NotClaimed                 // passes: the address is a VIP's
	NotTold                    // dropped: a fragment of one of several services
	HasNone                    // the service has no backend
	ByRing                     // the slot did not move
	ByNewRing                  // the slot moved: a new flow, to the new owner
	ByOldRing                  // the slot moved: to its former owner
	ByTable                    // the slot moved: a flow that is known
	Unreachable                // dropped: the backend's record is not valid
)

func (w Why) String() string {
	names := []string{"", "not a VIP", "not claimed", "a fragment whose service is not told", "no backend",
		"by the ring", "a new flow of a moved slot", "to the former owner of a moved slot", "by the flow table", "no way to the backend"}
	if w >= 1 && int(w) < len(names) {
		return names[w]
	}
	return fmt.Sprintf("Why(%d)", uint8(w))
}

// Choice is where a packet goes.
type Choice struct {
	Service uint16
	Slot    uint32
	Backend uint16 // Nobody: none
	Why     Why
	Via     Why // when Unreachable: how it came to that backend
}

// Lookup chooses as the program would, were the packet to come now. It changes
// nothing.
func (p *Plane) Lookup(k Packet) (Choice, error) {
	return p.lookup(k, monotonic())
}

func (p *Plane) lookup(k Packet, now time.Duration) (Choice, error) {
	k = k.whole()
	service, why := p.claimed(k)
	if why != 0 {
		return Choice{Service: noService, Backend: Nobody, Why: why}, nil
	}
	s, err := p.Service(service)
	if err != nil {
		return Choice{}, err
	}
	f := keyOf(FlowKey{Service: service, Protocol: k.Protocol, Src: k.Src, Dst: k.Dst})
	c := Choice{Service: service, Slot: slotOf(hashFlow(f, s.Sticky), p.capacity.RingSize), Backend: Nobody, Why: HasNone}
	if s.Ring == NoRing {
		return c, nil
	}
	if err := p.own(&c, s, k, now); err != nil {
		return Choice{}, err
	}
	switch {
	case c.Backend == Nobody:
		c.Why = HasNone
	case !p.valid(c.Backend):
		c.Via, c.Why = c.Why, Unreachable
	}
	return c, nil
}

// claimed is the service that a packet is for, or why there is none.
func (p *Plane) claimed(k Packet) (uint16, Why) {
	a, at := p.findAddress(k.Dst.Addr())
	if a == nil {
		return 0, NotVIP
	}
	service := a.Any
	if ported(k.Protocol) {
		i := 0
		if k.Protocol == unix.IPPROTO_UDP {
			i = 1
		}
		service = a.Whole[i]
		if k.Fragment {
			service = a.Fragment[i]
		}
	}
	if !k.Fragment || !ported(k.Protocol) {
		if s, ok := p.findClaim(k, at); ok {
			service = s
		}
	}
	switch service {
	case noService:
		return 0, NotClaimed
	case ambiguous:
		return 0, NotTold
	}
	return service, 0
}

func (p *Plane) findAddress(addr netip.Addr) (*bpf.LBAddress, uint32) {
	w, family := wordsOf(addr)
	live := p.live()
	t, hash := p.table(live), fold(w, family)*(live|1)
	d := t.AddressDisplace[bucket(hash, addressBits)]
	at := displaced(hash, d, addressBits)
	a := &t.Addresses[at]
	if d == 0 || a.Family != family || a.Addr != w {
		return nil, 0
	}
	return a, at
}

func (p *Plane) findClaim(k Packet, at uint32) (uint16, bool) {
	live := p.live()
	t, hash := p.table(live), hashOfClaim(fold(wordsOf(k.Dst.Addr())), k.Protocol, k.Dst.Port(), live)
	d := t.ClaimDisplace[bucket(hash, claimBits)]
	word := t.Claims[displaced(hash, d, claimBits)]
	return uint16(word), d != 0 && word>>claimShift == claimOf(at, k.Protocol, k.Dst.Port())
}

// own finds the owner of a packet's slot.
func (p *Plane) own(c *Choice, s Service, k Packet, now time.Duration) (err error) {
	slot := p.Slot(s, c.Slot)
	var known *Flow
	if slot.Asks(k) {
		if known, err = p.Known(c.Service, k); err != nil {
			return err
		}
	}
	c.Backend, c.Why = slot.Choose(k, known, p.Settings().UDPIdle, now)
	return nil
}

// monotonic is the clock of the program's times.
func monotonic() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		return 0 // every Linux has it
	}
	return time.Duration(t.Nano())
}
