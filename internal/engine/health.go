package engine

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"reconciler/internal/health"
	"reconciler/internal/intent"
	"reconciler/internal/resource"
)

// Health asks backends how they are (see health.Monitor).
type Health interface {
	task
	// Set makes these the targets; those that are the same go on undisturbed.
	Set([]health.Target)
	// Changed has a value when states have changed since the last one was taken.
	Changed() <-chan struct{}
	Snapshot() []health.Status
}

// nobody is the Health of an engine that asks no backend.
type nobody struct{}

func (nobody) String() string                { return "health" }
func (nobody) Run(ctx context.Context) error { <-ctx.Done(); return nil }
func (nobody) Set([]health.Target)           {}
func (nobody) Changed() <-chan struct{}      { return nil }
func (nobody) Snapshot() []health.Status     { return nil }

// targetID identifies an address of a backend, however packets get there.
func targetID(b resource.Backend) string { return b.Name + "/" + b.Address.String() }

// targets are the backends of a set that have a check, each address once, as the
// dataplane remembers them.
func targets(want, have *resource.Set) []health.Target {
	var out []health.Target
	seen := make(map[string]bool)
	for _, o := range want.All() {
		b, ok := o.Resource.(resource.Backend)
		if !ok || b.Check.Type == "" || seen[targetID(b)] {
			continue
		}
		seen[targetID(b)] = true
		held, _ := have.Get(o.Key())
		was, _ := held.Resource.(resource.Backend)
		out = append(out, health.Target{ID: targetID(b), Address: b.Address, Check: checkOf(b.Check), Was: wasOf(was.State)})
	}
	return out
}

// stateOf and wasOf turn states of targets into those of backends and back: their
// words are the same.
func stateOf(s health.State) resource.HealthState { return resource.HealthState(s.String()) }

func wasOf(s resource.HealthState) health.State {
	for _, state := range health.States() {
		if stateOf(state) == s {
			return state
		}
	}
	return health.Unknown
}

// checkOf is a check in the words of its package.
func checkOf(c resource.Check) health.Check {
	out := health.Check{
		Port: c.Port, Interval: c.Interval, FastInterval: c.FastInterval, DownInterval: c.DownInterval, Timeout: c.Timeout,
		Jitter: int(c.Jitter), Rise: int(c.Rise), Fall: int(c.Fall), Source: c.Source, Netns: c.Netns, Mark: c.Mark,
	}
	for _, t := range health.Types() {
		if t.String() == string(c.Type) {
			out.Type = t
		}
	}
	if c.Type == resource.CheckHTTP || c.Type == resource.CheckHTTPS {
		out.HTTP = health.Request{Method: c.HTTP.Method, Path: c.HTTP.Path, Host: c.HTTP.Host, Status: statuses(c.HTTP.Status), Body: c.HTTP.Body}
		out.TLS = health.TLS{ServerName: c.HTTP.ServerName, Insecure: c.HTTP.Insecure}
	}
	return out
}

// statuses reads what desired has checked: "200-299,404".
func statuses(text string) (set health.StatusSet) {
	for word := range strings.SplitSeq(text, ",") {
		low, high, isRange := strings.Cut(word, "-")
		first, err := strconv.Atoi(low)
		if err != nil {
			continue
		}
		last := first
		if isRange {
			if last, err = strconv.Atoi(high); err != nil {
				continue
			}
		}
		set.Add(first, last)
	}
	return set
}

// facts are what is known of each record; nil where nobody asks.
func (b *balance) facts(want *resource.Set) map[resource.Key]intent.Health {
	if b.health == (nobody{}) {
		return nil
	}
	byID := make(map[string]health.Status)
	for _, s := range b.health.Snapshot() {
		byID[s.ID] = s
	}
	out := make(map[resource.Key]intent.Health)
	want.Each(func(k resource.Key, o resource.Object) bool {
		if one, ok := o.Resource.(resource.Backend); ok {
			if s, asked := byID[targetID(one)]; asked {
				out[k] = intent.Health{State: stateOf(s.State), Why: why(s)}
			}
		}
		return true
	})
	return out
}

func why(s health.Status) string {
	if s.State != health.Down || len(s.History) == 0 {
		return ""
	}
	r := s.History[len(s.History)-1].Result
	if r.Detail == "" {
		return r.Code.String()
	}
	return fmt.Sprintf("%s: %s", r.Code, r.Detail)
}

// tellTurns makes events of what changed since the last look.
func (l *loop) tellTurns() {
	b := &l.balance
	now := b.health.Snapshot()
	states := make(map[string]health.State, len(now))
	for _, s := range now {
		states[s.ID] = s.State
		was, known := b.states[s.ID]
		if !known {
			was = health.Unknown
		}
		if was != s.State {
			text := fmt.Sprintf("backend %s is %s, was %s", s.ID, s.State, was)
			if w := why(s); w != "" {
				text += ": " + w
			}
			l.event(Event{Type: EventHealth, Message: text})
		}
	}
	b.states = states
}

// HealthMetrics counts what probes are answered. Its series exist from the
// first scrape.
type HealthMetrics struct {
	probes      *prometheus.CounterVec
	duration    *prometheus.HistogramVec
	transitions *prometheus.CounterVec
}

// NewHealthMetrics registers them.
func NewHealthMetrics(reg prometheus.Registerer) *HealthMetrics {
	m := &HealthMetrics{
		probes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: prefix + "health_probes_total", Help: "Probes of backends, by type and result.",
		}, []string{"type", "result"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: prefix + "health_probe_duration_seconds", Help: "How long probes took.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 14), // to 4 s
		}, []string{"type"}),
		transitions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: prefix + "health_transitions_total", Help: "Changes of the state of backends.",
		}, []string{"from", "to"}),
	}
	for _, t := range health.Types() {
		m.duration.WithLabelValues(t.String())
		for _, c := range health.Codes() {
			m.probes.WithLabelValues(t.String(), c.String())
		}
	}
	for _, from := range health.States() {
		for _, to := range []health.State{health.Up, health.Down} {
			if from != to {
				m.transitions.WithLabelValues(from.String(), to.String())
			}
		}
	}
	reg.MustRegister(m.probes, m.duration, m.transitions)
	return m
}

// Probed counts a probe.
func (m *HealthMetrics) Probed(t health.Type, c health.Code, took time.Duration) {
	m.probes.WithLabelValues(t.String(), c.String()).Inc()
	m.duration.WithLabelValues(t.String()).Observe(took.Seconds())
}

// Turned counts a change of state.
func (m *HealthMetrics) Turned(_ string, from, to health.State) {
	m.transitions.WithLabelValues(from.String(), to.String()).Inc()
}
