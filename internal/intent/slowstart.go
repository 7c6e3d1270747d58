package intent

import (
	"time"

	"reconciler/internal/resource"
)

// Ramps are the slow starts of backends in VIPs: those that are on, and those
// that are over.
type Ramps map[Seated]Ramp

// Seated is a backend in a VIP.
type Seated struct {
	VIP     resource.Key
	Backend string // the name of its key
}

// Ramp is a slow start.
type Ramp struct {
	From  uint8 // the weight that it began with
	Since Instant
	Over  bool
}

// rampSteps bounds how often a slow start changes a ring.
const rampSteps = 10

// ramp is the weight of a backend that serves: all of it, or as much as its slow
// start lets it have by now; and whether that has to do with it. A backend of a
// VIP that had none has nobody to take it slowly for.
func (b *balancing) ramp(vip resource.Key, was resource.VIP, w weighed) (uint8, bool) {
	at := Seated{vip, w.Backend}
	r, known := b.Ramps[at]
	if !known {
		r = b.begin(was, w)
	}
	full := w.Effective
	if w.slow <= 0 || r.From >= full {
		r.Over = true
	}
	if !r.Over {
		step := w.slow / rampSteps
		done := int(b.Now.At.Sub(r.Since) / max(step, 1))
		if done < rampSteps {
			b.out.Next = Earliest(b.out.Next, r.Since.Add(time.Duration(done+1)*step))
			full = r.From + uint8(int(full-r.From)*done/rampSteps)
		} else {
			r.Over = weightsOf(was.Shares)[w.Backend] == full // until then its last step is yet to be done
		}
	}
	b.out.Ramps[at] = r
	return full, !r.Over
}

// begin is the slow start of a backend that comes back; one that the dataplane is
// in the middle of goes on from there. One that was never heard of before has
// nothing to recover from, and where nobody goes on to decide none ever ends.
func (b *balancing) begin(was resource.VIP, w weighed) Ramp {
	have := weightsOf(was.Shares)[w.Backend]
	switch {
	case len(was.Shares) == 0, w.fresh, have == 0 && b.once():
		return Ramp{Over: true}
	case have == 0:
		return Ramp{From: max(1, w.Effective/rampSteps), Since: b.Now.At}
	case b.Ramps == nil && have < w.Effective:
		return Ramp{From: have, Since: b.Now.At}
	}
	return Ramp{Over: true}
}

// once tells a command that decides a single time.
func (b *balancing) once() bool { return b.Health == nil && b.Ramps == nil }
