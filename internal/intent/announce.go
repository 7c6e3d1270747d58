package intent

import (
	"net/netip"

	"reconciler/internal/resource"
)

// Announced remembers since when a VIP's addresses stand on their link, or do
// not.
type Announced struct {
	Shown bool
	// Differs is since when its state wants the other; Never while it does not.
	Differs Instant
}

// Announce returns want with the addresses of VIPs that are announced, on their
// links, and what to remember for the next time; nil is remembered the first
// time. Until the state of a VIP is known, its addresses are as they are. With
// withdraw, none is announced.
func Announce(want, have *resource.Set, states map[resource.Key]VIPState, was map[resource.Key]Announced, withdraw bool, now Instant,
) (*resource.Set, map[resource.Key]Announced, Instant) {
	out, next := want, Never
	memory := make(map[resource.Key]Announced)
	want.Each(func(k resource.Key, o resource.Object) bool {
		v, ok := o.Resource.(resource.VIP)
		if !ok || v.Announce.Link == "" {
			return true
		}
		if out == want {
			out = want.Clone()
		}
		stands := stand(v, have)
		m, known := was[k]
		if !known {
			m = Announced{Shown: stands, Differs: Never}
		}
		m, due := m.next(v.Announce, shown(v, states[k], m.Shown, withdraw), known || stands, withdraw, now)
		memory[k], next = m, Earliest(next, due)
		if m.Shown {
			for _, a := range v.Addresses {
				address := announced(v, a)
				if !out.Has(address.Key()) {
					out.Put(resource.Object{Resource: address, Origin: o.Origin})
				}
			}
		}
		return true
	})
	return out, memory, next
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
func (m Announced) next(a resource.Announce, want, before, withdraw bool, now Instant) (Announced, Instant) {
	if want == m.Shown {
		return Announced{Shown: m.Shown, Differs: Never}, Never
	}
	wait := a.ReturnAfter
	if m.Shown {
		wait = a.WithdrawAfter
	}
	if !before || withdraw {
		wait = 0
	}
	since := min(m.Differs, now)
	if due := since.Add(wait); due > now {
		return Announced{Shown: m.Shown, Differs: since}, due
	}
	return Announced{Shown: want, Differs: Never}, Never
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
