package lb

import (
	"errors"
	"fmt"

	"reconciler/internal/clock"
	"reconciler/internal/diff"
	"reconciler/internal/driver/lb/plane"
	"reconciler/internal/resource"
)

// putVIP makes or changes a service. Its ring is in force in one step.
func (c *change) putVIP(op diff.Op) error {
	to := op.To.(resource.VIP)
	name := to.Key().Name
	i, err := c.serviceOf(name)
	if err != nil {
		return err
	}
	s := c.v.services[i]
	before := s
	if s.Name == "" || s.Sticky != to.Sticky {
		before = plane.Service{Ring: plane.NoRing, Previous: plane.NoRing} // no flow of before is told as it was
	}
	from, _ := op.From.(resource.VIP)
	damaged := len(from.Seen.Damage) > 0
	t := c.turn(before, to, damaged)
	if t.err != nil {
		return t.err
	}
	next := plane.Service{
		Ring: t.ring, Previous: t.previous, Sticky: to.Sticky, NoBackend: noBackendOf(to.NoBackend), Generation: s.Generation + 1,
		Opened: s.Opened, Until: s.Until, Name: name,
	}
	if t.moved {
		next.Opened = clock.Monotonic()
	}
	if t.stays {
		next.Until = c.until(before, to, t)
	}
	if s.Open() && !before.Open() {
		c.forgetLater(i, &next)
	} else if s.Open() {
		for _, b := range flushedBy(to) {
			c.doomed.pairs[flowsOf{i, c.v.indexes[b]}] = true
		}
	}
	if err := c.pool.set(i, next); err != nil {
		return err
	}
	c.v.vips[name] = i
	c.wantClaims(i, to, damaged)
	return nil
}

// serviceOf is the index of a service: that which it has, or the first that is
// free.
func (c *change) serviceOf(name string) (uint16, error) {
	if i, ok := c.v.vips[name]; ok {
		return i, nil
	}
	for i := range c.v.services {
		if c.v.services[i].Name == "" {
			return uint16(i), nil
		}
	}
	return 0, fmt.Errorf("there is room for %d VIPs (max-vips makes more)", len(c.v.services))
}

// forgetLater dooms the flows of a service. Until they are forgotten it carries
// a label, lest they be found by the next window, should this end in between.
func (c *change) forgetLater(i uint16, next *plane.Service) {
	next.Label = stale
	c.doomed.services[i] = true
	c.after = append(c.after, func() error {
		s := c.v.services[i]
		s.Label = ""
		return c.pool.set(i, s)
	})
}

// forgetOver forgets the flows of windows that are over, before the next ones
// open.
func (c *change) forgetOver() error {
	over := newDoomed()
	for _, op := range c.ops {
		i, ok := c.v.vips[op.Key.Name]
		if !ok || op.Key.Kind != resource.KindVIP {
			continue
		}
		if s := c.v.services[i]; s.Label == stale || s.Open() && !c.goesOn(s) {
			over.services[i] = true
		}
	}
	return c.forget(over)
}

// wantClaims notes the entries of the VIP table that a service is to have.
func (c *change) wantClaims(i uint16, to resource.VIP, damaged bool) {
	wanted := claimsOf(to, i)
	has := map[plane.Claim]bool{}
	for _, claim := range c.v.claimed[i] {
		has[claim] = true
	}
	same := len(has) == len(wanted)
	for _, claim := range wanted {
		same = same && has[claim]
	}
	if !same || damaged {
		c.claims[i] = wanted
	}
}

// unclaim takes a VIP out of the table.
func (c *change) unclaim(op diff.Op) error {
	if i, ok := c.v.vips[op.Key.Name]; ok && len(c.v.claimed[i]) > 0 {
		c.claims[i] = nil
	}
	return nil
}

// removeVIP removes a service that no packet is led to any more.
func (c *change) removeVIP(op diff.Op) error {
	i, ok := c.v.vips[op.Key.Name]
	if !ok {
		return nil
	}
	s := c.v.services[i]
	none := plane.Service{Ring: plane.NoRing, Previous: plane.NoRing}
	gone := func() error {
		delete(c.v.vips, s.Name)
		if err := c.v.ResetService(i); err != nil {
			return err
		}
		return c.pool.set(i, none) // the index is free once it has no name
	}
	if !s.Open() && s.Label != stale {
		return gone()
	}
	next := none
	next.Name = s.Name
	c.forgetLater(i, &next)
	c.after = append(c.after, gone)
	return c.pool.set(i, next)
}

// endDrain closes a window: slots are of their owners alone.
func (c *change) endDrain(op diff.Op) error {
	i, ok := c.v.vips[op.Key.Name]
	if !ok {
		return nil
	}
	s := c.v.services[i]
	from, _ := op.From.(resource.Drain)
	if !s.Open() || s.Until != from.Until {
		return nil // closed, or another one by now
	}
	ring, err := c.settle(s.Ring)
	if err != nil && !errors.Is(err, errNoIdle) {
		return err
	}
	s.Previous, s.Opened, s.Until = plane.NoRing, 0, 0
	s.Generation++
	c.forgetLater(i, &s)
	if err == nil {
		s.Ring = ring
		return c.pool.set(i, s)
	}
	// The ring of before makes room: without it slots are their owners', marked
	// or not.
	if err := c.pool.set(i, s); err != nil {
		return err
	}
	if s.Ring, err = c.settle(s.Ring); err != nil {
		return err
	}
	return c.pool.set(i, s)
}

// settle is the buffer of a ring without marks; none where it has no backend.
func (c *change) settle(i uint16) (uint16, error) {
	if done, ok := c.settled[i]; ok && !c.pool.reused {
		return done, nil
	}
	if !c.v.has(i) {
		return plane.NoRing, nil
	}
	r, out := c.v.ring(i).settle(), uint16(plane.NoRing)
	if r.serves() {
		var err error
		if out, err = c.pool.place(r); err != nil {
			return 0, err
		}
	}
	c.settled[i] = out
	return out, nil
}

// serves reports a ring that has a backend.
func (r ring) serves() bool {
	for i := range r.weights {
		if r.live(uint16(i)) > 0 {
			return true
		}
	}
	return false
}
