package lb

import (
	"context"
	"fmt"

	"reconciler/internal/clock"
	"reconciler/internal/diff"
	"reconciler/internal/driver"
	"reconciler/internal/driver/lb/plane"
)

// Explain tells where a flow goes as the program does, by the same maps, and
// what becomes of that by the same turn of the ring that Apply makes.
func (d *Driver) Explain(ctx context.Context, f driver.Flow, ops []diff.Op) (driver.Explanation, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	p, _, err := d.open()
	if err != nil {
		return driver.Explanation{}, fmt.Errorf("open the tables: %w", err)
	}
	k := plane.Packet{Protocol: f.Protocol, Src: f.Src, Dst: f.Dst}
	out := driver.Explanation{Now: nowhere(driver.NotVIP)}
	e := &explaining{d: d, ctx: ctx}
	if p != nil {
		if e.v, err = viewOf(p); err != nil {
			return out, err
		}
		if out.Now, err = e.now(k); err != nil {
			return out, err
		}
	}
	out.After, err = e.after(k, ops, out.Now)
	return out, err
}

func nowhere(why driver.Why) driver.Way {
	return driver.Way{New: driver.Choice{Why: why}, Known: driver.Choice{Why: why}}
}

// explaining is one look at the tables.
type explaining struct {
	d   *Driver
	ctx context.Context
	v   *view // nil where there are none
}

// both asks for a packet that begins a flow, and for one of a flow that is.
func both(k plane.Packet, choose func(plane.Packet) (driver.Choice, error)) (begins, goesOn driver.Choice, err error) {
	if goesOn, err = choose(k); err != nil {
		return begins, goesOn, err
	}
	k.Begins = true
	begins, err = choose(k)
	return begins, goesOn, err
}

func (e *explaining) now(k plane.Packet) (w driver.Way, err error) {
	w.New, w.Known, err = both(k, func(k plane.Packet) (driver.Choice, error) {
		c, err := e.v.Lookup(k)
		if err != nil {
			return driver.Choice{}, err
		}
		w.Slot = c.Slot
		if int(c.Service) < len(e.v.services) {
			s := e.v.services[c.Service]
			w.VIP, w.Sticky, w.Moved = s.Name, s.Sticky, e.v.Slot(s, c.Slot).Moved
			if w.Moved && s.Open() {
				w.Left = max(0, s.Until-clock.Boottime())
			}
		}
		return e.choice(c), nil
	})
	return w, err
}

// reasons are the program's, in the words of the seam.
var reasons = map[plane.Why]driver.Why{
	plane.NotVIP: driver.NotVIP, plane.NotClaimed: driver.NotClaimed, plane.NotTold: driver.NotClaimed, plane.HasNone: driver.NoBackend,
	plane.ByRing: driver.ByRing, plane.ByNewRing: driver.ByNewOwner, plane.ByOldRing: driver.ByPrevious, plane.ByTable: driver.ByFlowTable,
}

func (e *explaining) choice(c plane.Choice) driver.Choice {
	if c.Backend == plane.Nobody {
		return driver.Choice{Why: reasons[c.Why]}
	}
	out := driver.Choice{Backend: e.nameOf(c.Backend), Why: reasons[c.Why]}
	if c.Why == plane.Unreachable {
		out.Why, out.Unreachable = reasons[c.Via], true
	}
	return out
}

func (e *explaining) nameOf(backend uint16) string {
	if int(backend) < len(e.v.names) {
		return e.v.names[backend]
	}
	return fmt.Sprintf("backend %d, which is none", backend)
}
