package lb

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"reconciler/internal/driver/netlink/wire"
	"reconciler/internal/observed"
	"reconciler/internal/resource"
)

// readBack is how often the maps are looked at: no event tells that they were
// changed.
const readBack = time.Second

// watchGroups are the multicast groups of what next hops follow from.
const watchGroups = 1<<(unix.RTNLGRP_LINK-1) | 1<<(unix.RTNLGRP_NEIGH-1) |
	1<<(unix.RTNLGRP_IPV4_IFADDR-1) | 1<<(unix.RTNLGRP_IPV6_IFADDR-1) |
	1<<(unix.RTNLGRP_IPV4_ROUTE-1) | 1<<(unix.RTNLGRP_IPV6_ROUTE-1) |
	1<<(unix.RTNLGRP_IPV4_RULE-1) | 1<<(unix.RTNLGRP_IPV6_RULE-1)

// Watch hears of changes on the ways of backends, and looks at the maps each
// second.
func (d *Driver) Watch(ctx context.Context, changed func(...resource.Key)) (err error) {
	events, err := wire.Hear(watchGroups)
	if err != nil {
		return fmt.Errorf("watch next hops: %w", err)
	}
	defer func() { err = errors.Join(err, events.Close()) }()
	e := &ears{d: d, changed: changed, keys: map[resource.Key]bool{}, met: map[neighbour]resource.MAC{}}
	events.Idle = readBack
	settled := func() {
		e.tell()
		if time.Since(e.looked) >= readBack {
			e.looked = time.Now()
			if keys := d.recheck(ctx); len(keys) > 0 {
				changed(keys...)
			}
		}
	}
	if err := events.Listen(ctx, e.hear, func() { e.lost = true }, settled); err != nil {
		return fmt.Errorf("watch next hops: %w", err)
	}
	return nil
}

// recheck lists what of the maps differs from the last look. Next hops are for
// events to tell. It is told again until somebody has looked.
func (d *Driver) recheck(ctx context.Context) []resource.Key {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.last.hops == nil {
		return nil
	}
	p, damage, err := d.open()
	if err != nil || p == nil {
		return []resource.Key{resource.BalancerKey()}
	}
	now, err := d.sum(p, damage)
	if err != nil || now.same(d.last.sums) {
		return nil
	}
	seen := d.seen
	state, err := d.read(ctx, p, damage, d.last.hops, false)
	d.seen = seen
	if err != nil {
		return []resource.Key{resource.BalancerKey()}
	}
	return differingKeys(d.last.state, state)
}

func differingKeys(a, b observed.State) (keys []resource.Key) {
	a.Objects.Each(func(k resource.Key, o resource.Object) bool {
		if other, ok := b.Objects.Get(k); !ok || !o.Same(other) {
			keys = append(keys, k)
		}
		return true
	})
	b.Objects.Each(func(k resource.Key, _ resource.Object) bool {
		if !a.Objects.Has(k) {
			keys = append(keys, k)
		}
		return true
	})
	return keys
}

// ears is one Watch at work.
type ears struct {
	d       *Driver
	changed func(...resource.Key)
	keys    map[resource.Key]bool
	lost    bool
	looked  time.Time
	met     map[neighbour]resource.MAC // what was heard of them last

	// The backends at the last look, and how to find them.
	seen    []seenBackend
	byAddr  places[seenBackend]
	byNext  places[seenBackend]
	byEntry map[neighbour][]seenBackend
}

// learn takes the backends of the last look, where there was one since.
func (e *ears) learn() {
	e.d.mu.Lock()
	seen := e.d.seen
	e.d.mu.Unlock()
	if len(seen) == len(e.seen) && (len(seen) == 0 || &seen[0] == &e.seen[0]) {
		return
	}
	e.seen = seen
	e.byAddr = newPlaces(seen, func(s seenBackend) netip.Addr { return s.way.to })
	e.byNext = newPlaces(seen, func(s seenBackend) netip.Addr { return s.hop.next.addr })
	e.byEntry = map[neighbour][]seenBackend{}
	met := e.met
	e.met = map[neighbour]resource.MAC{}
	for _, s := range seen {
		e.byEntry[s.hop.next] = append(e.byEntry[s.hop.next], s)
		e.met[s.hop.next] = s.hop.dst
		if m, heard := met[s.hop.next]; heard && m != s.hop.dst {
			e.keys[s.key] = true // while that look went on
		}
	}
}

// tell passes on what was heard since the last time.
func (e *ears) tell() {
	switch {
	case e.lost:
		e.changed()
	case len(e.keys) > 0:
		e.changed(slices.Collect(maps.Keys(e.keys))...)
	}
	e.lost = false
	clear(e.keys)
}

func (e *ears) hear(m wire.Message) {
	if e.lost {
		return
	}
	e.learn()
	switch m.Type {
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		if len(m.Body) >= unix.SizeofIfInfomsg {
			e.hearLink(int32(wire.U32(m.Body[4:])))
		}
	case unix.RTM_NEWADDR, unix.RTM_DELADDR:
		if len(m.Body) >= unix.SizeofIfAddrmsg {
			e.hearLink(int32(wire.U32(m.Body[4:])))
		}
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		e.hearRoute(m)
	case unix.RTM_NEWRULE, unix.RTM_DELRULE:
		e.note(e.seen, func(s seenBackend) bool { return s.way.table == 0 })
	case unix.RTM_NEWNEIGH, unix.RTM_DELNEIGH:
		if entry, ok := readEntry(m); ok {
			e.hearNeighbour(m.Type, entry)
		}
	}
}

func (e *ears) note(some []seenBackend, is func(seenBackend) bool) {
	for _, s := range some {
		if is(s) {
			e.keys[s.key] = true
		}
	}
}

// hearLink notes who goes by a link, and who has no way.
func (e *ears) hearLink(index int32) {
	e.note(e.seen, func(s seenBackend) bool {
		return s.hop.why != nil || s.hop.next.link == index || s.hop.index == uint32(index)
	})
}

// hearRoute notes those whom a route may lead to, or to whose gateway. A routing
// daemon's other routes are nobody's business here.
func (e *ears) hearRoute(m wire.Message) {
	prefix, ok := routePrefix(m)
	if !ok {
		return
	}
	number := uint32(m.Body[4])
	for a := wire.After(m.Body, unix.SizeofRtMsg); a.Next(); {
		if a.Type == unix.RTA_TABLE {
			number = wire.U32(a.Value)
		}
	}
	concerns := func(s seenBackend) bool { return s.way.table == 0 || s.way.table == number }
	e.note(e.byAddr.within(prefix), concerns)
	e.note(e.byNext.within(prefix), concerns)
}

// hearNeighbour notes those behind a neighbour whose address is another now, or
// that has not answered. One that goes on failing says nothing new.
func (e *ears) hearNeighbour(kind uint16, n entry) {
	behind := e.byEntry[n.neighbour]
	if len(behind) == 0 {
		return
	}
	is := resource.MAC{}
	if kind == unix.RTM_NEWNEIGH && n.state&usable != 0 {
		is = n.mac
	}
	silent := kind == unix.RTM_NEWNEIGH && e.d.heard(n)
	if is != e.met[n.neighbour] || kind == unix.RTM_DELNEIGH || silent {
		e.note(behind, func(seenBackend) bool { return true })
	}
	e.met[n.neighbour] = is
}

// heard remembers who has not answered, until it does: the kernel asks again at once,
// and to who looks then it is being asked as at first. It reports whether
// that is news.
func (d *Driver) heard(n entry) (news bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	was := d.silent[n.neighbour]
	switch {
	case n.state&unix.NUD_FAILED != 0:
		d.silent[n.neighbour] = true
		return !was
	case n.state&usable != 0:
		delete(d.silent, n.neighbour)
	}
	return false
}
