package engine

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"reconciler/internal/diff"
	"reconciler/internal/driver"
	"reconciler/internal/driver/fake"
	"reconciler/internal/health"
	"reconciler/internal/intent"
	"reconciler/internal/observed"
	"reconciler/internal/resource"
)

// doctor says how backends are, as a test tells it to.
type doctor struct {
	mu      sync.Mutex
	states  map[string]health.State
	targets []health.Target
	changed chan struct{}
}

func newDoctor() *doctor {
	return &doctor{states: map[string]health.State{}, changed: make(chan struct{}, 1)}
}

func (d *doctor) String() string                { return "doctor" }
func (d *doctor) Run(ctx context.Context) error { <-ctx.Done(); return nil }
func (d *doctor) Changed() <-chan struct{}      { return d.changed }

func (d *doctor) Set(targets []health.Target) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.targets = targets
}

func (d *doctor) Snapshot() []health.Status {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []health.Status
	for _, t := range d.targets {
		s := health.Status{ID: t.ID, Address: t.Address, State: health.Unknown}
		if state, said := d.states[t.ID]; said {
			s.State = state
			s.History = []health.Transition{{From: health.Unknown, To: state, Result: health.Result{Code: health.Timeout}}}
		}
		out = append(out, s)
	}
	return out
}

// say tells how backends are: "a=up b=down".
func (d *doctor) say(words string) {
	d.mu.Lock()
	for _, w := range strings.Fields(words) {
		name, state, _ := strings.Cut(w, "=")
		d.states[name+"/10.0.0."+fmt.Sprint(name[0]-'a'+1)] = map[string]health.State{"up": health.Up, "down": health.Down}[state]
	}
	d.mu.Unlock()
	select {
	case d.changed <- struct{}{}:
	default:
	}
}

// lbHost is the balancer in memory, for several goroutines.
type lbHost struct {
	mu   sync.Mutex
	fake *fake.Balancer
	slow time.Duration // that an apply takes
}

func (h *lbHost) Name() string                             { return h.fake.Name() }
func (h *lbHost) Check(r resource.Resource) []driver.Fault { return nil }

func (h *lbHost) Observe(ctx context.Context, q observed.Query) (observed.State, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.fake.Observe(ctx, q)
}

func (h *lbHost) Apply(ctx context.Context, ops []diff.Op) []error {
	h.mu.Lock()
	defer h.mu.Unlock()
	time.Sleep(h.slow)
	return h.fake.Apply(ctx, ops)
}

// get is one object of the dataplane; nil where it is not there.
func (h *lbHost) get(k resource.Key) resource.Resource {
	s, err := h.Observe(context.Background(), observed.Query{})
	if err != nil {
		panic(err)
	}
	o, _ := s.Objects.Get(k)
	return o.Resource
}

func (h *lbHost) set(r resource.Resource) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.fake.Set(r)
}

// ward is a rig with a balancer and a doctor.
type ward struct {
	*rig
	lb     *lbHost
	doctor *doctor
}

func inWard(t *testing.T, test func(*testing.T, *ward)) {
	bubble(t, func(t *testing.T, r *rig) {
		w := &ward{rig: r, doctor: newDoctor()}
		w.lb = &lbHost{fake: fake.NewBalancer(func() time.Duration { return time.Since(r.began) })}
		r.drivers = []driver.Driver{r.host, w.lb}
		r.health = w.doctor
		r.start()
		test(t, w)
	})
}

const webVIP = `
lb: {defaults: {drain: 1m, slow-start: 0s}, source-address: {ipv4: 10.200.0.0/16}}
healthchecks: {ok: {type: tcp, port: 80}}
backends:
  a: {address: 10.0.0.1, healthcheck: ok, labels: {rack: r1}}
  b: {address: 10.0.0.2, healthcheck: ok, labels: {rack: r2}}
pools: {web: {backends: {a: 100, b: 100}}}
vips:
  www: {address: 192.0.2.80, ports: [tcp/80], pools: [web], announce: {interface: lo, withdraw-after: 3s, return-after: 10s}}
`

func (w *ward) shares() string {
	v, _ := w.lb.get(resource.VIPKey("www", resource.IPv4)).(resource.VIP)
	var out []string
	for _, s := range v.Shares {
		name, _, _ := strings.Cut(s.Backend, "/")
		out = append(out, fmt.Sprintf("%s=%d", name, s.Weight))
	}
	return strings.Join(out, " ")
}

func (w *ward) wants(shares string) {
	w.t.Helper()
	if got := w.shares(); got != shares {
		w.t.Fatalf("shares are %q, want %q", got, shares)
	}
}

var announcedKey = resource.AddressKey("lo", netip.MustParsePrefix("192.0.2.80/32"))

func TestHealthMovesFlowsAndIsNoDrift(t *testing.T) {
	inWard(t, func(t *testing.T, w *ward) {
		w.push("rev-one", webVIP)
		w.wants("")
		w.hasNot(announcedKey)
		w.doctor.say("a=up b=up")
		w.wait(time.Second)
		w.wants("a=100 b=100")
		w.has(announcedKey)
		w.inSync("rev-one")

		w.doctor.say("a=down")
		w.wait(time.Second)
		w.wants("b=100")
		last := w.engine.History()[0]
		if last.Drift || last.Cause != CauseHealth {
			t.Errorf("the last pass is %+v, want one for health", last)
		}
		drain := resource.Drain{VIP: "www/ipv4"}.Key()
		if w.lb.get(drain) == nil {
			t.Fatal("no drain has begun")
		}
		w.wait(2 * time.Minute)
		if w.lb.get(drain) != nil {
			t.Error("the drain is not over after two minutes")
		}
		w.doctor.say("b=down")
		w.wait(time.Second)
		w.wants("")
		w.has(announcedKey)
		w.wait(3 * time.Second)
		w.hasNot(announcedKey)
		w.inSync("rev-one")
		if got := w.metric("drift_total"); got != 0 {
			t.Errorf("drift_total is %v: what health moved is no drift: %s", got, eventText(w.rig, EventDrift))
		}
		if got := eventText(w.rig, EventHealth); !strings.Contains(got, "vip www/ipv4 is down, was up") || !strings.Contains(got, "backend a/10.0.0.1 is down, was up: timeout") {
			t.Errorf("events %q", got)
		}
		w.doctor.say("a=up b=up")
		w.wait(9 * time.Second)
		w.wants("a=100 b=100")
		w.hasNot(announcedKey)
		w.wait(2 * time.Second)
		w.has(announcedKey)
	})
}

// TestSlowStartOnASlowHost has an apply take longer than a slow start from one
// step to the next. What is due by then is news, and nothing that was left undone.
func TestSlowStartOnASlowHost(t *testing.T) {
	inWard(t, func(t *testing.T, w *ward) {
		w.push("rev-one", strings.Replace(webVIP, "slow-start: 0s", "slow-start: 20s", 1))
		w.doctor.say("a=up b=up")
		w.wait(2 * time.Minute)
		w.doctor.say("a=down")
		w.wait(2 * time.Minute)
		w.lb.slow = 2500 * time.Millisecond
		w.doctor.say("a=up")
		for range 60 {
			w.wait(time.Second)
			w.cleared(CondUnfinished)
		}
		w.wants("a=100 b=100")
		w.inSync("rev-one")
		if got := w.metric("drift_total"); got != 0 {
			t.Errorf("drift_total is %v: %s", got, eventText(w.rig, EventDrift))
		}
		for _, p := range w.engine.History() {
			if p.Outcome == OutcomeFailed {
				t.Errorf("a pass failed: %+v", p)
			}
		}
	})
}

func TestRestartMovesNoFlow(t *testing.T) {
	inWard(t, func(t *testing.T, w *ward) {
		w.push("rev-one", webVIP)
		w.doctor.say("a=up b=up")
		w.wait(time.Second)
		w.doctor.say("a=down")
		w.wait(2 * time.Minute)
		w.wants("b=100")
		w.end()

		done := len(w.lb.fake.Done)
		w.doctor = newDoctor()
		w.health = w.doctor
		w.start()
		w.wait(time.Minute)
		w.wants("b=100") // though nobody was asked
		w.has(announcedKey)
		w.doctor.say("a=down b=up")
		w.wait(time.Minute)
		if got := len(w.lb.fake.Done) - done; got != 0 {
			t.Errorf("a restart changed %d things: %v", got, w.lb.fake.Done[done:])
		}
		w.doctor.say("a=up")
		w.wait(time.Second)
		w.wants("a=100 b=100")
	})
}

func TestDriftOfAVIPIsDrift(t *testing.T) {
	inWard(t, func(t *testing.T, w *ward) {
		w.push("rev-one", webVIP)
		w.doctor.say("a=up b=up")
		w.wait(2 * time.Minute)
		v := w.lb.get(resource.VIPKey("www", resource.IPv4)).(resource.VIP)
		v.Seen.Damage = []string{"12 slots of the ring are another backend's"}
		w.lb.set(v)
		w.wait(defaultResync)
		w.inSync("rev-one")
		if got := w.metric("drift_total"); got != 1 {
			t.Errorf("drift_total is %v, want 1", got)
		}
	})
}

// A gateway that changes hands again and again is nobody who undoes our work:
// each time the new way is taken.
func TestWayThatChangesIsNoDrift(t *testing.T) {
	inWard(t, func(t *testing.T, w *ward) {
		w.push("rev-one", webVIP)
		w.doctor.say("a=up b=up")
		w.wait(2 * time.Minute)
		k := resource.BackendKey("a", netip.MustParseAddr("10.0.0.1"), resource.IPIP)
		for i := range 8 {
			a := w.lb.get(k).(resource.Backend)
			a.Seen.Damage, a.Seen.Moved = []string{"mac 02:00:00:00:00:01 -> 02:00:00:00:00:02"}, true
			w.lb.set(a)
			w.doctor.say("a=up") // which makes it look
			w.wait(5 * time.Second)
			if a := w.lb.get(k).(resource.Backend); len(a.Seen.Damage) > 0 {
				t.Fatalf("after %d changes the way is left as it was", i)
			}
		}
		if got := w.metric("drift_total"); got != 0 {
			t.Errorf("drift_total is %v, want 0", got)
		}
	})
}

func TestOverrides(t *testing.T) {
	weight := uint8(7)
	for name, c := range map[string]struct {
		over   Override
		shares string
		shown  bool
	}{
		"a backend is paused":   {Override{Kind: OverBackend, Name: "a", State: intent.Paused}, "b=100", true},
		"a backend is weighed":  {Override{Kind: OverBackend, Name: "a", Weight: &weight}, "a=7 b=100", true},
		"a rack drains":         {Override{Kind: OverDrain, Select: map[string]string{"rack": "r2"}}, "a=100", true},
		"the VIP is disabled":   {Override{Kind: OverVIP, Name: "www", State: intent.Disabled}, "", false},
		"the host is withdrawn": {Override{Kind: OverHost}, "a=100 b=100", false},
	} {
		t.Run(name, func(t *testing.T) {
			inWard(t, func(t *testing.T, w *ward) {
				w.push("rev-one", webVIP)
				w.doctor.say("a=up b=up")
				w.wait(2 * time.Minute)
				c.over.Reason = "a reason"
				if _, err := w.engine.Override(context.Background(), c.over, time.Hour); err != nil {
					t.Fatal(err)
				}
				w.wait(5 * time.Second)
				w.wants(c.shares)
				if w.host.holds(announcedKey) != c.shown {
					t.Errorf("announced %v, want %v", !c.shown, c.shown)
				}
				if s := w.engine.Status(); len(s.Overrides) != 1 || s.Overrides[0].Reason != "a reason" {
					t.Errorf("status shows %+v", s.Overrides)
				}
				w.raised(CondOverridden)

				w.end()
				w.start() // it outlives the process
				w.wait(5 * time.Second)
				w.wants(c.shares)
				w.wait(time.Hour)
				w.wants("a=100 b=100")
				w.cleared(CondOverridden)
				if got := w.metric("drift_total"); got != 0 {
					t.Errorf("drift_total is %v", got)
				}
			})
		})
	}
}

func TestReleaseOverride(t *testing.T) {
	inWard(t, func(t *testing.T, w *ward) {
		w.push("rev-one", webVIP)
		w.doctor.say("a=up b=up")
		w.wait(2 * time.Minute)
		ctx, over := context.Background(), Override{Kind: OverBackend, Name: "a", State: intent.Disabled}
		for _, refused := range []Override{
			{Kind: OverBackend, Name: "nobody", State: intent.Paused}, {Kind: OverBackend, Name: "a"}, {Kind: OverDrain},
			{Kind: OverDrain, Select: map[string]string{"rack": "r9"}}, {Kind: "else", Name: "a"}, {Kind: OverVIP, Name: "www", State: intent.Paused},
		} {
			if _, err := w.engine.Override(ctx, refused, time.Hour); err == nil {
				t.Errorf("%s is taken", refused)
			}
		}
		if _, err := w.engine.Override(ctx, over, 0); err == nil {
			t.Error("an override without an end is taken")
		}
		if _, err := w.engine.Override(ctx, over, time.Hour); err != nil {
			t.Fatal(err)
		}
		w.wants("b=100")
		if _, err := w.engine.Release(ctx, Override{Kind: OverBackend, Name: "a"}); err != nil {
			t.Fatal(err)
		}
		w.wants("a=100 b=100")
		if _, err := w.engine.Release(ctx, Override{Kind: OverBackend, Name: "a"}); err == nil {
			t.Error("what is not there is released")
		}
	})
}

func TestBalanceTellsHowThingsAre(t *testing.T) {
	inWard(t, func(t *testing.T, w *ward) {
		w.push("rev-one", webVIP)
		w.doctor.say("a=up b=down")
		w.wait(time.Second)
		b, err := w.engine.Balance(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if len(b.VIPs) != 1 || b.VIPs[0].State != intent.VIPUp || !b.VIPs[0].Announced {
			t.Errorf("VIPs %+v", b.VIPs)
		}
		i := slices.IndexFunc(b.VIPs[0].Seats, func(s intent.Seat) bool { return strings.HasPrefix(s.Backend, "b/") })
		if i < 0 || b.VIPs[0].Seats[i].State != "down" || b.VIPs[0].Seats[i].Configured != 100 || b.VIPs[0].Seats[i].Effective != 0 {
			t.Errorf("seats %+v", b.VIPs[0].Seats)
		}
		if up, down := w.gauge("backend_state", "a", "up"), w.gauge("backend_state", "b", "up"); up != 1 || down != 0 {
			t.Errorf("backend_state is %v of a and %v of b", up, down)
		}
		if got := w.gauge("vip_backend_weight", "a", "www"); got != 100 {
			t.Errorf("vip_backend_weight of a is %v", got)
		}
		if got := w.gauge("vip_state", "www", "up"); got != 1 {
			t.Errorf("vip_state is %v", got)
		}
		if len(b.Backends) != 2 || b.Backends[1].State != resource.HealthDown || b.Backends[1].Check != "ok" {
			t.Errorf("backends %+v", b.Backends)
		}
	})
}

// A revision that is not confirmed is undone with its weights.
func TestMaxChurnHolds(t *testing.T) {
	inWard(t, func(t *testing.T, w *ward) {
		guarded := strings.Replace(webVIP, "pools: [web],", "pools: [web], guards: {max-churn: {limit: 10%, over: refuse}},", 1)
		w.push("rev-one", guarded)
		w.doctor.say("a=up b=up")
		w.wait(2 * time.Minute)
		w.wants("a=100 b=100")
		w.push("rev-two", strings.Replace(guarded, "backends: {a: 100, b: 100}", "backends: {a: 100, b: 1}", 1))
		w.wait(time.Second)
		w.wants("a=100 b=100")
		if c := w.raised(CondHeld); !strings.Contains(c.Message, "max-churn 10.0 %") {
			t.Errorf("condition %q", c.Message)
		}
		if _, err := w.engine.Approve(context.Background(), "rev-two"); err != nil {
			t.Fatal(err)
		}
		w.wants("a=100 b=1")
		w.cleared(CondHeld)
		w.push("rev-three", guarded)
		w.wait(time.Second)
		w.wants("a=100 b=1") // one approval is for one revision
		w.doctor.say("b=down")
		w.wait(time.Second)
		w.wants("a=100") // health is not judged
	})
}

// gauge is the series of a name that has all of some values among its labels.
func (w *ward) gauge(name string, values ...string) float64 {
	w.t.Helper()
	families, err := w.registry.Gather()
	if err != nil {
		w.t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var have []string
			for _, l := range m.GetLabel() {
				have = append(have, l.GetValue())
			}
			if f.GetName() == prefix+name && !slices.ContainsFunc(values, func(v string) bool { return !slices.Contains(have, v) }) {
				return m.GetGauge().GetValue()
			}
		}
	}
	w.t.Fatalf("no series %s of %v", name, values)
	return 0
}
