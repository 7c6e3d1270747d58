package health

import (
	"context"
	"slices"
	"testing"
	"time"
)

func TestRhythm(t *testing.T) {
	for script, want := range map[string][]int{
		"+":       {0, 2000, 4000, 6000, 8000, 10000},
		"-":       {0, 5000, 10000},
		"++--+":   {0, 2000, 4000, 4500, 5000, 7000, 9000},       // degraded: from the first failure to the recovery
		"+---":    {0, 500 + 1500, 2500, 3000, 8000},             // down
		"-++":     {0, 5000, 5500, 7500, 9500},                   // up
		"?+":      {0, 500, 2500, 4500, 6500, 8500},              // no answer yet: soon again
		"+?+":     {0, 2000, 4000, 6000, 8000, 10000},            // as if it had not been
		"-?-":     {0, 5000, 10000},                              // likewise
		"+-?+":    {0, 2000, 2500, 3000, 5000, 7000, 9000},       // likewise
		"+-?--":   {0, 2000, 2500, 3000, 3500, 8500},             // likewise
		"+-+-+-+": {0, 2000, 2500, 4500, 5000, 7000, 7500, 9500}, // flapping
	} {
		watch(t, Config{}, func(m *Monitor, b *backends) {
			b.answer = scripted(script)
			m.Set(many(1, timed))
			pass(10*time.Second + time.Millisecond)
			if got := b.times(host(0)); !slices.Equal(got, want) {
				t.Errorf("%q is asked at %v, want %v", script, got, want)
			}
		})
	}
}

// A probe that takes long does not shift the next one, unless it takes longer
// than the interval.
func TestRhythmOfSlowTargets(t *testing.T) {
	for takes, want := range map[time.Duration][]int{
		1500 * time.Millisecond: {0, 2000, 4000, 6000},
		2500 * time.Millisecond: {0, 2500, 5000},
	} {
		watch(t, Config{}, func(m *Monitor, b *backends) {
			b.waiting = func(context.Context) { time.Sleep(takes) }
			m.Set(many(1, timed))
			pass(7 * time.Second)
			if got := b.times(host(0)); !slices.Equal(got, want) {
				t.Errorf("a target that takes %v is asked at %v, want %v", takes, got, want)
			}
		})
	}
}

func TestJitter(t *testing.T) {
	jittery := timed
	jittery.Jitter = 20
	watch(t, Config{}, func(m *Monitor, b *backends) {
		m.Set(many(1, jittery))
		pass(time.Hour)
		at := b.times(host(0))
		distinct := make(map[int]bool)
		for i := range at[1:] {
			gap := at[i+1] - at[i]
			distinct[gap] = true
			if gap < 1600-1 || gap > 2400+1 {
				t.Errorf("%d ms between two probes", gap)
			}
		}
		if len(distinct) < 300 || len(at) < 1700 || len(at) > 1900 {
			t.Errorf("%d probes in an hour, of %d different intervals", len(at), len(distinct))
		}
	})
}

func TestTargetsDoNotProbeAtOnce(t *testing.T) {
	watch(t, Config{}, func(m *Monitor, b *backends) {
		m.Set(many(1000, timed))
		pass(10 * time.Second)
		at := make(map[int]int)
		for i := range 1000 {
			times := b.times(host(i))
			if times[0] >= 2000 || len(times) < 4 {
				t.Fatalf("target %d is asked first at %d ms, %d times in all", i, times[0], len(times))
			}
			for _, ms := range times {
				at[ms]++
			}
		}
		for ms, n := range at {
			if n > 2 {
				t.Fatalf("%d targets are asked at %d ms", n, ms)
			}
		}
	})
}
