package lb

import (
	"context"
	"errors"
	"fmt"

	"reconciler/internal/diff"
	"reconciler/internal/driver/lb/plane"
	"reconciler/internal/resource"
)

// change is one batch of operations at work.
type change struct {
	d    *Driver
	ctx  context.Context
	ops  []diff.Op
	errs []error
	v    *view
	pool *pool

	turns   map[turning]turned
	settled map[uint16]uint16        // what rings became whose drain is over
	claims  map[uint16][]plane.Claim // of the services whose entries change
	rewrite bool                     // the VIP table, though nothing changes
	doomed  doomed
	after   []func() error // what waits until the doomed are forgotten
	ways    bool           // records change
}

// doomed are the flows that are to be forgotten.
type doomed struct {
	services map[uint16]bool
	backends map[uint16]bool
	pairs    map[flowsOf]bool
}

func (d doomed) none() bool { return len(d.services)+len(d.backends)+len(d.pairs) == 0 }

func (d doomed) has(service, backend uint16) bool {
	return d.services[service] || d.backends[backend] || d.pairs[flowsOf{service, backend}]
}

func newDoomed() doomed {
	return doomed{map[uint16]bool{}, map[uint16]bool{}, map[flowsOf]bool{}}
}

func (c *change) failAll(err error) {
	for i := range c.errs {
		if c.errs[i] == nil {
			c.errs[i] = err
		}
	}
}

// failKind fails the operations on a kind that are done or to be done.
func (c *change) failKind(kind resource.Kind, err error) {
	for i, op := range c.ops {
		if op.Key.Kind == kind && c.errs[i] == nil {
			c.errs[i] = err
		}
	}
}

// each does the operations of a kind, by verbs.
func (c *change) each(kind resource.Kind, removes bool, do func(op diff.Op) error) {
	for i, op := range c.ops {
		if op.Key.Kind != kind || (op.Verb == diff.Delete) != removes || c.errs[i] != nil {
			continue
		}
		if c.ctx.Err() != nil {
			c.errs[i] = context.Cause(c.ctx)
			continue
		}
		c.errs[i] = do(op)
	}
}

// run does all of them.
func (c *change) run() {
	c.each(resource.KindBalancer, false, c.putBalancer)
	if err := c.begin(); err != nil {
		c.failOthers(err)
		return
	}
	if c.v != nil {
		c.putAll()
	}
	c.each(resource.KindBalancer, true, c.removeBalancer)
}

// failOthers fails all but the balancer's own.
func (c *change) failOthers(err error) {
	for i, op := range c.ops {
		if op.Key.Kind != resource.KindBalancer && c.errs[i] == nil {
			c.errs[i] = err
		}
	}
}

// begin reads what there is. Without tables there is nothing to remove.
func (c *change) begin() error {
	p, err := c.d.opened()
	if err != nil {
		return fmt.Errorf("open the tables: %w", err)
	}
	if p == nil {
		for i, op := range c.ops {
			if op.Key.Kind != resource.KindBalancer && op.Verb != diff.Delete {
				c.errs[i] = errors.New("the balancer has no tables")
			}
		}
		return nil
	}
	c.v, err = c.d.current(p)
	if err != nil {
		return err
	}
	c.turns, c.settled, c.doomed = map[turning]turned{}, map[uint16]uint16{}, newDoomed()
	c.claims = map[uint16][]plane.Claim{}
	c.pool = c.v.pool
	c.pool.begin()
	return nil
}

// putAll does the operations on backends, VIPs and drains, step by step.
func (c *change) putAll() {
	for _, step := range c.steps() {
		if err := step(); err != nil {
			c.failAll(err)
			return
		}
	}
}

// steps are in the order in which no packet meets what is not there: records go
// before the rings that name them, those before the services, and the VIP table
// comes last. Flows are forgotten once nobody makes new ones, and what they went
// by goes after them. Whoever is stopped between two steps leaves what the next
// look tells as damage, or does not see.
func (c *change) steps() []func() error {
	kind := func(k resource.Kind, removes bool, do func(diff.Op) error) func() error {
		return func() error { c.each(k, removes, do); return nil }
	}
	return []func() error{
		c.putBackends,
		c.forgetOver,
		kind(resource.KindVIP, false, c.putVIP),
		kind(resource.KindDrain, true, c.endDrain),
		kind(resource.KindVIP, true, c.unclaim),
		c.putClaims,
		kind(resource.KindVIP, true, c.removeVIP),
		kind(resource.KindBackend, true, c.doomBackend),
		func() error { return c.forget(c.doomed) },
		c.finish,
		c.releaseNeighbours,
	}
}

// finish does what had to wait until flows are forgotten.
func (c *change) finish() error {
	for _, do := range c.after {
		if err := do(); err != nil {
			return err
		}
	}
	return nil
}

func (c *change) releaseNeighbours() error {
	if !c.ways {
		return nil
	}
	if err := c.d.releaseUnneeded(c.ctx, c.v.Plane); err != nil {
		c.failKind(resource.KindBackend, err)
	}
	return nil
}

func (c *change) forget(d doomed) error {
	if d.none() {
		return nil
	}
	if err := c.v.Forget(c.ctx, d.has); err != nil {
		return fmt.Errorf("forget flows: %w", err)
	}
	return nil
}

// putClaims writes the VIP table, once for all.
func (c *change) putClaims() error {
	if len(c.claims) == 0 && !c.rewrite {
		return nil
	}
	var all []plane.Claim
	for i, s := range c.v.services {
		wanted, changes := c.claims[uint16(i)]
		if !changes && s.Name != "" {
			wanted = c.v.claimed[uint16(i)]
		}
		all = append(all, wanted...)
	}
	err := c.v.SetClaims(all)
	if err == nil {
		c.v.setClaims(all)
	}
	for i, op := range c.ops {
		if err != nil && op.Key.Kind != resource.KindBackend && c.errs[i] == nil {
			c.errs[i] = fmt.Errorf("write the VIP table: %w", err)
		}
	}
	return nil
}
