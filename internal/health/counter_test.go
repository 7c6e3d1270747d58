package health

import (
	"testing"
	"time"
)

// A history is written as probes: + passes, - fails.
func TestCounter(t *testing.T) {
	for _, c := range []struct {
		name       string
		rise, fall int
		probes     string
		value      int
		state      State
		interval   time.Duration
	}{
		{"never probed", 2, 3, "", 1, Unknown, fast},
		{"the first success decides", 2, 3, "+", 4, Up, calm},
		{"the first failure decides", 2, 3, "-", 0, Down, down},
		{"more successes change nothing", 2, 3, "++++++", 4, Up, calm},
		{"more failures change nothing", 2, 3, "------", 0, Down, down},
		{"one failure degrades", 2, 3, "+-", 3, Up, fast},
		{"two failures degrade", 2, 3, "+--", 2, Up, fast},
		{"fall failures take down", 2, 3, "+---", 0, Down, down},
		{"a success between them starts over", 2, 3, "+--+--", 2, Up, fast},
		{"one success recovers", 2, 3, "+--+", 4, Up, calm},
		{"one success is not yet up", 2, 3, "-+", 1, Down, fast},
		{"rise successes take up", 2, 3, "-++", 4, Up, calm},
		{"a failure between them starts over", 2, 3, "-+-+", 1, Down, fast},
		{"flapping while up stays up", 2, 3, "+-+-+-+-", 3, Up, fast},
		{"flapping while down stays down", 2, 3, "-+-+-+-+", 1, Down, fast},
		{"rise 1 fall 1 unknown", 1, 1, "", 0, Unknown, fast},
		{"rise 1 fall 1 up", 1, 1, "-+", 1, Up, calm},
		{"rise 1 fall 1 down", 1, 1, "+-", 0, Down, down},
		{"rise 5 fall 1: first success", 5, 1, "+", 5, Up, calm},
		{"rise 5 fall 1: four successes", 5, 1, "-++++", 4, Down, fast},
		{"rise 5 fall 1: five successes", 5, 1, "-+++++", 5, Up, calm},
		{"rise 1 fall 5: four failures", 1, 5, "+----", 1, Up, fast},
		{"rise 1 fall 5: five failures", 1, 5, "+-----", 0, Down, down},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := play(NewCounter(c.rise, c.fall), c.probes)
			check := Check{Interval: calm, FastInterval: fast, DownInterval: down}
			if got.Value != c.value || got.State() != c.state || got.Interval(check) != c.interval {
				t.Errorf("after %q: value %d, %v, next in %v; want %d, %v, %v",
					c.probes, got.Value, got.State(), got.Interval(check), c.value, c.state, c.interval)
			}
		})
	}
}

const (
	calm = 2 * time.Second
	fast = 500 * time.Millisecond
	down = 5 * time.Second
)

func play(c Counter, probes string) Counter {
	for _, p := range probes {
		if p == '+' {
			c = c.Pass()
		} else {
			c = c.Fail()
		}
	}
	return c
}

// Every counter of every size keeps to its range, is up exactly from rise on,
// and crosses the line after exactly as many answers in a row as it should.
func TestCounterOfEverySize(t *testing.T) {
	for rise := 1; rise <= 6; rise++ {
		for fall := 1; fall <= 6; fall++ {
			for history := range 1 << 10 {
				c := NewCounter(rise, fall)
				row, state := 0, Unknown // answers in a row against the state
				for i := range 10 {
					pass := history>>i&1 == 1
					c = play(c, map[bool]string{true: "+", false: "-"}[pass])
					row, state = oracle(row, state, pass, rise, fall)
					if c.State() != state || c.Value < 0 || c.Value > c.Top() || (c.Value >= rise) != (state == Up) {
						t.Fatalf("rise %d fall %d, history %b at %d: %+v is %v, want %v", rise, fall, history, i, c, c.State(), state)
					}
				}
			}
		}
	}
}

// oracle counts answers in a row, as a person would put it.
func oracle(row int, state State, pass bool, rise, fall int) (int, State) {
	need := fall
	if state == Down {
		need = rise
	}
	switch {
	case state == Unknown && pass:
		return 0, Up
	case state == Unknown:
		return 0, Down
	case pass == (state == Up):
		return 0, state
	case row+1 < need:
		return row + 1, state
	case state == Up:
		return 0, Down
	}
	return 0, Up
}

func TestCarriedCounter(t *testing.T) {
	for _, c := range []struct {
		probes     string
		rise, fall int
		value      int
		state      State
	}{
		{"", 4, 2, 3, Unknown},
		{"+", 4, 2, 5, Up},
		{"+--", 4, 2, 5, Up},
		{"-", 4, 2, 0, Down},
		{"-+", 4, 2, 0, Down},
	} {
		got := play(NewCounter(2, 3), c.probes).Carry(c.rise, c.fall)
		if got.Value != c.value || got.State() != c.state {
			t.Errorf("after %q carried: %d, %v; want %d, %v", c.probes, got.Value, got.State(), c.value, c.state)
		}
	}
}
