package maglev

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestDisruption changes one backend of a pool at random, some times, and
// wants the mean of what moves below limits, in percent of all slots. What
// must move follows from the weights; the limit of what moves beyond need is a
// fifth more than was measured, so that a worse order of turns is noticed.
func TestDisruption(t *testing.T) {
	const times = 4
	set := func(weight uint16) func([]Member, int) []Member {
		return func(m []Member, i int) []Member { return with(m, i, weight) }
	}
	remove := func(m []Member, i int) []Member { return slices.Delete(slices.Clone(m), i, i+1) }
	some := func(i int) uint16 { return []uint16{25, 50, 100}[i%3] }
	only := func(weight uint16) func(int) uint16 { return func(int) uint16 { return weight } }
	for _, c := range []struct {
		name             string
		n                int
		weight           func(int) uint16
		change           func([]Member, int) []Member
		must, collateral float64
	}{
		{"1 of 10 goes", 10, equal, remove, 10.01, 0.3},
		{"1 of 100 goes", 100, equal, remove, 1.01, 0.6},
		{"1 of 1000 goes", 1000, equal, remove, 0.11, 0.65},
		{"1 of 100 mixed ones goes", 100, mixed, remove, 1.99, 0.6},
		{"1 of 1000 mixed ones goes", 1000, mixed, remove, 0.2, 1},
		{"1 of 100 in three sizes goes", 100, some, remove, 1.8, 0.7},
		{"1 of 100 from 100 to 99", 100, equal, set(99), 0.02, 0.1},
		{"1 of 100 from 100 to 50", 100, equal, set(50), 0.51, 0.55},
		{"1 of 100 begins slowly", 100, equal, set(1), 1.01, 0.65},
		{"1 of 1000 from 100 to 99", 1000, equal, set(99), 0.01, 0.05},
		{"1 of 100 grows beyond the others", 100, only(99), set(100), 0.02, 0.1},
		{"1 of 100 grows tenfold", 100, only(10), set(100), 8.2, 1.2},
		{"1 of 100 mixed ones to 50", 100, mixed, set(50), 0.6, 0.5},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(5, 6))
			var sum Churn
			for range times {
				before := scattered(r, c.n, c.weight)
				after := c.change(before, r.IntN(c.n))
				churn := Compare(build(t, MaxSize, before), build(t, MaxSize, after))
				back := Compare(build(t, MaxSize, after), build(t, MaxSize, before))
				if churn.Moved != back.Moved || churn.Must != back.Must {
					t.Errorf("there %+v, and back %+v", churn, back)
				}
				sum.Slots += churn.Slots
				sum.Moved += churn.Moved
				sum.Must += churn.Must
			}
			percent := func(n int) float64 { return 100 * float64(n) / float64(sum.Slots) }
			t.Logf("%.3f %% must move, and %.3f %% more do", percent(sum.Must), percent(sum.Collateral()))
			if got := percent(sum.Must); got > c.must {
				t.Errorf("%.3f %% must move, want at most %g", got, c.must)
			}
			if got := percent(sum.Collateral()); got > c.collateral {
				t.Errorf("%.3f %% move beyond need, want at most %g", got, c.collateral)
			}
		})
	}
}
