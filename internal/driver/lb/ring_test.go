package lb

import (
	"math/rand/v2"
	"slices"
	"testing"

	"reconciler/internal/maglev"
)

// model is a service with its flows, as the program on the packets' way would
// have it.
type model struct {
	history
	table map[int]uint16 // flows in the table
	flows map[int]uint16 // where each established flow is
}

const modelSlots = 31

// owner is where a packet of a flow goes; the flow is told by its number, and
// lands in the slot of that number.
func (m *model) owner(flow int, first bool) uint16 {
	at := flow % modelSlots
	s := m.now.slots[at]
	switch {
	case s&moved == 0:
		return s
	case first:
		if s&owner != maglev.None {
			m.table[flow] = s & owner
		}
		return s & owner
	}
	if b, ok := m.table[flow]; ok {
		return b
	}
	if m.open() && m.was.slots[at]&owner != maglev.None {
		return m.was.slots[at] & owner
	}
	return s & owner
}

// apply makes the service what a turn says.
func (m *model) apply(t turn, cut cut) {
	was := m.was
	switch {
	case t.was.slots != nil:
		was = t.was
	case !m.open() && t.moved:
		was = m.now
	}
	m.now, m.was = t.now, was
	for f, b := range m.table {
		if cut.off(b) {
			delete(m.table, f)
		}
	}
}

func randomRing(r *rand.Rand, backends int) ring {
	out := ring{make([]uint16, modelSlots), make([]uint8, backends)}
	var members []maglev.Member
	for i := range backends {
		if out.weights[i] = uint8(r.IntN(4)); out.weights[i] > 0 {
			a := [4]byte{10, 0, 0, byte(i)}
			members = append(members, maglev.Member{Address: addr4(a), Weight: uint16(out.weights[i]), ID: uint16(i)})
		}
	}
	if r.IntN(10) == 0 {
		members = nil
		clear(out.weights)
	}
	var b maglev.Builder
	if err := b.Build(out.slots, members); err != nil {
		panic(err)
	}
	return out
}

// TestNoFlowMovesWhileAWindowIsOpen walks through changes of a ring, closes
// windows now and then, and holds each flow against where it was.
func TestNoFlowMovesWhileAWindowIsOpen(t *testing.T) {
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 1))
		m := &model{table: map[int]uint16{}, flows: map[int]uint16{}}
		m.now = randomRing(r, 6)
		for step := range 12 {
			for range 40 {
				f := r.IntN(1 << 20)
				m.flows[f] = m.owner(f, true)
			}
			var cut cut
			if gone := uint16(r.IntN(6)); r.IntN(3) == 0 {
				cut = cutOff(gone)
			}
			built := randomRing(r, 6)
			for b := range built.weights {
				if cut.off(uint16(b)) && built.weights[b] > 0 {
					cut = nil // who serves loses nothing
				}
			}
			m.apply(m.turn(built, cut), cut)
			for f, b := range m.flows {
				switch now := m.owner(f, false); {
				case b == maglev.None || cut.off(b):
					if now != maglev.None && cut.off(now) {
						t.Fatalf("seed %d step %d: flow %d is still with %d, which is cut", seed, step, f, now)
					}
					delete(m.flows, f)
				case now != b:
					t.Fatalf("seed %d step %d: flow %d moved from %d to %d", seed, step, f, b, now)
				}
			}
			needed(t, m)
			if r.IntN(5) == 0 {
				m.now, m.was = m.now.settle(), ring{}
				clear(m.table)
				for f := range m.flows {
					m.flows[f] = m.owner(f, false)
				}
			}
		}
	}
}

// needed wants the weights to tell of each backend that a flow is with.
func needed(t *testing.T, m *model) {
	t.Helper()
	for f, b := range m.flows {
		if b != maglev.None && m.now.weights[b] == 0 {
			t.Fatalf("flow %d is with backend %d, of which the ring says nothing", f, b)
		}
	}
}

func TestRingThatDoesNotChangeMarksNothing(t *testing.T) {
	a := randomRing(rand.New(rand.NewPCG(1, 1)), 6)
	if got := (history{now: a}).turn(ring{slices.Clone(a.slots), a.weights}, nil); got.moved {
		t.Error("a window for nothing")
	}
}
