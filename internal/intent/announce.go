package intent

import (
	"net/netip"

	"reconciler/internal/resource"
)

// Announced remembers since when a VIP's addresses stand on their link, or do
// not.
type Announced struct {
	Shown bool
	// Before says that they stood there at some time: only who was seen can
	// return.
	Before bool
	// Placed says that they were seen there since they are to be shown.
	Placed bool
	// Differs is since when its state wants the other; Never while it does not.
	Differs Instant
}

// Announcing is a decision on what is announced.
type Announcing struct {
	Want    *resource.Set
	Reasons map[resource.Key]string // why addresses come and go, by their keys
	Memory  map[resource.Key]Announced
	Next    Instant
}

// Announce returns want with the addresses of VIPs that are announced, on their
// links. Until the state of a VIP is known, its addresses are as they are. With
// withdraw, none is announced. memory is that of the last decision; nil for the
// first one.
func Announce(want, have *resource.Set, states map[resource.Key]VIPState, memory map[resource.Key]Announced, withdraw bool, now Instant) Announcing {
	out := Announcing{Want: want, Reasons: map[resource.Key]string{}, Memory: map[resource.Key]Announced{}, Next: Never}
	want.Each(func(k resource.Key, o resource.Object) bool {
		v, ok := o.Resource.(resource.VIP)
		if !ok || v.Announce.Link == "" {
			return true
		}
		if out.Want == want {
			out.Want = want.Clone()
		}
		stands := stand(v, have)
		m, known := memory[k]
		if !known {
			m = Announced{Shown: stands, Before: stands, Differs: Never}
		}
		m, due := m.next(v.Announce, shown(v, states[k], m.Shown, withdraw), withdraw, now)
		m.Placed = m.Placed || stands
		out.Memory[k], out.Next = m, Earliest(out.Next, due)
		out.place(have, o, m, states[k])
		return true
	})
	return out
}

// place wants the addresses of a VIP, or not, and says why where that is no
// repair.
func (a *Announcing) place(have *resource.Set, o resource.Object, m Announced, state VIPState) {
	v := o.Resource.(resource.VIP)
	for _, address := range AnnouncedAddresses(v) {
		if m.Shown {
			put(a.Want, have, address, o.Origin)
		}
		if !m.Shown || !m.Placed {
			a.Reasons[address.Key()] = "vip " + v.Name + " is " + string(state)
		}
	}
}

// put wants an address that no tree declares, as it is where it stands.
func put(out, have *resource.Set, a resource.Address, origin string) {
	if out.Has(a.Key()) {
		return
	}
	wanted := resource.Resource(a)
	if o, ok := have.Get(a.Key()); ok {
		wanted = a.Inherit(o.Resource)
	}
	out.Put(resource.Object{Resource: wanted, Origin: origin})
}

// shown is whether the addresses of a VIP are to stand on their link.
func shown(v resource.VIP, s VIPState, now, withdraw bool) bool {
	switch {
	case withdraw:
		return false
	case v.Announce.Always, s == VIPUp:
		return true
	case s == VIPUnknown:
		return now
	}
	return false
}

// next goes over to what is wanted once it has been wanted for long enough. The
// first time there is nothing to wait for.
func (m Announced) next(a resource.Announce, want, withdraw bool, now Instant) (Announced, Instant) {
	if want == m.Shown {
		m.Differs = Never
		return m, Never
	}
	wait := a.ReturnAfter
	if m.Shown {
		wait = a.WithdrawAfter
	}
	if !m.Before || withdraw {
		wait = 0
	}
	m.Differs = min(m.Differs, now)
	if due := m.Differs.Add(wait); due > now {
		return m, due
	}
	return Announced{Shown: want, Before: true, Differs: Never}, Never // not yet placed
}

// stand reports that an address of a VIP is on its link, put there by us.
func stand(v resource.VIP, have *resource.Set) bool {
	for _, a := range v.Addresses {
		if o, ok := have.Get(announced(v, a).Key()); ok && o.Owner == resource.Ours {
			return true
		}
	}
	return false
}

// AnnouncedAddresses are those that stand on the link of a VIP while it is up.
func AnnouncedAddresses(v resource.VIP) []resource.Address {
	out := make([]resource.Address, len(v.Addresses))
	for i, a := range v.Addresses {
		out[i] = announced(v, a)
	}
	return out
}

func announced(v resource.VIP, a netip.Addr) resource.Address {
	return resource.Address{Link: v.Announce.Link, Prefix: netip.PrefixFrom(a, a.BitLen()), Protocol: resource.Protocol, NoDAD: a.Is6()}
}
