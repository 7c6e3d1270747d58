package resource

import "slices"

// Disturbs lists what the kernel takes along: everything on a link that is
// removed or replaced, and the links above it; neighbours, the routes with no
// other way and global IPv6 addresses of one that is taken down, and of the
// vlans that go down with it; IPv6 below its least MTU of 1280; neighbours when
// the MAC address changes; and the same on the links that inherit these.
func (l Link) Disturbs(to Resource, have View) []Key {
	next, ok := to.(Link)
	switch {
	case !ok || next.Replaces(l):
		return l.stack(have)
	}
	var keys []Key
	if l.State == Up && next.State == Down {
		keys = l.lostDown(have)
	}
	for _, h := range append(l.Heirs(next, have), Heir{l, next}) {
		keys = append(keys, h.From.lost(have, func(r Resource) bool { return h.From.lostWith(h.To, r) })...)
	}
	slices.SortFunc(keys, Key.Compare)
	return slices.Compact(keys)
}

// Heir is a link that a change of its lower one changes.
type Heir struct{ From, To Link }

// Heirs lists the links above, however far, to which the kernel passes a change
// of MTU or MAC address on.
func (l Link) Heirs(next Link, have View) []Heir {
	if next.MTU >= l.MTU && next.MAC == l.MAC {
		return nil
	}
	var out []Heir
	for _, o := range have.On(l.Name) {
		upper, ok := o.Resource.(Link)
		if !ok {
			continue
		}
		if to := upper.inheriting(l, next); to.MTU != upper.MTU || to.MAC != upper.MAC {
			out = append(append(out, Heir{upper, to}), upper.Heirs(to, have)...)
		}
	}
	return out
}

// LimitedBelow reports a link whose MTU is never above that of its lower one.
func (l Link) LimitedBelow() bool {
	return (l.Type == VLAN || l.Type == MACVLAN) && l.Below != ""
}

// inheriting is a link after a change of its lower one. That a vlan was not
// given its MAC address but has it from there cannot be seen: one that is the
// same is taken for such. One that is down takes it when it comes up.
func (l Link) inheriting(from, to Link) Link {
	if !l.LimitedBelow() {
		return l
	}
	if to.MTU != 0 {
		l.MTU = min(l.MTU, to.MTU)
	}
	if l.MAC == from.MAC && l.TakesMAC() && l.State == Up {
		l.MAC = to.MAC
	}
	return l
}

// TakesMAC reports a link that is made with the MAC address of its lower one.
func (l Link) TakesMAC() bool {
	return l.Type == VLAN || l.Type == MACVLAN && l.Mode == "passthru"
}

// Follows reports a link that goes up and down with its lower one, whatever it
// was told before.
func (l Link) Follows() bool { return l.Type == VLAN && l.Below != "" && !l.Seen.LooseBinding }

// Following lists the links above that go with a change of its state: all that
// follow, however far above, and have not got that state, in no order.
func (l Link) Following(to Admin, have View) []Link {
	var out []Link
	for _, o := range have.On(l.Name) {
		if upper, ok := o.Resource.(Link); ok && upper.Follows() && upper.State != to {
			out = append(append(out, upper), upper.Following(to, have)...)
		}
	}
	return out
}

// lostDown lists what is lost when the link goes down, and others with it.
func (l Link) lostDown(have View) []Key {
	links := append([]Link{l}, l.Following(Down, have)...)
	down := make([]string, len(links))
	for i := range links {
		down[i] = links[i].Name
	}
	var keys []Key
	for _, gone := range links {
		keys = append(keys, gone.lost(have, func(r Resource) bool { return gone.lostOnDown(r, down, have) })...)
	}
	return keys
}

// lostWith tells what goes when MTU or MAC address change.
func (l Link) lostWith(next Link, r Resource) bool {
	if l.MTU >= minIPv6MTU && next.MTU < minIPv6MTU && isIPv6(r) {
		return true
	}
	n, ok := r.(Neighbour)
	return ok && !n.Proxy && l.MAC != next.MAC
}

// lostOnDown tells what goes when the link goes down, with all others that do:
// the kernel keeps the routes that still have a way.
func (l Link) lostOnDown(r Resource, down []string, have View) bool {
	switch r := r.(type) {
	case Address:
		return r.Prefix.Addr().Is6() && !l.Seen.KeepAddrOnDown
	case Route:
		return !r.hasWayBeside(down, have)
	case Neighbour:
		return true
	}
	return false
}

const minIPv6MTU = 1280 // RFC 8200, section 5

func (l Link) lost(have View, takes func(Resource) bool) []Key {
	var keys []Key
	for k, o := range have.On(l.Name) {
		if takes(o.Resource) {
			keys = append(keys, k)
		}
	}
	return keys
}

// stack lists what goes with a link: what stands on it, its peer and the links
// above, with what stands on those.
func (l Link) stack(have View) []Key {
	var keys []Key
	gone := map[string]bool{l.Name: true}
	for todo := []Link{l}; len(todo) > 0; todo = todo[1:] {
		next := l.peerOf(todo[0], have)
		for k, o := range have.On(todo[0].Name) {
			if upper, ok := o.Resource.(Link); ok {
				next = append(next, upper)
			} else {
				keys = append(keys, k)
			}
		}
		for _, n := range next {
			if !gone[n.Name] {
				gone[n.Name] = true
				keys = append(keys, n.Key())
				todo = append(todo, n)
			}
		}
	}
	slices.SortFunc(keys, Key.Compare)
	return slices.Compact(keys)
}

func (Link) peerOf(l Link, have View) []Link {
	if l.Peer == "" {
		return nil
	}
	o, _ := have.Get(LinkKey(l.Peer))
	if peer, ok := o.Resource.(Link); ok {
		return []Link{peer}
	}
	return nil
}
