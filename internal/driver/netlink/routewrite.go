package netlink

import (
	"golang.org/x/sys/unix"

	"reconciler/internal/diff"
	"reconciler/internal/driver/netlink/wire"
	"reconciler/internal/resource"
)

// writeRoute writes the requests of a round and returns how many rounds there
// are.
func (w *writer) writeRoute(b *wire.Batch, op *diff.Op, round int) (int, error) {
	from, _ := op.From.(resource.Route)
	to, _ := op.To.(resource.Route)
	switch op.Verb {
	case diff.Create:
		return 1, w.putRoute(b, &to, creation(op))
	case diff.Update:
		return 1, w.putRoute(b, &to, unix.NLM_F_CREATE|unix.NLM_F_REPLACE)
	case diff.Replace:
		if round == 0 {
			w.deleteRoute(b, &from)
			return 2, nil
		}
		return 2, w.putRoute(b, &to, unix.NLM_F_CREATE|unix.NLM_F_EXCL)
	case diff.Delete:
		w.deleteRoute(b, &from)
	}
	return 1, nil
}

// creation tells what a new route may do to one in its place. One that was
// there when the plan was made, and that a side effect takes, may still be.
func creation(op *diff.Op) uint16 {
	if op.Owner != resource.Unowned {
		return unix.NLM_F_CREATE | unix.NLM_F_REPLACE
	}
	return unix.NLM_F_CREATE | unix.NLM_F_EXCL
}

func (w *writer) putRoute(b *wire.Batch, r *resource.Route, flags uint16) error {
	head := routeHead(r)
	head.Protocol = r.Protocol
	head.Scope = routeScope(r)
	if len(r.Hops) == 1 && r.Hops[0].Onlink {
		head.Flags |= unix.RTNH_F_ONLINK
	}
	b.Begin(unix.RTM_NEWROUTE, flags)
	writeRouteKey(b, r, head)
	if r.PrefSrc.IsValid() {
		b.IP(unix.RTA_PREFSRC, r.PrefSrc)
	}
	if r.MTU != 0 {
		nest := b.Nest(unix.RTA_METRICS)
		b.U32(unix.RTAX_MTU, r.MTU)
		b.Close(nest)
	}
	if err := w.writeHops(b, r); err != nil {
		b.Drop()
		return err
	}
	b.End()
	return nil
}

func (w *writer) writeHops(b *wire.Batch, r *resource.Route) error {
	if len(r.Hops) == 1 {
		h := r.Hops[0]
		writeVia(b, r, h)
		if h.Dev == "" {
			return nil
		}
		index, err := w.index(h.Dev)
		b.U32(unix.RTA_OIF, uint32(index))
		return err
	}
	if len(r.Hops) == 0 {
		return nil
	}
	nest := b.Nest(unix.RTA_MULTIPATH)
	for _, h := range r.Hops {
		var index int32
		if h.Dev != "" {
			var err error
			if index, err = w.index(h.Dev); err != nil {
				return err
			}
		}
		flags := uint8(0)
		if h.Onlink {
			flags = unix.RTNH_F_ONLINK
		}
		at := b.NextHop(flags, uint8(max(h.Weight, 1)-1), index)
		writeVia(b, r, h)
		b.Close(at)
	}
	b.Close(nest)
	return nil
}

func writeVia(b *wire.Batch, r *resource.Route, h resource.NextHop) {
	switch {
	case !h.Via.IsValid():
	case h.Via.Is4() == r.To.Addr().Is4():
		b.IP(unix.RTA_GATEWAY, h.Via)
	default:
		b.Via(unix.RTA_VIA, h.Via)
	}
}

// deleteRoute names our protocol, or the one that was observed, so that it
// never hits what somebody else has put in the route's place.
func (w *writer) deleteRoute(b *wire.Batch, r *resource.Route) {
	head := routeHead(r)
	head.Protocol = r.Protocol
	head.Scope = unix.RT_SCOPE_NOWHERE // any
	b.Begin(unix.RTM_DELROUTE, 0)
	writeRouteKey(b, r, head)
	b.End()
}

func routeHead(r *resource.Route) unix.RtMsg {
	return unix.RtMsg{
		Family: family(r.To.Addr().Is4()), Dst_len: uint8(r.To.Bits()), Tos: r.TOS,
		Table: tableByte(r.Table), Type: routeTypeNumber(r.Type),
	}
}

func writeRouteKey(b *wire.Batch, r *resource.Route, head unix.RtMsg) {
	b.Route(head)
	b.IP(unix.RTA_DST, r.To.Addr())
	b.U32(unix.RTA_TABLE, r.Table)
	metric := r.Metric
	if metric == 0 && r.To.Addr().Is6() {
		metric = resource.MetricIPv6
	}
	if metric != 0 {
		b.U32(unix.RTA_PRIORITY, metric)
	}
}

func routeTypeNumber(t resource.RouteType) uint8 {
	if t == "" {
		return unix.RTN_UNICAST
	}
	for i, name := range routeTypes {
		if name == t {
			return uint8(i)
		}
	}
	return unix.RTN_UNSPEC
}

// routeScope is the scope that iproute2 gives where none is named: an address
// of the host, what is on the link, or beyond it. IPv6 knows none.
func routeScope(r *resource.Route) uint8 {
	if r.To.Addr().Is6() {
		return unix.RT_SCOPE_UNIVERSE
	}
	if r.Scope != "" {
		v, _ := scopeNumber(r.Scope)
		return v
	}
	switch {
	case r.Type == resource.Local:
		return unix.RT_SCOPE_HOST
	case r.Type != resource.Unicast && r.Type != "":
		return unix.RT_SCOPE_UNIVERSE
	}
	for _, h := range r.Hops {
		if h.Via.IsValid() {
			return unix.RT_SCOPE_UNIVERSE
		}
	}
	return unix.RT_SCOPE_LINK
}
