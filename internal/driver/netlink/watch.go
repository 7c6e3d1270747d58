package netlink

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"reconciler/internal/driver/netlink/wire"
	"reconciler/internal/resource"
)

// watchGroups are the multicast groups of what this driver owns.
const watchGroups = 1<<(unix.RTNLGRP_LINK-1) | 1<<(unix.RTNLGRP_NEIGH-1) |
	1<<(unix.RTNLGRP_IPV4_IFADDR-1) | 1<<(unix.RTNLGRP_IPV6_IFADDR-1) |
	1<<(unix.RTNLGRP_IPV4_ROUTE-1) | 1<<(unix.RTNLGRP_IPV6_ROUTE-1) |
	1<<(unix.RTNLGRP_IPV4_RULE-1) | 1<<(unix.RTNLGRP_IPV6_RULE-1)

// maxKeys is how many keys are told one by one; more ask for a full look.
const maxKeys = 1024

// Watch hears of changes until the context ends. The names of links, and
// which neighbours are kept, are read once and then follow the events.
func (d *Driver) Watch(ctx context.Context, changed func(...resource.Key)) error {
	if err := d.watch(ctx, changed); err != nil && ctx.Err() == nil {
		return fmt.Errorf("watch netlink: %w", err)
	}
	return nil
}

func (d *Driver) watch(ctx context.Context, changed func(...resource.Key)) (err error) {
	var events *wire.Ear
	nsErr := d.ns.within(func() { events, err = wire.Hear(watchGroups) })
	if err := errors.Join(nsErr, err); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, events.Close()) }()
	e := &ears{d: d, ctx: ctx, changed: changed, keys: map[resource.Key]bool{}}
	if err := e.learn(); err != nil {
		return err
	}
	return events.Listen(ctx, e.hear, e.overrun, e.tell)
}

// ears is one Watch at work.
type ears struct {
	d       *Driver
	ctx     context.Context
	changed func(...resource.Key)
	look    look // for the names of links
	kept    map[entry]bool
	keys    map[resource.Key]bool
	lost    bool
}

// entry is the place of a neighbour, whatever its link is called.
type entry struct {
	link  int32
	to    netip.Addr
	proxy bool
}

// learn reads the names of the links, and which neighbours are kept, over a
// socket of its own.
func (e *ears) learn() error {
	conn, err := e.d.dial()
	if err != nil {
		return err
	}
	e.look.names = newNames(0)
	err = conn.Dump(e.ctx, wire.Query{
		Type: unix.RTM_GETLINK,
		Head: headLinks,
		See: func(m wire.Message) {
			if r, ok := readLink(m); ok {
				e.look.names.add(r.Link)
			}
		},
	})
	e.kept = map[entry]bool{}
	for _, head := range neighbourTables {
		err = errors.Join(err, conn.Dump(e.ctx, wire.Query{
			Type: unix.RTM_GETNEIGH,
			Head: func(b *wire.Batch) { b.Neighbour(head) },
			See:  func(m wire.Message) { _, _ = e.hearNeighbour(m) },
		}))
	}
	return errors.Join(err, conn.Close())
}

func (e *ears) overrun() { e.lost = true }

// tell passes on what was heard since the last time.
func (e *ears) tell() {
	switch {
	case e.lost:
		if err := e.learn(); err != nil {
			e.d.cfg.Log.Warn("cannot read links", "error", err)
		}
		e.changed()
	case len(e.keys) > 0:
		keys := make([]resource.Key, 0, len(e.keys))
		for k := range e.keys {
			keys = append(keys, k)
		}
		e.changed(keys...)
	}
	e.lost = false
	clear(e.keys)
}

func (e *ears) hear(m wire.Message) {
	switch {
	case e.lost:
	case len(e.keys) >= maxKeys:
		e.lost = true
	default:
		e.note(m)
	}
}

func (e *ears) note(m wire.Message) {
	switch m.Type {
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		e.noteLink(m)
	case unix.RTM_NEWADDR, unix.RTM_DELADDR:
		if a, _, ok := readAddress(m, e.look.names.byIndex); ok {
			e.keys[a.Key()] = true
		}
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		if r, ok := e.look.readRoute(m); ok {
			e.keys[r.Key()] = true
		}
		e.look.hops = e.look.hops[:0]
	case unix.RTM_NEWRULE, unix.RTM_DELRULE:
		if r, ok := readRule(m); ok {
			e.keys[r.Key()] = true
		}
	case unix.RTM_NEWNEIGH, unix.RTM_DELNEIGH:
		if n, ok := e.hearNeighbour(m); ok {
			e.keys[n.Key()] = true
		}
	}
}

// hearNeighbour returns an entry that is kept, or was until now. Of the others,
// which come and go with the traffic, nobody need hear.
func (e *ears) hearNeighbour(m wire.Message) (resource.Neighbour, bool) {
	n, kept := readNeighbour(m, e.look.names.byIndex)
	if !n.To.IsValid() {
		return n, false
	}
	at := entry{int32(wire.U32(m.Body[4:])), n.To, n.Proxy}
	was := e.kept[at]
	if kept && m.Type == unix.RTM_NEWNEIGH {
		e.kept[at] = true
	} else {
		delete(e.kept, at)
	}
	return n, kept || was
}

// noteLink notes a link and its place in a bridge, by its old name too.
func (e *ears) noteLink(m wire.Message) {
	r, ok := readLink(m)
	if !ok {
		return
	}
	names := e.look.names
	if old := names.byIndex[r.Seen.Index]; old != "" && old != r.Name {
		e.keys[resource.LinkKey(old)] = true
		delete(names.byName, old)
	}
	e.keys[resource.LinkKey(r.Name)] = true
	e.keys[resource.PortKey(r.Name)] = true
	if m.Type == unix.RTM_NEWLINK {
		names.add(r.Link)
		return
	}
	delete(names.byIndex, r.Seen.Index)
	delete(names.byName, r.Name)
	delete(names.groups, r.Seen.Index)
}
