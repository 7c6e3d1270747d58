package engine

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"reconciler/internal/driver"
	"reconciler/internal/resource"
)

// sampling lets Prometheus read what drivers tell of their dataplanes, at the
// moment it asks. What there is to read a tree says, so it is described only
// by being there.
type sampling struct {
	sources []samples
	bound   *resource.Set // that their wants were taken from; the loop's
}

// samples are those of one driver.
type samples struct {
	driver.Sampler
	name string
	want *atomic.Pointer[resource.Set] // what is wanted of it; nil before the first plan
}

func newSampling(drivers []driver.Driver) *sampling {
	s := &sampling{}
	for _, d := range drivers {
		if from, ok := d.(driver.Sampler); ok {
			s.sources = append(s.sources, samples{Sampler: from, name: d.Name(), want: new(atomic.Pointer[resource.Set])})
		}
	}
	return s
}

// wants says what is wanted, with the names of the kernel. Only the loop calls
// it.
func (s *sampling) wants(bound *resource.Set) {
	if s.bound == bound {
		return
	}
	s.bound = bound
	for _, src := range s.sources {
		src.want.Store(part(bound, src.name))
	}
}

// part is what of a set belongs to a driver.
func part(of *resource.Set, name string) *resource.Set {
	out := resource.NewSet(0)
	of.Each(func(k resource.Key, o resource.Object) bool {
		if k.Driver == name {
			out.Put(o)
		}
		return true
	})
	for _, o := range of.Aside() {
		if o.Key().Driver == name {
			out.SetAside(o)
		}
	}
	return out
}

// Describe promises nothing: which series there are is not known ahead.
func (s *sampling) Describe(chan<- *prometheus.Desc) {}

// Collect reads them. One that Prometheus would refuse is left out, as it would
// take all others with it.
func (s *sampling) Collect(to chan<- prometheus.Metric) {
	for _, src := range s.sources {
		// A copy: a set sorts itself when it is read.
		for _, one := range src.Samples(clone(src.want.Load())) {
			if m, err := metricOf(one); err == nil {
				to <- m
			}
		}
	}
}

func clone(s *resource.Set) *resource.Set {
	if s == nil {
		return nil
	}
	return s.Clone()
}

func metricOf(s driver.Sample) (prometheus.Metric, error) {
	kind := prometheus.GaugeValue
	if s.Kind == driver.Counter {
		kind = prometheus.CounterValue
	}
	names, values := make([]string, len(s.Labels)), make([]string, len(s.Labels))
	for i, l := range s.Labels {
		names[i], values[i] = l.Name, l.Value
	}
	return prometheus.NewConstMetric(prometheus.NewDesc(prefix+s.Name, s.Help, names, nil), kind, s.Value, values...)
}
