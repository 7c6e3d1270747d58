package chain

import (
	"slices"
	"time"

	"github.com/cilium/ebpf"

	"reconciler/internal/resource"
)

// point is a value of a map at some time.
type point struct {
	at     time.Time
	value  float64
	in     ebpf.MapID // which map
	copied bool       // a new map begins with what a former one held
}

// series makes what is published of the points that were seen. Those of
// counters and scalars are the better the more there are; those of windows come
// with each readBack.
type series interface {
	add(point)
	value(now time.Time) float64
}

func newSeries(m resource.Metric) series {
	switch m.As {
	case resource.MetricCounter:
		return new(counter)
	case resource.MetricMaxRate:
		return &maxRate{window: window{length: m.Window}}
	case resource.MetricAvg:
		return &average{window: window{length: m.Window}}
	}
	return new(scalar)
}

// scalar is the last value.
type scalar struct{ last float64 }

func (s *scalar) add(p point)             { s.last = p.value }
func (s *scalar) value(time.Time) float64 { return s.last }

// counter never falls: where the map is another one or holds less than before,
// it goes on from what was counted until then.
type counter struct {
	begun bool
	last  point
	base  float64
}

func (c *counter) add(p point) {
	switch anew := p.in != c.last.in; {
	case !c.begun:
	case anew && p.copied:
		c.base += max(0, c.last.value-p.value) // what was counted while it was copied
	case anew || p.value < c.last.value:
		c.base += c.last.value
	}
	c.begun, c.last = true, p
}

func (c *counter) value(time.Time) float64 { return c.base + c.last.value }

// shortest is the time that a rate is taken over at least: when a tick comes
// late, the next one follows soon, and what was counted in between would be
// taken for a burst.
const shortest = readBack * 9 / 10

// maxRate is the highest increase a second.
type maxRate struct {
	window
	begun bool
	last  point
}

func (r *maxRate) add(p point) {
	took, same := p.at.Sub(r.last.at), p.in == r.last.in && p.value >= r.last.value
	if r.begun && same && took < shortest {
		return
	}
	if r.begun && same {
		r.put(p.at, (p.value-r.last.value)/took.Seconds())
	}
	r.begun, r.last = true, p
}

func (r *maxRate) value(now time.Time) float64 {
	highest := 0.0
	for _, b := range r.since(now) {
		highest = max(highest, b.highest)
	}
	return highest
}

// average is the mean of the values.
type average struct{ window }

func (a *average) add(p point) { a.put(p.at, p.value) }

func (a *average) value(now time.Time) float64 {
	sum, count := 0.0, 0
	for _, b := range a.since(now) {
		sum, count = sum+b.sum, count+b.count
	}
	return sum / float64(max(count, 1))
}

// maxBuckets bounds what a window remembers, however long it is.
const maxBuckets = 128

// window is what was seen in the last so long. A long one puts neighbours
// together: it is as exact as its length divided by maxBuckets.
type window struct {
	length  time.Duration
	buckets []bucket // the newest last
}

type bucket struct {
	from, to     time.Time // of the first and the last value in it
	highest, sum float64
	count        int
}

func (w *window) put(at time.Time, v float64) {
	if n := len(w.buckets); n > 0 && at.Sub(w.buckets[n-1].from) < w.length/maxBuckets {
		b := &w.buckets[n-1]
		b.to, b.highest, b.sum, b.count = at, max(b.highest, v), b.sum+v, b.count+1
		return
	}
	w.buckets = append(w.buckets, bucket{at, at, v, v, 1})
	w.buckets = slices.Delete(w.buckets, 0, max(0, len(w.buckets)-maxBuckets-1))
}

// since are the buckets that the window still reaches.
func (w *window) since(now time.Time) []bucket {
	i := slices.IndexFunc(w.buckets, func(b bucket) bool { return now.Sub(b.to) < w.length })
	if i < 0 {
		return nil
	}
	return w.buckets[i:]
}
