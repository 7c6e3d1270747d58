package fake

import (
	"slices"

	"golang.org/x/sys/unix"

	"reconciler/internal/resource"
)

func (h *Host) createLink(l resource.Link) error {
	if l.Far {
		if h.link(l.Name).Name == "" {
			return unix.ENODEV
		}
		return h.changeLink(resource.Link{Name: l.Name, Type: l.Type}, l)
	}
	if l.Type == "" {
		return unix.ENODEV
	}
	if l.Below != "" && h.link(l.Below).Name == "" {
		return unix.ENODEV
	}
	if _, port := h.objects[resource.PortKey(l.Below)]; port && l.Type == resource.MACVLAN {
		return unix.EBUSY
	}
	if l.State == resource.Up && h.grounded(l) {
		return unix.ENETDOWN
	}
	if limited(l) {
		if err := h.suit(&l); err != nil {
			return err
		}
	}
	if l.Peer != "" {
		if h.link(l.Peer).Name != "" {
			return unix.EEXIST
		}
		h.put(resource.Link{Name: l.Peer, Type: resource.Veth, Peer: l.Name, Group: l.Group, State: resource.Down})
	}
	h.put(l)
	return nil
}

// put stores a new link with the kernel's defaults.
func (h *Host) put(l resource.Link) {
	h.index++
	l.Seen = resource.Seen{Index: h.index}
	if l.MTU == 0 {
		l.MTU = 1500
	}
	if l.State == "" {
		l.State = resource.Down
	}
	if l.MAC == (resource.MAC{}) {
		l.MAC = resource.MAC{2, 0, 0, 0, byte(h.index >> 8), byte(h.index)}
	}
	l.Description = resource.Some(l.Description.Or(""))
	l.TxQueueLen = resource.Some(l.TxQueueLen.Or(1000))
	h.store(l)
}

// store keeps what a kernel shows of a link.
func (h *Host) store(l resource.Link) {
	l.Far, l.Label, l.Match, l.Policy, l.Kept = false, "", resource.Match{}, resource.LinkPolicy{}, resource.Kept{}
	h.objects[l.Key()] = l
}

// changeLink writes what differs between was and to, as the driver does: what
// a link is by now may be another thing.
func (h *Host) changeLink(was, to resource.Link) error {
	from := h.link(to.Name)
	if to.MTU == was.MTU {
		to.MTU = 0
	}
	if to.MAC == was.MAC {
		to.MAC = resource.MAC{}
	}
	if limited(from) && to.MTU > h.link(from.Below).MTU {
		return unix.ERANGE
	}
	if to.MAC != (resource.MAC{}) {
		delete(h.stolen, to.Name)
	}
	if to.Type != from.Type || to.Peer != from.Peer || to.Below != from.Below {
		return unix.EOPNOTSUPP
	}
	next := to.Inherit(from).(resource.Link)
	next.Group = to.Group
	if from.State != next.State && next.State == resource.Up && h.grounded(next) {
		return unix.ENETDOWN
	}
	h.changed(from, next)
	if from.State != next.State {
		h.turned(next)
	}
	return nil
}

// changed stores a link and does what comes with another MTU or MAC address.
func (h *Host) changed(from, next resource.Link) {
	h.store(next)
	if from.MTU >= 1280 && next.MTU < 1280 {
		h.remove(func(r resource.Resource) bool { return on(r, next.Name) && is6(r) })
	}
	if from.MAC != next.MAC {
		h.remove(func(r resource.Resource) bool {
			n, ok := r.(resource.Neighbour)
			return ok && n.Link == next.Name && !n.Proxy
		})
	}
	for _, upper := range h.above(next.Name) {
		after := upper
		after.MTU = min(after.MTU, next.MTU)
		if h.stolen[upper.Name] && upper.State == resource.Up {
			after.MAC = next.MAC
		}
		if after.MTU != upper.MTU || after.MAC != upper.MAC {
			h.changed(upper, after)
		}
	}
}

// above lists the vlans and macvlans on a link.
func (h *Host) above(name string) []resource.Link {
	var out []resource.Link
	for _, r := range h.objects {
		if upper, ok := r.(resource.Link); ok && limited(upper) && upper.Below == name {
			out = append(out, upper)
		}
	}
	return out
}

// limited reports a link whose MTU the kernel keeps below its lower link's.
func limited(l resource.Link) bool {
	return l.Below != "" && (l.Type == resource.VLAN || l.Type == resource.MACVLAN)
}

// suit gives a new link what it takes over from its lower one.
func (h *Host) suit(l *resource.Link) error {
	below := h.link(l.Below)
	switch {
	case l.MTU == 0:
		l.MTU = below.MTU
	case l.MTU > below.MTU:
		return unix.EINVAL
	}
	if l.Type == resource.VLAN && l.MAC == (resource.MAC{}) {
		l.MAC = below.MAC
		h.stolen[l.Name] = true
	}
	return nil
}

// grounded reports a vlan above a link that is down.
func (h *Host) grounded(l resource.Link) bool {
	return l.Type == resource.VLAN && h.link(l.Below).State == resource.Down
}

// turned does what comes with a link that was taken up or down: its vlans do
// the same.
func (h *Host) turned(l resource.Link) {
	if l.State == resource.Up && h.stolen[l.Name] && l.MAC != h.link(l.Below).MAC {
		was := l
		l.MAC = h.link(l.Below).MAC
		h.changed(was, l)
	}
	for _, upper := range h.above(l.Name) {
		if upper.Type == resource.VLAN && upper.State != l.State {
			upper.State = l.State
			h.store(upper)
			h.turned(upper)
		}
	}
	if l.State == resource.Down {
		h.remove(func(r resource.Resource) bool { return on(r, l.Name) && h.downTakes(r) })
	}
}

// downTakes tells what goes with a link that is down by now.
func (h *Host) downTakes(r resource.Resource) bool {
	switch r := r.(type) {
	case resource.Address:
		return r.Prefix.Addr().Is6()
	case resource.Route:
		return !h.hasWay(r, "")
	case resource.Neighbour:
		return true
	}
	return false
}

// hasWay reports whether a route has a next hop, not on the link beside, that
// is up.
func (h *Host) hasWay(r resource.Route, beside string) bool {
	return slices.ContainsFunc(r.Hops, func(hop resource.NextHop) bool {
		return hop.Dev != beside && h.link(hop.Dev).State == resource.Up
	})
}

func is6(r resource.Resource) bool {
	switch r := r.(type) {
	case resource.Address:
		return r.Prefix.Addr().Is6()
	case resource.Route:
		return r.To.Addr().Is6()
	case resource.Neighbour:
		return r.To.Is6()
	}
	return false
}

func (h *Host) deleteLink(name string) error {
	l := h.link(name)
	if l.Type == "" {
		return unix.EOPNOTSUPP
	}
	delete(h.objects, l.Key())
	delete(h.stolen, name)
	h.remove(func(r resource.Resource) bool { return on(r, name) })
	if l.Peer != "" && h.link(l.Peer).Name != "" {
		if err := h.deleteLink(l.Peer); err != nil {
			return err
		}
	}
	for _, r := range h.objects {
		if up, ok := r.(resource.Link); ok && up.Below == name {
			if err := h.deleteLink(up.Name); err != nil {
				return err
			}
		}
	}
	return nil
}

func (h *Host) setPort(p resource.Port) error {
	link, master := h.link(p.Link), h.link(p.Master)
	switch {
	case link.Name == "" || master.Name == "":
		return unix.ENODEV
	case master.Type != resource.Bridge:
		return unix.EOPNOTSUPP
	case link.Type == resource.Bridge || link.Seen.Loopback:
		return unix.ELOOP
	case h.carriesMACVLAN(p.Link):
		return unix.EBUSY
	}
	h.objects[p.Key()] = p
	return nil
}

// carriesMACVLAN reports a link that cannot be a port: the kernel has one
// receive handler a link.
func (h *Host) carriesMACVLAN(link string) bool {
	for _, r := range h.objects {
		if l, ok := r.(resource.Link); ok && l.Type == resource.MACVLAN && l.Below == link {
			return true
		}
	}
	return false
}
