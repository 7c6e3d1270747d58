package lb

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"reconciler/internal/diff"
	"reconciler/internal/driver/lb/plane"
	"reconciler/internal/resource"
)

// putBackends writes the records of the backends that are made or changed,
// after one look at all their ways.
func (c *change) putBackends() error {
	var ways []way
	c.each(resource.KindBackend, false, func(op diff.Op) error {
		ways = append(ways, wayOf(op.To.(resource.Backend)))
		return nil
	})
	c.each(resource.KindBackend, true, func(diff.Op) error { c.ways = true; return nil })
	if len(ways) == 0 {
		return nil
	}
	hops, err := c.d.meet(c.ctx, ways)
	if err != nil {
		c.failKind(resource.KindBackend, fmt.Errorf("look up next hops: %w", err))
		return nil // rings can change
	}
	c.each(resource.KindBackend, false, func(op diff.Op) error {
		to := op.To.(resource.Backend)
		return c.putBackend(to, hops[wayOf(to)])
	})
	return nil
}

// A neighbour on a wire answers within a millisecond or two. What does not
// within this time is told by an event, when it does.
const (
	meetPatience = 100 * time.Millisecond
	meetAgain    = 2 * time.Millisecond
)

// meet looks up next hops, has the kernel ask for the neighbours that it does
// not know, and waits a moment for their answers: so what is made now serves
// now. For those that were asked before nobody waits: a change of a ring may be
// what takes them out.
func (d *Driver) meet(ctx context.Context, ways []way) (map[way]hop, error) {
	hops, err := d.hops(ctx, ways)
	if err != nil {
		return nil, err
	}
	silent := d.unasked(hops)
	if err := d.care(ctx, hops); err != nil {
		return nil, err
	}
	until := time.Now().Add(meetPatience)
	for wait := meetAgain; ; wait *= 2 {
		silent = slices.DeleteFunc(silent, func(w way) bool { return hops[w].why != nil || hops[w].state&(usable|unix.NUD_FAILED) != 0 })
		left := time.Until(until)
		if len(silent) == 0 || left <= 0 || ctx.Err() != nil {
			return hops, ctx.Err()
		}
		time.Sleep(min(wait, left))
		again, err := d.hops(ctx, silent)
		if err != nil {
			return nil, err
		}
		maps.Copy(hops, again)
	}
}

// unasked are the ways whose next hop nobody has asked for.
func (d *Driver) unasked(hops map[way]hop) (out []way) {
	for w, h := range hops {
		if h.why == nil && d.uncared(h) {
			out = append(out, w)
		}
	}
	return out
}

func (c *change) putBackend(to resource.Backend, h hop) error {
	name := to.Key().Name
	i, known := c.v.indexes[name]
	if !known {
		var err error
		if i, err = c.freeIndex(); err != nil {
			return err
		}
	}
	is, err := c.v.Backend(i)
	if err != nil {
		return err
	}
	named := plane.Backend{Name: to.Name, Address: to.Address, Encap: planeEncap(to.Encap), Table: to.Table, Label: string(to.State)}
	next := record(named, is, h)
	c.ways = c.ways || !known || next.Next != is.Next
	if err := c.v.SetBackend(i, next); err != nil {
		return err
	}
	c.v.backends[i], c.v.names[i], c.v.indexes[name], c.v.byName = named, name, i, nil
	return nil
}

// freeIndex is the first index that no backend has and no ring in use names.
func (c *change) freeIndex() (uint16, error) {
	named := c.pool.named()
	for i, name := range c.v.names {
		if name == "" && !named[i] {
			return uint16(i), nil
		}
	}
	return 0, fmt.Errorf("there is room for %d backends, those that drain included (max-backends makes more)", len(c.v.names))
}

// named tells which indexes the rings in use name.
func (p *pool) named() []bool {
	if p.names != nil {
		return p.names
	}
	p.names = make([]bool, p.v.Capacity().Backends)
	for i, n := range p.uses {
		if n == 0 {
			continue
		}
		for b, w := range p.v.ring(uint16(i)).weights {
			p.names[b] = p.names[b] || w != 0
		}
	}
	return p.names
}

// care asks the kernel for the neighbours that need it.
func (d *Driver) care(ctx context.Context, hops map[way]hop) error {
	asked := map[neighbour]bool{}
	var all []neighbour
	var one way
	for w, h := range hops {
		if h.why == nil && d.uncared(h) && !asked[h.next] {
			asked[h.next], one = true, w
			all = append(all, h.next)
		}
	}
	if len(all) == 0 {
		return nil
	}
	if err := d.keep(ctx, all); err != nil {
		return err
	}
	now, err := d.hops(ctx, []way{one})
	if h := now[one]; err == nil && h.why == nil && h.state != 0 && !h.managed {
		d.unmanaged = true // Linux 5.16 has it
	}
	return err
}

// releaseUnneeded lets the neighbours go that no backend is behind.
func (d *Driver) releaseUnneeded(ctx context.Context, p *plane.Plane) error {
	hops, err := d.hops(ctx, waysIn(p))
	if err != nil {
		return fmt.Errorf("look up next hops: %w", err)
	}
	needed := map[neighbour]bool{}
	for _, h := range hops {
		if h.why == nil {
			needed[h.next] = true
		}
	}
	return d.release(ctx, needed)
}

// doomBackend removes a backend that no ring names any more, once its flows are
// forgotten. One whose flows stay for a while stays too: it was to be removed
// before anybody could know of the drain, which needs it.
func (c *change) doomBackend(op diff.Op) error {
	i, ok := c.v.indexes[op.Key.Name]
	if !ok {
		return nil
	}
	known := false // it may have flows in the table
	for name, vip := range c.v.vips {
		s := c.v.services[vip]
		known = known || s.Open()
		if !c.v.has(s.Ring) {
			continue
		}
		r := c.v.ring(s.Ring)
		if s.Open() && r.weights[i] == leaving {
			return nil
		}
		if r.weights[i] != 0 {
			return fmt.Errorf("it is in the ring of %s", name)
		}
	}
	if known {
		c.doomed.backends[i] = true
	}
	c.after = append(c.after, func() error {
		delete(c.v.indexes, op.Key.Name)
		c.v.names[i], c.v.backends[i], c.v.byName = "", plane.Backend{}, nil
		if err := c.v.ResetBackend(i); err != nil {
			return err
		}
		return c.v.SetBackend(i, plane.Backend{}) // the index is free once it has no name
	})
	return nil
}
