package engine

import (
	"fmt"
	"slices"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"reconciler/internal/driver"
	"reconciler/internal/driver/fake"
	"reconciler/internal/resource"
)

// sampler tells samples, and what it was told is wanted.
type sampler struct {
	driver.Driver
	samples []driver.Sample
	asked   []*resource.Set
}

func (s *sampler) Samples(want *resource.Set) []driver.Sample {
	s.asked = append(s.asked, want)
	return s.samples
}

func TestSamplesArePublished(t *testing.T) {
	of := func(link string) []driver.Label { return []driver.Label{{Name: "interface", Value: link}} }
	d := &sampler{Driver: fake.New(), samples: []driver.Sample{
		{Name: "chain_up", Help: "Up.", Kind: driver.Gauge, Labels: of("p0"), Value: 1},
		{Name: "program_drops", Help: "Drops.", Kind: driver.Counter, Labels: of("p0"), Value: 7},
		{Name: "program_drops", Help: "Drops.", Kind: driver.Counter, Labels: of("\xff"), Value: 7}, // no UTF-8
	}}
	s := newSampling([]driver.Driver{d})
	reg := prometheus.NewRegistry()
	reg.MustRegister(s)
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range families {
		for _, m := range f.GetMetric() {
			got = append(got, fmt.Sprintf("%s %s %s %v", f.GetName(), f.GetType(), m.GetLabel()[0].GetValue(), m.GetGauge().GetValue()+m.GetCounter().GetValue()))
		}
	}
	want := []string{"reconciler_chain_up GAUGE p0 1", "reconciler_program_drops COUNTER p0 7"}
	if !slices.Equal(got, want) {
		t.Errorf("published %q, want %q", got, want)
	}
	if d.asked[0] != nil {
		t.Errorf("wanted before the first plan: %v", d.asked[0].All())
	}

	bound := resource.NewSet(2)
	bound.Put(resource.Object{Resource: resource.Chain{Link: "p0", Hook: resource.XDPIngress}})
	mine := resource.Link{Name: "br0", Type: resource.Bridge}
	bound.Put(resource.Object{Resource: mine})
	bound.SetAside(resource.Object{Resource: mine})
	s.wants(bound)
	if _, err := reg.Gather(); err != nil {
		t.Fatal(err)
	}
	told := d.asked[len(d.asked)-1]
	if told.Len() != 1 || !told.Has(mine.Key()) || len(told.Aside()) != 1 {
		t.Errorf("wanted of the driver %s: %v", d.Name(), told.All())
	}
}
