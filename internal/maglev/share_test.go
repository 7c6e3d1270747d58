package maglev

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// exactly fails unless each backend has its weight's share of a ring, rounded
// up or down.
func exactly(t *testing.T, ring []uint16, members []Member) {
	t.Helper()
	sum, has := 0, slots(ring)
	for _, m := range members {
		sum += int(m.Weight)
	}
	for _, m := range members {
		n := has[m.ID]
		share := float64(len(ring)) * float64(m.Weight) / float64(sum)
		if math.Abs(float64(n)-share) >= 1 {
			t.Fatalf("%s with weight %d of %d has %d of %d slots, its share is %.2f", m.Address, m.Weight, sum, n, len(ring), share)
		}
	}
}

func weightsOf(members []Member) []uint16 {
	var out []uint16
	for _, m := range members {
		out = append(out, m.Weight)
	}
	return out
}

func TestSharesAreExact(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, n := range []int{1, 2, 3, 10, 100, 1000, MaxMembers} {
		for name, weight := range map[string]func(int) uint16{
			"equal":  equal,
			"mixed":  mixed,
			"random": func(int) uint16 { return uint16(r.Uint32N(16)) },
			"one":    func(i int) uint16 { return []uint16{100, 1}[min(i, 1)] },
		} {
			members := scattered(r, n, weight)
			members[0].Weight = max(1, members[0].Weight)
			if err := CheckWeights(MaxSize, weightsOf(members)); err != nil && n < 1000 {
				t.Errorf("%d backends, %s weights: %v", n, name, err)
			}
			exactly(t, build(t, MaxSize, members), members)
		}
	}
}

// A backend that begins with the least weight among a thousand heavy ones has
// a right to two thirds of a slot.
func TestNobodyWithAWeightGoesWithout(t *testing.T) {
	for _, size := range []int{1009, MaxSize} {
		members := with(pool(1000, equal), 417, 1)
		if n := slots(build(t, size, members))[417]; n != 1 {
			t.Errorf("ring of %d: it has %d slots, want 1", size, n)
		}
	}
	members := pool(7, func(i int) uint16 { return []uint16{math.MaxUint16, 1}[min(i, 1)] })
	if got := slots(build(t, 7, members)); len(got) != 7 {
		t.Errorf("7 slots for 7 backends: %v", got)
	}
}

func TestCheckWeights(t *testing.T) {
	for _, c := range []struct {
		name    string
		size    int
		weights []uint16
		fits    bool
	}{
		{"none", 7, nil, true},
		{"all zero", 7, []uint16{0, 0}, true},
		{"one step is one slot", 7, []uint16{3, 4}, true},
		{"one step is less than a slot", 7, []uint16{3, 5}, false},
		{"divided by what they have in common", 7, []uint16{300, 400}, true},
		{"zero has everything in common", 7, []uint16{300, 0, 400}, true},
		{"more backends than slots", 2, []uint16{1, 1, 1}, false},
		{"a thousand equal ones", MaxSize, slices.Repeat([]uint16{100}, 1000), true},
		{"and one that is not", MaxSize, append(slices.Repeat([]uint16{100}, 1000), 99), false},
		{"the largest", MaxSize, slices.Repeat([]uint16{math.MaxUint16}, MaxMembers), true},
	} {
		err := CheckWeights(c.size, c.weights)
		if (err == nil) != c.fits || err != nil && !errors.Is(err, ErrTooSmall) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
