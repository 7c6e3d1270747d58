package lb

import (
	"reconciler/internal/maglev"
)

const (
	// moved is set in a slot whose owner changed since the window opened.
	moved = 0x8000
	// owner masks the backend of a slot.
	owner = maglev.None
	// leaving stands in place of a weight: the backend has left since the
	// window opened, and flows may be with it still.
	leaving = 0xff
)

// ring is what a buffer of rings holds: slots, and from what they were built,
// by the index of the backend.
type ring struct {
	slots   []uint16
	weights []uint8
}

// live is the weight of a backend that takes new flows.
func (r ring) live(i uint16) uint8 {
	if r.weights[i] == leaving {
		return 0
	}
	return r.weights[i]
}

// history is where flows of a service are: in the ring in force, and while a
// window is open in the one that was in force before it.
type history struct {
	now ring
	was ring // no slots while no window is open
}

func (h history) open() bool { return h.was.slots != nil }

// turn is what a ring becomes.
type turn struct {
	now ring
	// was is the ring of before, made anew; no slots where it is the one that
	// it is already, or the one in force.
	was ring
	// moved is set where a slot without a mark has a new owner, and flows of the
	// former one stay; stays where any slot has one.
	moved, stays bool
}

// cut tells which backends are to lose their flows; nil for none.
type cut []bool

func cutOff(backends ...uint16) cut {
	if len(backends) == 0 {
		return nil
	}
	c := make(cut, owner+1)
	for _, b := range backends {
		c[b] = true
	}
	return c
}

func (c cut) off(backend uint16) bool { return c != nil && c[backend] }

// turn makes the ring in force out of one that was built, whose slots it takes
// over. Flows stay with whom they have: a slot that moves, or moved since the
// window opened, is marked. Flows of backends that are cut off go with the slot.
func (h history) turn(built ring, cut cut) turn {
	t := turn{now: ring{built.slots, h.weights(built, cut)}}
	if h.open() {
		h.turnAgain(&t, cut)
		return t
	}
	is := h.now.slots[:len(built.slots)]
	for i, next := range built.slots {
		if last := is[i] & owner; last != next && last != maglev.None && !cut.off(last) {
			built.slots[i] |= moved
			t.moved, t.stays = true, true
		}
	}
	return t
}

// turnAgain is a turn while a window is open.
func (h history) turnAgain(t *turn, cut cut) {
	for i, next := range t.now.slots {
		is, first := h.now.slots[i], h.was.slots[i]&owner
		switch last := is & owner; {
		case is&moved != 0:
			// Who came since the window opened is known by name.
			t.now.slots[i] |= moved
			t.stays = t.stays || last != next && last != maglev.None && !cut.off(last)
			if first != maglev.None && cut.off(first) {
				t.former(h.was, i, next)
			}
		case last != next && last != maglev.None && !cut.off(last):
			t.now.slots[i] |= moved
			t.moved, t.stays = true, true
			if first != last {
				t.former(h.was, i, last) // it came to the slot without a mark
			}
		}
	}
}

// former makes a backend the former owner of a slot.
func (t *turn) former(was ring, slot int, backend uint16) {
	if t.was.slots == nil {
		t.was = ring{append([]uint16(nil), was.slots...), was.weights}
	}
	t.was.slots[slot] = backend
}

// weights are those of the new ring, with a mark at each backend that left.
func (h history) weights(built ring, cut cut) []uint8 {
	out := append([]uint8(nil), built.weights...)
	for i, w := range h.now.weights {
		stays := w != 0 && (w != leaving || h.open())
		if stays && out[i] == 0 && !cut.off(uint16(i)) {
			out[i] = leaving
		}
	}
	return out
}

// settle is the ring in force once its window is closed.
func (r ring) settle() ring {
	out := ring{make([]uint16, len(r.slots)), make([]uint8, len(r.weights))}
	for i, s := range r.slots {
		out.slots[i] = s & owner
	}
	for i := range r.weights {
		out.weights[i] = r.live(uint16(i))
	}
	return out
}
