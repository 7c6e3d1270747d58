package netlink

import (
	"maps"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"reconciler/internal/driver/netlink/wire"
	"reconciler/internal/resource"
)

// routeTypes are the names that iproute2 gives to route types, by number.
var routeTypes = [...]resource.RouteType{
	unix.RTN_UNSPEC: "unspec", unix.RTN_UNICAST: resource.Unicast, unix.RTN_LOCAL: resource.Local,
	unix.RTN_BROADCAST: "broadcast", unix.RTN_ANYCAST: "anycast", unix.RTN_MULTICAST: "multicast",
	unix.RTN_BLACKHOLE: resource.Blackhole, unix.RTN_UNREACHABLE: resource.Unreachable,
	unix.RTN_PROHIBIT: resource.Prohibit, unix.RTN_THROW: resource.Throw, unix.RTN_NAT: "nat", unix.RTN_XRESOLVE: "xresolve",
}

// routeFilter bounds a dump; zero is any.
type routeFilter struct {
	family   uint8
	table    uint32
	protocol uint8
	link     int32 // of any next hop
}

// hints are dumps that found declared routes of others at the last look.
type hints map[routeFilter]bool

// routes reads our own routes by a filter of the kernel, those of links whose
// list is exact, then those declared routes that are not among them; or all
// routes where the query asks for that.
func (l *look) routes() error {
	links, known := l.exactLinks()
	if l.allRoutes() || !known {
		for _, family := range families {
			if err := l.dumpRoutes(routeFilter{family: family}, nil); err != nil {
				return err
			}
		}
		return nil
	}
	for _, family := range families {
		if err := l.dumpRoutes(routeFilter{family: family, protocol: resource.Protocol}, nil); err != nil {
			return err
		}
	}
	if err := l.exactRoutes(links); err != nil {
		return err
	}
	return l.declaredRoutes()
}

// exactRoutes reads the routes of links on which there may be no others than
// the declared ones.
func (l *look) exactRoutes(links []int32) error {
	for _, link := range links {
		for _, family := range families {
			err := l.dumpRoutes(routeFilter{family: family, link: link}, nil)
			if err != nil && !wire.Is(err, unix.ENODEV) { // gone by now
				return err
			}
		}
	}
	return nil
}

// exactLinks are the links whose list of routes is exact. They are known where
// they are wanted by a name; what a match selects is not decided here.
func (l *look) exactLinks() (links []int32, known bool) {
	for _, want := range l.d.exact.of(l.q.Want) {
		index, found := l.names.byName[want.Name]
		switch {
		case !want.Match.IsZero() || !found && want.Type == "":
			return nil, false
		case found:
			links = append(links, index)
		}
	}
	slices.Sort(links) // what was read is compared in order
	return links, true
}

// allRoutes reports whether routes are asked for that are neither ours nor
// declared: those of a link or an address that is about to change.
func (l *look) allRoutes() bool {
	if l.q.All {
		return true
	}
	for _, k := range l.q.Around {
		if k.Driver == resource.Netlink && (k.Kind == resource.KindLink || k.Kind == resource.KindAddress || k.Kind == resource.KindPort) {
			return true
		}
	}
	return false
}

// declaredRoutes looks for the declared routes, and those that are about to
// change, that were not found among ours.
func (l *look) declaredRoutes() error {
	l.recall()
	l.missing = l.missingRoutes()
	missing := maps.Clone(l.missing)
	for filter := range l.d.hints {
		if len(missing) == 0 {
			break
		}
		if err := l.dumpRoutes(filter, missing); err != nil {
			return err
		}
	}
	l.d.hints = hints{}
	tables := map[routeFilter]bool{}
	for _, r := range missing {
		tables[routeFilter{family: family(r.To.Addr().Is4()), table: r.Table}] = true
	}
	for filter := range tables {
		if err := l.dumpRoutes(filter, missing); err != nil {
			return err
		}
	}
	return nil
}

func (l *look) missingRoutes() map[resource.Key]resource.Route {
	if l.last != nil {
		return l.last.missing
	}
	missing := map[resource.Key]resource.Route{}
	have := l.gather()
	l.q.Want.Each(func(k resource.Key, o resource.Object) bool {
		if k.Kind == resource.KindRoute && !have.Has(k) {
			if r, ok := o.Resource.(resource.Route); ok {
				missing[k] = r
			}
		}
		return true
	})
	return missing
}

// dumpRoutes reads the routes that a filter lets through. With only, those that
// are in it.
func (l *look) dumpRoutes(f routeFilter, only map[resource.Key]resource.Route) error {
	var found []resource.Key
	back := l.mark()
	err := l.d.dump(l.ctx, wire.Query{
		Type:  unix.RTM_GETROUTE,
		Head:  f.write,
		Reset: func() { back(); found = nil },
		See: func(m wire.Message) {
			r, ok := l.readRoute(m)
			if !ok || !f.lets(r) {
				return
			}
			if only != nil {
				k := r.Key()
				if _, ok := only[k]; !ok {
					return
				}
				found = append(found, k)
				l.d.hints[routeFilter{family: f.family, table: r.Table, protocol: r.Protocol}] = true
			}
			owner, origin := ownerOf(r.Protocol)
			l.add(r, owner, origin)
		},
	})
	for _, k := range found {
		delete(only, k)
	}
	if wire.Is(err, unix.ENOENT) {
		return nil // no such table
	}
	return err
}

func (f routeFilter) write(b *wire.Batch) {
	head := unix.RtMsg{Family: f.family, Protocol: f.protocol, Table: tableByte(f.table)}
	b.Route(head)
	if f.table != 0 {
		b.U32(unix.RTA_TABLE, f.table)
	}
	if f.link != 0 {
		b.U32(unix.RTA_OIF, uint32(f.link))
	}
}

func (f routeFilter) lets(r resource.Route) bool {
	return (f.protocol == 0 || f.protocol == r.Protocol) && (f.table == 0 || f.table == r.Table)
}

// tableByte is a table for a field of one byte; larger ones go by attribute.
func tableByte(table uint32) uint8 {
	if table > 255 {
		return unix.RT_TABLE_UNSPEC
	}
	return uint8(table)
}

// readRoute reads an RTM_NEWROUTE or RTM_DELROUTE. Entries of the kernel's
// cache are none, nor are routes for some sources only, which no declared route
// can stand for.
func (l *look) readRoute(m wire.Message) (resource.Route, bool) {
	if len(m.Body) < unix.SizeofRtMsg || m.Type != unix.RTM_NEWROUTE && m.Type != unix.RTM_DELROUTE {
		return resource.Route{}, false
	}
	h := m.Body
	flags := wire.U32(h[8:])
	is4 := h[0] == unix.AF_INET
	if flags&unix.RTM_F_CLONED != 0 || h[2] != 0 || !is4 && h[0] != unix.AF_INET6 {
		return resource.Route{}, false
	}
	r := resource.Route{Table: uint32(h[4]), TOS: h[3], Protocol: h[5], Scope: scopeName(h[6]), Type: routeType(h[7])}
	dst := netip.IPv6Unspecified()
	if is4 {
		dst = netip.IPv4Unspecified()
	}
	one := resource.NextHop{Weight: 1, Onlink: flags&unix.RTNH_F_ONLINK != 0}
	first := len(l.hops)
	for a := wire.After(h, unix.SizeofRtMsg); a.Next(); {
		switch a.Type {
		case unix.RTA_DST:
			dst = wire.IP(a.Value)
		case unix.RTA_TABLE:
			r.Table = wire.U32(a.Value)
		case unix.RTA_PRIORITY:
			r.Metric = wire.U32(a.Value)
		case unix.RTA_PREFSRC:
			r.PrefSrc = wire.IP(a.Value)
		case unix.RTA_METRICS:
			readMetrics(&r, a.Value)
		case unix.RTA_MULTIPATH:
			l.readHops(&r, a.Value)
		default:
			l.readHop(&r, &one, a)
		}
	}
	r.To = netip.PrefixFrom(dst, int(h[1]))
	r.Hops = l.takeHops(first, r.Type, one)
	return r, r.To.IsValid() && dst.Is4() == is4
}

func routeType(v uint8) resource.RouteType {
	if int(v) < len(routeTypes) {
		return routeTypes[v]
	}
	return resource.RouteType(number(v))
}

func (l *look) readHop(r *resource.Route, hop *resource.NextHop, a wire.Attrs) {
	switch a.Type {
	case unix.RTA_GATEWAY:
		hop.Via = wire.IP(a.Value)
	case unix.RTA_VIA:
		hop.Via = wire.Via(a.Value)
	case unix.RTA_OIF:
		hop.Dev = l.names.byIndex[int32(wire.U32(a.Value))]
	default:
		readRouteOther(r, a.Type, a.Value)
	}
}

func (l *look) readHops(r *resource.Route, v []byte) {
	wire.NextHops(v, func(n wire.NextHop) {
		hop := resource.NextHop{
			Dev: l.names.byIndex[n.Index], Weight: uint16(n.Hops) + 1, Onlink: n.Flags&unix.RTNH_F_ONLINK != 0,
		}
		for a := n.Attrs; a.Next(); {
			if a.Type != unix.RTA_OIF {
				l.readHop(r, &hop, a)
			}
		}
		l.hops = append(l.hops, hop)
	})
}

// hopChunk is how many next hops share one allocation.
const hopChunk = 1024

// takeHops cuts the next hops of one route off the shared memory. A route that
// discards has none, though the kernel shows lo for it.
func (l *look) takeHops(first int, kind resource.RouteType, one resource.NextHop) []resource.NextHop {
	switch {
	case kind == resource.Blackhole || kind == resource.Unreachable || kind == resource.Prohibit || kind == resource.Throw:
		l.hops = l.hops[:first]
		return nil
	case len(l.hops) == first && one.Dev == "" && !one.Via.IsValid():
		return nil
	case len(l.hops) == first:
		l.hops = append(l.hops, one)
	}
	hops := l.hops[first:len(l.hops):len(l.hops)]
	if cap(l.hops)-len(l.hops) < 1 {
		l.hops = make([]resource.NextHop, 0, hopChunk)
	}
	return hops
}
