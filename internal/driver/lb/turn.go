package lb

import (
	"slices"
	"strings"
	"time"

	"reconciler/internal/clock"
	"reconciler/internal/driver/lb/plane"
	"reconciler/internal/resource"
)

// turning is what a turn of a ring follows from: VIPs with the same share it.
type turning struct {
	recipe   recipe
	now, was uint16
	open     bool
	damaged  bool // what is in force is not as it was written
	flushed  string
}

// turned is what comes of it.
type turned struct {
	ring, previous uint16
	left           []string // backends whose flows stay
	moved, stays   bool     // see turn
	err            error
}

// turn is the ring of a VIP, made out of the one that its service has.
func (c *change) turn(s plane.Service, to resource.VIP, damaged bool) turned {
	flushed := flushedBy(to)
	k := turning{recipeOf(c.v.Capacity().RingSize, to.Shares), s.Ring, s.Previous, c.goesOn(s), damaged, strings.Join(flushed, " ")}
	t, ok := c.turns[k]
	if ok && !c.pool.reused {
		return t
	}
	t = c.makeTurn(k, to.Shares, flushed)
	if t.err == nil {
		c.turns[k] = t
	}
	return t
}

func (c *change) makeTurn(k turning, shares []resource.Share, flushed []string) turned {
	h, base, t, err := c.turnOf(k, shares, flushed)
	if err != nil {
		return turned{err: err}
	}
	out := turned{ring: plane.NoRing, previous: plane.NoRing, moved: t.moved, stays: t.stays}
	switch {
	case t.was.slots != nil:
		out.previous, out.err = c.pool.place(t.was)
	case h.open():
		out.previous = k.was
	case t.moved && base != plane.NoRing:
		out.previous = base
	case t.moved:
		out.previous, out.err = c.pool.place(h.now)
	}
	if out.err == nil && (len(shares) > 0 || out.previous != plane.NoRing) {
		// What is about to be the ring of before must not be handed out.
		c.pool.take(out.previous)
		out.ring, out.err = c.pool.place(t.now)
		c.pool.give(out.previous)
	}
	for i, w := range t.now.weights {
		if w == leaving && h.now.live(uint16(i)) > 0 {
			out.left = append(out.left, c.v.names[i])
		}
	}
	return out
}

// turnOf is a turn, and what it began with. It writes nothing.
func (c *change) turnOf(k turning, shares []resource.Share, flushed []string) (h history, base uint16, t turn, err error) {
	next, err := c.d.ringOf(c.v, k.recipe, shares)
	if err != nil {
		return h, base, t, err
	}
	h, base = c.history(k, next)
	var gone []uint16
	for _, name := range flushed {
		if i, ok := c.v.indexes[name]; ok {
			gone = append(gone, i)
		}
	}
	return h, base, h.turn(next, cutOff(gone...)), nil
}

// history is where flows are before a turn, and the buffer that says so; no
// buffer where it says otherwise.
func (c *change) history(k turning, next ring) (h history, base uint16) {
	if !c.v.has(k.now) {
		return history{now: nothing(next)}, plane.NoRing
	}
	is, base := c.v.ring(k.now), k.now
	if k.damaged && !c.pool.intact(k.now) {
		is, base = c.mended(is, next), plane.NoRing
	}
	if k.open {
		h.was = c.v.ring(k.was)
	} else if base == plane.NoRing {
		is = is.settle()
	}
	h.now = is
	return h, base
}

// nothing is a ring without backends.
func nothing(like ring) ring {
	r := ring{make([]uint16, len(like.slots)), make([]uint8, len(like.weights))}
	for i := range r.slots {
		r.slots[i] = owner
	}
	return r
}

// mended is a ring that others changed, as flows of before went by it: that
// which is wanted, or that of its weights, whichever it comes from.
func (c *change) mended(is, next ring) ring {
	right := next.slots
	if differing(is.slots, next.slots) > 0 {
		wanted := slices.Clone(next.slots)
		shares, _ := c.v.sharesOf(is)
		if built, err := c.d.ringOf(c.v, recipeOf(c.v.Capacity().RingSize, shares), shares); err == nil {
			right = slices.Clone(built.slots)
		}
		copy(next.slots, wanted) // the two are built in one place
	}
	out := ring{slices.Clone(is.slots), is.weights}
	for i := range out.slots {
		out.slots[i] = out.slots[i]&moved | right[i]
	}
	return out
}

// flushedBy are the backends that a VIP lets keep no flow, sorted: those it
// names, and those that left and have no time to drain.
func flushedBy(v resource.VIP) []string {
	cut := slices.Clone(v.Flush)
	for _, p := range v.Pools {
		for _, m := range p.Members {
			if m.Drain == 0 {
				cut = append(cut, m.Backend)
			}
		}
	}
	if len(cut) == 0 {
		return nil
	}
	serves := make(map[string]bool, len(v.Shares))
	for _, s := range v.Shares {
		serves[s.Backend] = true
	}
	cut = slices.DeleteFunc(cut, func(b string) bool { return serves[b] })
	slices.Sort(cut)
	return slices.Compact(cut)
}

// goesOn reports a window that is open and not at its end.
func (c *change) goesOn(s plane.Service) bool {
	return s.Open() && c.v.has(s.Previous) && clock.Boottime() < s.Until
}

// until is the end of a service's window, where a turn let flows stay.
func (c *change) until(s plane.Service, to resource.VIP, t turned) time.Duration {
	end := deadline(window(to, t.left))
	if c.goesOn(s) {
		return max(end, s.Until)
	}
	return end
}
