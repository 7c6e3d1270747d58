package chain

import (
	"time"

	"github.com/cilium/ebpf"

	"reconciler/internal/resource"
)

// maxSeries bounds the numbers of maps that are published.
const maxSeries = 4096

// metering is what is measured of programs, over time.
type metering struct {
	series  map[seriesKey]*measured
	meters  map[meterKey]foundMeter
	crowded bool // it was told that there are too many
}

// seriesKey is a metric of an instance, whatever its version.
type seriesKey struct{ program, link, metric string }

// measured is a series and where its last point is from.
type measured struct {
	series
	metric resource.Metric
	digest string // of the instance; empty before the first point
}

func newMetering() metering {
	return metering{series: map[seriesKey]*measured{}, meters: map[meterKey]foundMeter{}}
}

// instance is a program that runs.
type instance struct{ program, link, digest string }

// instances are those in the slots of the chains seen last, each once, in
// their order.
func (d *Driver) instances() []instance {
	had := map[instance]bool{}
	var out []instance
	for _, c := range d.chainsSeen() {
		for _, s := range c.Slots {
			if i := (instance{s.Program, s.Link, s.Digest}); !had[i] {
				had[i] = true
				out = append(out, i)
			}
		}
	}
	return out
}

// metered are the programs that have metrics, by name: all instances of one
// have the same.
func (d *Driver) metered() map[string]resource.Program {
	out := map[string]resource.Program{}
	d.wanted.Each(func(_ resource.Key, o resource.Object) bool {
		if p, ok := o.Resource.(resource.Program); ok && len(p.Metrics) > 0 {
			out[p.Name] = p
		}
		return true
	})
	return out
}

// measure adds a point to all series of the instances that run. Windows have
// their points at even distances: they wait for a tick once they have one.
func (d *Driver) measure(now time.Time, tick bool) {
	metered := d.metered()
	d.metering.forget(metered)
	open := openMaps{}
	defer open.close()
	for _, i := range d.instances() {
		p, ok := metered[i.program]
		if !ok {
			continue
		}
		for _, m := range p.Metrics {
			s := d.metering.of(seriesKey{i.program, i.link, m.Name}, m)
			if s == nil {
				d.tellCrowded()
				return
			}
			if !tick && m.Window != 0 && s.digest != "" {
				continue
			}
			if s.digest != "" && s.digest != i.digest && m.Window == 0 {
				d.point(s, p, instance{i.program, i.link, s.digest}, measuring{now, open}) // what it came to
			}
			d.point(s, p, i, measuring{now, open})
		}
	}
}

// measuring is one round of reading.
type measuring struct {
	now  time.Time
	open openMaps
}

// point reads a value, where it can be had.
func (d *Driver) point(s *measured, p resource.Program, i instance, r measuring) {
	at, ok := d.meterOf(p, s.metric)
	if !ok {
		return
	}
	m := r.open.get(mapPin(d.pins.program(i.program, i.link, i.digest), s.metric.Map))
	if m.Map == nil {
		return
	}
	v, err := at.read(m.Map)
	if err != nil {
		return
	}
	s.add(point{at: r.now, value: v, in: m.id, copied: p.OnNewVersion == resource.Copy})
	s.digest = i.digest
}

// lastWords takes what a version came to, before it goes.
func (d *Driver) lastWords(gone resource.Program) {
	open := openMaps{}
	defer open.close()
	p, ok := d.metered()[gone.Name]
	if !ok {
		return
	}
	for _, m := range p.Metrics {
		s := d.metering.series[seriesKey{gone.Name, gone.Link, m.Name}]
		if s != nil && s.digest == gone.Digest && m.Window == 0 {
			d.point(s, p, instance{gone.Name, gone.Link, gone.Digest}, measuring{time.Now(), open})
		}
	}
}

// of is a series, made where it is missing or means something else by now; nil
// where there are too many.
func (m *metering) of(k seriesKey, is resource.Metric) *measured {
	if s := m.series[k]; s != nil && sameMetric(s.metric, is) {
		return s
	}
	if m.series[k] == nil && len(m.series) >= maxSeries {
		return nil
	}
	s := &measured{series: newSeries(is), metric: is}
	m.series[k] = s
	return s
}

func sameMetric(a, b resource.Metric) bool {
	return a.Map == b.Map && a.As == b.As && a.Window == b.Window && a.Field == b.Field && a.Key.Equal(b.Key)
}

// forget drops the series of what has no such metric any more. An instance
// that does not run may run again, and its counters go on then.
func (m *metering) forget(metered map[string]resource.Program) {
	for k := range m.series {
		has := false
		for _, is := range metered[k.program].Metrics {
			has = has || is.Name == k.metric
		}
		if !has {
			delete(m.series, k)
		}
	}
}

func (d *Driver) tellCrowded() {
	if !d.metering.crowded {
		d.cfg.Log.Warn("too many metrics of programs: the rest has no values", "most", maxSeries)
	}
	d.metering.crowded = true
}

// openMaps are maps that are open for one round, by their pins; many metrics
// are of one map.
type openMaps map[string]openMap

type openMap struct {
	*ebpf.Map // nil where it is not there
	id        ebpf.MapID
}

func (o openMaps) get(pin string) openMap {
	if m, had := o[pin]; had {
		return m
	}
	m, err := ebpf.LoadPinnedMap(pin, &ebpf.LoadPinOptions{ReadOnly: true})
	if err != nil {
		o[pin] = openMap{}
		return openMap{}
	}
	id, _ := mapID(m) // 0 where the kernel tells none
	o[pin] = openMap{m, id}
	return o[pin]
}

func (o openMaps) close() {
	for _, m := range o {
		m.Close()
	}
}
