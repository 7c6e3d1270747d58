package chain

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"reconciler/internal/driver"
	"reconciler/internal/observed"
	"reconciler/internal/resource"
)

// Samples tells of each chain whether it is up and as it is wanted, and the
// metrics of its programs. All of it is read back now, but for windows, which
// are what each readBack saw.
func (d *Driver) Samples(want *resource.Set) []driver.Sample {
	d.mu.Lock()
	defer d.mu.Unlock()
	have, err := d.look(context.Background(), observed.Query{Want: want})
	if err != nil {
		d.cfg.Log.Warn("chains cannot be read for metrics", "err", err)
		return nil
	}
	now := time.Now()
	d.measure(now, false)
	return append(chainSamples(have, want), d.programSamples(want, now)...)
}

// chainSamples are of all chains that are wanted or there.
func chainSamples(have observed.State, want *resource.Set) []driver.Sample {
	chains := map[resource.Key]resource.Chain{}
	add := func(o resource.Object) {
		if c, ok := o.Resource.(resource.Chain); ok && o.Owner != resource.Foreign {
			chains[o.Key()] = c
		}
	}
	for _, o := range slices.Concat(have.Objects.All(), aside(want), want.All()) {
		add(o)
	}
	var out []driver.Sample
	for k, c := range chains {
		labels := []driver.Label{{Name: "interface", Value: c.Link}, {Name: "hook", Value: string(c.Hook)}, {Name: "chain", Value: c.Label}}
		out = append(out,
			driver.Sample{
				Name: "chain_up", Help: "Whether a chain is attached and whole: 1 or 0.",
				Kind: driver.Gauge, Labels: labels, Value: oneIf(isUp(have, k)),
			},
			driver.Sample{
				Name: "chain_drift", Help: "Whether a chain, its programs or their maps differ from what is wanted: 1 or 0.",
				Kind: driver.Gauge, Labels: labels, Value: oneIf(drifts(have, want, k)),
			})
	}
	return out
}

func aside(want *resource.Set) []resource.Object {
	if want == nil {
		return nil
	}
	return want.Aside()
}

func oneIf(v bool) float64 {
	if v {
		return 1
	}
	return 0
}

func isUp(have observed.State, k resource.Key) bool {
	o, _ := have.Objects.Get(k)
	c, ok := o.Resource.(resource.Chain)
	return ok && o.Owner == resource.Ours && c.Seen.Attach != "" && len(c.Seen.Damage) == 0
}

// drifts compares a chain and all it stands on with what is wanted. Where that
// is not known only damage tells; what cannot be read is no drift.
func drifts(have observed.State, want *resource.Set, k resource.Key) bool {
	wanted, ok := want.Get(k)
	if !ok {
		o, there := have.Objects.Get(k)
		c, _ := o.Resource.(resource.Chain)
		leftOver := want != nil && !isAside(want, k)
		return there && o.Owner == resource.Ours && (leftOver || len(c.Seen.Damage) > 0)
	}
	differs := func(k resource.Key, o resource.Object) bool {
		if _, blind := have.IsBlind(o.Resource); blind {
			return false
		}
		h, there := have.Objects.Get(k)
		return !there || h.Owner == resource.Foreign || !o.Equal(h.Resource)
	}
	if differs(k, wanted) {
		return true
	}
	found := false
	needs := wanted.Requires()
	want.Each(func(k resource.Key, o resource.Object) bool {
		switch r := o.Resource.(type) {
		case resource.Program:
			found = slices.Contains(needs, k) && differs(k, o)
		case resource.Map:
			found = slices.Contains(needs, r.Requires()[0]) && differs(k, o)
		}
		return !found
	})
	return found
}

func isAside(want *resource.Set, k resource.Key) bool {
	return slices.ContainsFunc(want.Aside(), func(o resource.Object) bool { return o.Key() == k })
}

// programSamples are the metrics of all instances that are wanted, whether or
// not they run yet.
func (d *Driver) programSamples(want *resource.Set, now time.Time) []driver.Sample {
	places := placesOf(want)
	var out []driver.Sample
	for _, o := range want.All() {
		p, ok := o.Resource.(resource.Program)
		if !ok {
			continue
		}
		labels := append([]driver.Label{{Name: "program", Value: p.Name}, {Name: "interface", Value: p.Link}},
			places[resource.ProgramKey(p.Name, p.Link, "")].labels()...)
		for _, m := range p.Metrics {
			if len(out) >= maxSeries {
				return out
			}
			v := 0.0
			if s := d.metering.series[seriesKey{p.Name, p.Link, m.Name}]; s != nil {
				v = s.value(now)
			}
			out = append(out, driver.Sample{
				Name: "program_" + m.Name, Help: "Of a map of a program, as " + string(m.As) + ".",
				Kind: kindOf(m.As), Labels: labels, Value: v,
			})
		}
	}
	return out
}

func kindOf(as resource.MetricKind) driver.SampleKind {
	if as == resource.MetricCounter {
		return driver.Counter
	}
	return driver.Gauge
}

// place is where an instance runs: one map counts for all its hooks.
type place struct{ hooks, chains []string }

func (p place) labels() []driver.Label {
	chain := ""
	if len(p.chains) == 1 {
		chain = p.chains[0]
	}
	slices.SortFunc(p.hooks, func(a, b string) int { return cmp.Compare(hookNumber(resource.Hook(a)), hookNumber(resource.Hook(b))) })
	return []driver.Label{{Name: "hook", Value: strings.Join(p.hooks, ",")}, {Name: "chain", Value: chain}}
}

func placesOf(want *resource.Set) map[resource.Key]place {
	out := map[resource.Key]place{}
	for _, o := range want.All() {
		c, ok := o.Resource.(resource.Chain)
		if !ok {
			continue
		}
		for _, s := range c.Slots {
			k := resource.ProgramKey(s.Program, s.Link, "")
			p := out[k]
			p.hooks, p.chains = with(p.hooks, string(c.Hook)), with(p.chains, c.Label)
			out[k] = p
		}
	}
	return out
}

func with(list []string, s string) []string {
	if slices.Contains(list, s) {
		return list
	}
	return append(list, s)
}
