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
	// moved is set where a slot has a new owner, and flows of the former one
	// stay.
	moved bool
}

// turn makes the ring in force out of one that was built. Flows stay with whom
// they have: a slot that moves, or moved since the window opened, is marked.
// Flows of backends to be flushed go with the slot.
func (h history) turn(built ring, flushed func(backend uint16) bool) turn {
	t := turn{now: ring{make([]uint16, len(built.slots)), h.weights(built, flushed)}}
	for i, next := range built.slots {
		t.now.slots[i] = next
		last := h.now.slots[i] & owner
		switch marked := h.open() && h.now.slots[i]&moved != 0; {
		case marked:
			// Who came since the window opened is known by name.
			t.now.slots[i] |= moved
			if first := h.was.slots[i] & owner; first != maglev.None && flushed(first) {
				t.former(h.was, i, next)
			}
		case last != next && last != maglev.None && !flushed(last):
			t.now.slots[i] |= moved
			t.moved = true
			if h.open() && h.was.slots[i]&owner != last {
				t.former(h.was, i, last) // it came to the slot without a mark
			}
		}
	}
	return t
}

// former makes a backend the former owner of a slot.
func (t *turn) former(was ring, slot int, backend uint16) {
	if t.was.slots == nil {
		t.was = ring{append([]uint16(nil), was.slots...), was.weights}
	}
	t.was.slots[slot] = backend
}

// weights are those of the new ring, with a mark at each backend that left.
func (h history) weights(built ring, flushed func(uint16) bool) []uint8 {
	out := append([]uint8(nil), built.weights...)
	for i, w := range h.now.weights {
		stays := w != 0 && (w != leaving || h.open())
		if stays && out[i] == 0 && !flushed(uint16(i)) {
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
