package fake

import (
	"net/netip"

	"golang.org/x/sys/unix"

	"reconciler/internal/resource"
)

func (h *Host) createAddress(a resource.Address) error {
	l := h.link(a.Link)
	switch {
	case l.Name == "":
		return unix.ENODEV
	case a.Prefix.Addr().Is6() && l.MTU < 1280:
		return unix.EINVAL
	}
	a.Secondary = false
	for _, b := range h.addresses(a.Link) {
		if a.Prefix.Addr().Is4() && !b.Secondary && b.Network() == a.Network() {
			a.Secondary = true
		}
	}
	if a.Scope == "" {
		a.Scope = "global"
	}
	a.Adopt, a.NoDAD = false, false
	h.objects[a.Key()] = a
	return nil
}

func (h *Host) addresses(link string) []resource.Address {
	var out []resource.Address
	for _, r := range h.objects {
		if a, ok := r.(resource.Address); ok && (link == "" || a.Link == link) {
			out = append(out, a)
		}
	}
	return out
}

func (h *Host) deleteAddress(a resource.Address) {
	a, ok := h.objects[a.Key()].(resource.Address)
	if !ok {
		return
	}
	h.dropAddress(a)
	if a.Prefix.Addr().Is6() {
		return
	}
	if !a.Secondary {
		for _, b := range h.addresses(a.Link) {
			if b.Secondary && b.Network() == a.Network() {
				h.dropAddress(b)
			}
		}
	}
	for _, b := range h.addresses(a.Link) {
		if b.Prefix.Addr().Is4() {
			return
		}
	}
	h.remove(func(r resource.Resource) bool {
		switch r := r.(type) {
		case resource.Route:
			return on(r, a.Link) && r.To.Addr().Is4() && !h.hasWay(r, a.Link)
		case resource.Neighbour:
			return r.Link == a.Link && r.To.Is4()
		}
		return false
	})
}

// dropAddress removes an address and the routes that have it as their source.
func (h *Host) dropAddress(a resource.Address) {
	delete(h.objects, a.Key())
	h.remove(func(r resource.Resource) bool {
		route, ok := r.(resource.Route)
		return ok && route.PrefSrc == a.Prefix.Addr() && route.To.Addr().Is4() && route.Table == resource.MainTable
	})
}

// setRoute makes or replaces a route, if its ways can be gone.
func (h *Host) setRoute(r resource.Route) error {
	if r.PrefSrc.IsValid() && !h.isLocal(r.PrefSrc) {
		return unix.EINVAL
	}
	for _, hop := range r.Hops {
		l := h.link(hop.Dev)
		switch {
		case l.Name == "":
			return unix.ENODEV
		case l.State != resource.Up:
			return unix.ENETDOWN
		case hop.Via.IsValid() && !hop.Onlink && !h.reaches(hop):
			return unix.ENETUNREACH
		}
	}
	r.Adopt = false
	h.objects[r.Key()] = r
	return nil
}

func (h *Host) isLocal(addr netip.Addr) bool {
	for _, a := range h.addresses("") {
		if a.Prefix.Addr() == addr {
			return true
		}
	}
	return false
}

func (h *Host) reaches(hop resource.NextHop) bool {
	for _, a := range h.addresses(hop.Dev) {
		if a.Network().Contains(hop.Via) {
			return true
		}
	}
	return false
}
