package lb

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"reconciler/internal/driver/netlink/wire"
)

// route is what is needed of one.
type route struct {
	link    int32
	gateway netip.Addr // not valid: the destination itself is on the link
	source  netip.Addr // not valid where the route names none
	mtu     uint32     // in bytes; 0: that of the link
	bits    int        // of the prefix
	metric  uint32
	err     error // why it leads nowhere
}

// routes looks up the routes of ways.
//
// The kernel does a lookup by rules alone: it takes no table. So a table is
// read and searched here; of several next hops the first one counts that is
// alive, and a route by type of service none.
func (l *lookup) routes(ways []way) (map[way]route, error) {
	out := make(map[way]route, len(ways))
	var asked []way
	tables := map[table][]way{}
	for _, w := range ways {
		if w.table == 0 {
			asked = append(asked, w)
		} else {
			t := table{w.table, w.to.Is4()}
			tables[t] = append(tables[t], w)
		}
	}
	if err := l.askRoutes(asked, out); err != nil {
		return nil, err
	}
	for t, ways := range tables {
		if err := l.searchTable(t, ways, out); err != nil {
			return nil, fmt.Errorf("of table %d: %w", t.number, err)
		}
	}
	return out, nil
}

func (l *lookup) askRoutes(ways []way, out map[way]route) error {
	for _, w := range ways {
		l.batch.Begin(unix.RTM_GETROUTE, 0)
		l.batch.Route(unix.RtMsg{Family: familyOf(w.to.Is4()), Dst_len: uint8(w.to.BitLen())})
		l.batch.IP(unix.RTA_DST, w.to)
		l.batch.End()
	}
	errs, err := l.ask(func(i int, m wire.Message) { out[ways[i]] = readRoute(m) })
	if err != nil {
		return err
	}
	for i, err := range errs {
		if err != nil {
			out[ways[i]] = route{err: fmt.Errorf("no route to %s: %w", ways[i].to, err)}
		}
	}
	return nil
}

type table struct {
	number uint32
	v4     bool
}

// searchTable reads a table once for all ways that go by it.
func (l *lookup) searchTable(t table, ways []way, out map[way]route) error {
	at := newPlaces(ways, func(w way) netip.Addr { return w.to })
	reset := func() {
		for _, w := range ways {
			out[w] = route{bits: -1, err: fmt.Errorf("no route to %s in table %d", w.to, t.number)}
		}
	}
	reset()
	err := l.conn.Dump(l.ctx, wire.Query{
		Type: unix.RTM_GETROUTE,
		Head: func(b *wire.Batch) {
			head := unix.RtMsg{Family: familyOf(t.v4)}
			if t.number <= 255 {
				head.Table = uint8(t.number)
			}
			b.Route(head)
			b.U32(unix.RTA_TABLE, t.number)
		},
		Reset: reset,
		See: func(m wire.Message) {
			prefix, ok := routePrefix(m)
			within := at.within(prefix)
			if !ok || len(within) == 0 {
				return
			}
			r := readRoute(m)
			for _, w := range within {
				if r.better(out[w]) {
					out[w] = r
				}
			}
		},
	})
	if wire.Is(err, unix.ENOENT) {
		return nil // no such table
	}
	return err
}

func (r route) better(than route) bool {
	return cmp.Or(cmp.Compare(than.bits, r.bits), cmp.Compare(r.metric, than.metric)) < 0
}

// routePrefix is what a route is for. One by type of service or of the
// kernel's cache is for nothing.
func routePrefix(m wire.Message) (netip.Prefix, bool) {
	h := m.Body
	if len(h) < unix.SizeofRtMsg || h[3] != 0 || h[2] != 0 || wire.U32(h[8:])&unix.RTM_F_CLONED != 0 {
		return netip.Prefix{}, false
	}
	to := netip.IPv6Unspecified()
	if h[0] == unix.AF_INET {
		to = netip.IPv4Unspecified()
	}
	for a := wire.After(h, unix.SizeofRtMsg); a.Next(); {
		if a.Type == unix.RTA_DST {
			to = wire.IP(a.Value)
		}
	}
	p := netip.PrefixFrom(to, int(h[1]))
	return p, p.IsValid()
}

// readRoute reads an RTM_NEWROUTE.
func readRoute(m wire.Message) (r route) {
	if len(m.Body) < unix.SizeofRtMsg {
		return route{err: errors.New("the kernel's answer is cut short")}
	}
	r.bits = int(m.Body[1])
	for a := wire.After(m.Body, unix.SizeofRtMsg); a.Next(); {
		switch a.Type {
		case unix.RTA_PRIORITY:
			r.metric = wire.U32(a.Value)
		case unix.RTA_PREFSRC:
			r.source = wire.IP(a.Value)
		case unix.RTA_METRICS:
			for metric := wire.Attributes(a.Value); metric.Next(); {
				if metric.Type == unix.RTAX_MTU {
					r.mtu = wire.U32(metric.Value)
				}
			}
		case unix.RTA_MULTIPATH:
			r.readHops(a.Value)
		default:
			r.readHop(a)
		}
	}
	r.err = r.fault(m.Body[7])
	return r
}

func (r *route) readHop(a wire.Attrs) {
	switch a.Type {
	case unix.RTA_OIF:
		r.link = int32(wire.U32(a.Value))
	case unix.RTA_GATEWAY:
		r.gateway = wire.IP(a.Value)
	case unix.RTA_VIA:
		r.gateway = wire.Via(a.Value)
	}
}

func (r *route) readHops(v []byte) {
	wire.NextHops(v, func(n wire.NextHop) {
		if r.link != 0 || n.Flags&(unix.RTNH_F_DEAD|unix.RTNH_F_LINKDOWN) != 0 {
			return
		}
		r.link = n.Index
		for a := n.Attrs; a.Next(); {
			r.readHop(a)
		}
	})
}

func (r *route) fault(kind uint8) error {
	switch kind {
	case unix.RTN_UNICAST:
		if r.link == 0 {
			return errors.New("the route has no next hop that is alive")
		}
		return nil
	case unix.RTN_LOCAL:
		return errors.New("the address is this host's own")
	case unix.RTN_BROADCAST, unix.RTN_MULTICAST, unix.RTN_ANYCAST:
		return errors.New("the address is not one host's")
	case unix.RTN_THROW:
		return errors.New("the route in the table says to look elsewhere")
	}
	return errors.New("the route refuses it")
}

// places finds what lies within a prefix among things that have an address.
type places[T any] struct {
	things    []T
	addressOf func(T) netip.Addr
}

func newPlaces[T any](things []T, addressOf func(T) netip.Addr) places[T] {
	p := places[T]{slices.Clone(things), addressOf}
	slices.SortFunc(p.things, func(a, b T) int { return addressOf(a).Compare(addressOf(b)) })
	return p
}

// within is what lies in a prefix: they stand side by side.
func (p places[T]) within(prefix netip.Prefix) []T {
	compare := func(t T, a netip.Addr) int { return p.addressOf(t).Compare(a) }
	first, _ := slices.BinarySearchFunc(p.things, prefix.Masked().Addr(), compare)
	end := first
	for end < len(p.things) && prefix.Contains(p.addressOf(p.things[end])) {
		end++
	}
	return p.things[first:end]
}
