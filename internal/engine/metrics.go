package engine

import (
	"github.com/prometheus/client_golang/prometheus"

	"reconciler/internal/diff"
	"reconciler/internal/resource"
)

// metrics are what Prometheus reads. Every series is there from the first
// scrape on, at zero, so that a rate can be taken and an alert be written.
type metrics struct {
	inSync      prometheus.Gauge
	objects     prometheus.Gauge
	held        prometheus.Gauge
	success     prometheus.Gauge
	sourceOK    prometheus.Gauge
	passes      *prometheus.CounterVec
	duration    prometheus.Histogram
	repair      prometheus.Histogram
	operations  *prometheus.CounterVec
	drift       *prometheus.CounterVec
	conditions  *prometheus.GaugeVec
	revisions   *prometheus.CounterVec
	overruns    prometheus.Counter
	undone      prometheus.Counter
	confirmed   prometheus.Counter
	stateErrors prometheus.Counter
}

var (
	opOutcomes = []string{"done", "failed", "blocked"}
	opVerbs    = []diff.Verb{diff.Create, diff.Update, diff.Replace, diff.Delete}
	opKinds    = []resource.Kind{
		resource.KindLink, resource.KindAddress, resource.KindRoute, resource.KindRule,
		resource.KindNeighbour, resource.KindPort, resource.KindSysctl, resource.KindProgram, resource.KindMap, resource.KindChain,
		resource.KindBalancer, resource.KindBackend, resource.KindVIP, resource.KindDrain,
	}
)

const prefix = "reconciler_"

// newMetrics makes them, and registers them where there is a registry.
func newMetrics(reg prometheus.Registerer, version string) *metrics {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: prefix + name, Help: help})
	}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: prefix + name, Help: help})
	}
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: prefix + name, Help: help}, labels)
	}
	seconds := func(name, help string) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: prefix + name, Help: help, Buckets: prometheus.ExponentialBuckets(0.0005, 2, 16), // to 16 s
		})
	}
	m := &metrics{
		inSync:      gauge("in_sync", "Whether the host is as it is wanted: 1 or 0."),
		objects:     gauge("wanted_objects", "How many objects are wanted."),
		held:        gauge("held_deletions", "How many deletions wait for an approval."),
		success:     gauge("last_success_timestamp_seconds", "When the host was last found or made as it is wanted."),
		sourceOK:    gauge("source_healthy", "Whether the source can be read: 1 or 0."),
		passes:      counters("passes_total", "Passes, by what they were made for.", "cause"),
		duration:    seconds("pass_duration_seconds", "How long passes took."),
		repair:      seconds("repair_duration_seconds", "From a kernel event to the repair of what it told of."),
		operations:  counters("operations_total", "Operations, by how they ended.", "verb", "kind", "outcome"),
		drift:       counters("drift_total", "Repaired drift, by how it was noticed.", "kind", "cause"),
		revisions:   counters("revisions_total", "Revisions that the source delivered.", "result"),
		overruns:    counter("events_overrun_total", "How often kernel events were lost."),
		undone:      counter("undo_total", "Applies that were undone."),
		confirmed:   counter("confirmed_total", "Applies that became final."),
		stateErrors: counter("state_errors_total", "Writes to the state directory that failed."),
		conditions: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: prefix + "condition", Help: "Conditions: 1 where raised.",
		}, []string{"type"}),
	}
	m.zero()
	if reg != nil {
		m.register(reg, version)
	}
	return m
}

// zero makes every series that can ever be.
func (m *metrics) zero() {
	for _, c := range causes {
		m.passes.WithLabelValues(string(c))
		for _, k := range opKinds {
			m.drift.WithLabelValues(string(k), string(c))
		}
	}
	for _, v := range opVerbs {
		for _, k := range opKinds {
			for _, o := range opOutcomes {
				m.operations.WithLabelValues(v.String(), string(k), o)
			}
		}
	}
	for _, t := range conditionTypes {
		m.conditions.WithLabelValues(string(t))
	}
	for _, result := range []string{"valid", "invalid"} {
		m.revisions.WithLabelValues(result)
	}
}

func (m *metrics) register(reg prometheus.Registerer, version string) {
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: prefix + "build_info", Help: "The version of this build; always 1.",
	}, []string{"version"})
	build.WithLabelValues(version).Set(1)
	reg.MustRegister(build, m.inSync, m.objects, m.held, m.success, m.sourceOK, m.passes, m.duration, m.repair, m.operations,
		m.drift, m.conditions, m.revisions, m.overruns, m.undone, m.confirmed, m.stateErrors)
}

func setBool(g prometheus.Gauge, v bool) {
	if v {
		g.Set(1)
		return
	}
	g.Set(0)
}
