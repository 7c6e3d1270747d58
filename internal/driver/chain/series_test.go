package chain

import (
	"testing"
	"time"

	"reconciler/internal/resource"
)

// clock counts seconds.
func clock(seconds float64) time.Time {
	return time.Unix(1_000_000, 0).Add(time.Duration(seconds * float64(time.Second)))
}

func TestCounterOutlivesItsMap(t *testing.T) {
	for _, c := range []struct {
		name string
		seen []point
		want []float64
	}{
		{"it counts", []point{{value: 5, in: 1}, {value: 9, in: 1}}, []float64{5, 9}},
		{"it was emptied", []point{{value: 5, in: 1}, {value: 2, in: 1}, {value: 3, in: 1}}, []float64{5, 7, 8}},
		{"emptied twice", []point{{value: 5, in: 1}, {value: 0, in: 1}, {value: 4, in: 1}, {value: 1, in: 1}}, []float64{5, 5, 9, 10}},
		{"a fresh map", []point{{value: 5, in: 1}, {value: 0, in: 2}, {value: 2, in: 2}}, []float64{5, 5, 7}},
		{"a fresh map that counted more since", []point{{value: 5, in: 1}, {value: 50, in: 2}}, []float64{5, 55}},
		{"the same map under a new version", []point{{value: 5, in: 1}, {value: 6, in: 1, copied: true}}, []float64{5, 6}},
		{"a copy", []point{{value: 5, in: 1}, {value: 5, in: 2, copied: true}, {value: 8, in: 2, copied: true}}, []float64{5, 5, 8}},
		{"a copy that missed some", []point{{value: 9, in: 1}, {value: 7, in: 2, copied: true}, {value: 8, in: 2, copied: true}}, []float64{9, 9, 10}},
		{"a copy that was emptied", []point{{value: 9, in: 2, copied: true}, {value: 1, in: 2, copied: true}}, []float64{9, 10}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSeries(resource.Metric{As: resource.MetricCounter})
			for i, p := range c.seen {
				s.add(p)
				if got := s.value(clock(0)); got != c.want[i] {
					t.Errorf("point %d: %v, want %v", i, got, c.want[i])
				}
			}
		})
	}
}

// feed gives a series a value each second, and asks it after each.
func feed(s series, values ...float64) (told []float64) {
	for i, v := range values {
		s.add(point{at: clock(float64(i)), value: v, in: 1})
		told = append(told, s.value(clock(float64(i))))
	}
	return told
}

func wantEach(t *testing.T, got, want []float64) {
	t.Helper()
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("after second %d: %v, want %v (all: %v)", i, got[i], want[i], got)
		}
	}
}

func TestMaxRateIsTheHighestOfItsWindow(t *testing.T) {
	s := newSeries(resource.Metric{As: resource.MetricMaxRate, Window: 3 * time.Second})
	// A burst of 100 a second is told for three seconds; the map that is emptied
	// after it is no rate, neither up nor down.
	wantEach(t, feed(s, 0, 10, 110, 115, 3, 7, 8, 9), []float64{0, 10, 100, 100, 100, 5, 4, 4})
	if got := s.value(clock(60)); got != 0 {
		t.Errorf("long after: %v", got)
	}
	s = newSeries(resource.Metric{As: resource.MetricMaxRate, Window: 10 * time.Second})
	s.add(point{at: clock(0), value: 0, in: 1})
	s.add(point{at: clock(0.1), value: 50, in: 1}) // too soon for a rate
	s.add(point{at: clock(2), value: 200, in: 1})
	s.add(point{at: clock(3), value: 900, in: 2}) // another map
	if got := s.value(clock(3)); got != 100 {
		t.Errorf("200 in two seconds, and another map: %v, want 100", got)
	}
}

func TestAverageIsTheMeanOfItsWindow(t *testing.T) {
	s := newSeries(resource.Metric{As: resource.MetricAvg, Window: 3 * time.Second})
	wantEach(t, feed(s, 3, 5, 10, 0, 2), []float64{3, 4, 6, 5, 4})
	if got := s.value(clock(60)); got != 0 {
		t.Errorf("long after: %v", got)
	}
}

func TestWindowIsBounded(t *testing.T) {
	s := &average{window{length: 24 * time.Hour}}
	for i := range 3 * 24 * 3600 {
		s.add(point{at: clock(float64(i)), value: float64(i / (24 * 3600))})
	}
	if n := len(s.buckets); n > maxBuckets+1 {
		t.Errorf("%d buckets, want at most %d", n, maxBuckets+1)
	}
	if got := s.value(clock(3*24*3600 - 1)); got < 1.98 || got > 2 {
		t.Errorf("the mean of the last day is %v, want 2 but for a bucket's width", got)
	}
}
