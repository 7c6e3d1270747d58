package engine

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"reconciler/internal/desired"
	"reconciler/internal/diff"
	"reconciler/internal/driver"
	"reconciler/internal/driver/fake"
	"reconciler/internal/intent"
	"reconciler/internal/observed"
	"reconciler/internal/resource"
	"reconciler/internal/source"
	"reconciler/internal/state"
)

// rig is an engine on a host in memory, with real files for its state, inside
// a bubble of time that stands still while anybody works.
type rig struct {
	t         *testing.T
	host      *host
	drivers   []driver.Driver // host alone, unless the test says otherwise
	feed      *feed
	dir       string
	records   *records
	settings  Settings
	registry  *prometheus.Registry
	notify    Notifier
	boot      string
	namespace func() error
	health    Health
	engine    *Engine
	stop      func() error
	began     time.Time
}

// bubble runs a test with a rig.
func bubble(t *testing.T, test func(*testing.T, *rig)) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		r := &rig{t: t, host: newHost(), feed: newFeed(), dir: dir, began: time.Now(), boot: "boot-1"}
		r.settings = Settings{Guard: diff.DefaultGuard()}
		t.Cleanup(func() {
			if r.stop != nil {
				r.end()
			}
		})
		test(t, r)
	})
}

// inForce runs a test with a rig that has oneAddress in force, as rev-one.
func inForce(t *testing.T, test func(*testing.T, *rig)) {
	bubble(t, func(t *testing.T, r *rig) {
		r.start()
		r.push("rev-one", oneAddress)
		test(t, r)
	})
}

// start starts a new engine on the same host and the same files.
func (r *rig) start() {
	r.t.Helper()
	dir, err := state.Open(r.dir)
	if err != nil {
		r.t.Fatal(err)
	}
	store, err := source.OpenStore(filepath.Join(r.dir, "snapshots"))
	if err != nil {
		r.t.Fatal(err)
	}
	r.records = &records{Records: dir}
	r.registry = prometheus.NewRegistry()
	log := slog.New(slog.DiscardHandler)
	if testing.Verbose() && os.Getenv("ENGINE_LOG") != "" {
		log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	drivers := r.drivers
	if drivers == nil {
		drivers = []driver.Driver{r.host}
	}
	r.engine, err = New(Config{
		Source: r.feed, Snapshots: store, Records: r.records, Drivers: drivers, Settings: r.settings,
		Host: "edge1", Log: log, Registry: r.registry, Clock: r.clock(r.boot), Notify: r.notify, Namespace: r.namespace, Health: r.health,
		Balancer: &desired.Balancer{Object: &resource.Blob{}, Maps: func(resource.Capacities) []resource.MapSettings { return nil }},
	})
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.engine.Run(ctx) }()
	r.stop = func() error {
		cancel()
		return <-done
	}
	synctest.Wait()
}

func (r *rig) clock(boot string) intent.Clock {
	return intent.Clock{Boot: func() intent.Instant { return intent.Instant(time.Since(r.began)) }, Wall: time.Now, ID: boot}
}

// end stops the engine in order.
func (r *rig) end() {
	r.t.Helper()
	stop := r.stop
	r.stop = nil
	if err := stop(); err != nil {
		r.t.Errorf("run: %v", err)
	}
}

// kill stops the engine with what is on disk as it was.
func (r *rig) kill() {
	r.t.Helper()
	r.records.full(errors.New("killed"))
	r.end()
	r.records.full(nil)
}

// push delivers YAML as a revision and waits for the engine to rest.
func (r *rig) push(revision, yaml string) {
	r.feed.trees <- source.Tree{
		Revision: revision, Title: "set " + revision, Time: time.Now(),
		Files: map[string][]byte{"net.yaml": []byte("version: 1\n" + yaml)},
	}
	synctest.Wait()
}

func (r *rig) wait(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (r *rig) has(k resource.Key) {
	r.t.Helper()
	if !r.host.holds(k) {
		r.t.Fatalf("%s is not there", k)
	}
}

func (r *rig) hasNot(k resource.Key) {
	r.t.Helper()
	if r.host.holds(k) {
		r.t.Fatalf("%s is there", k)
	}
}

func (r *rig) inSync(revision string) {
	r.t.Helper()
	s := r.engine.Status()
	if !s.InSync || s.Applied.Revision != revision {
		r.t.Fatalf("in sync %v at %s, want in sync at %s; last pass %+v, conditions %+v",
			s.InSync, s.Applied.Revision, revision, s.LastPass, s.Conditions[0])
	}
}

func (r *rig) raised(c ConditionType) Condition {
	r.t.Helper()
	got := r.engine.Status().Condition(c)
	if !got.Raised {
		r.t.Fatalf("%s is not raised; conditions %+v", c, r.engine.Status().Conditions[0])
	}
	return got
}

func (r *rig) cleared(c ConditionType) {
	r.t.Helper()
	if got := r.engine.Status().Condition(c); got.Raised {
		r.t.Fatalf("%s is raised: %s", c, got.Message)
	}
}

// metric reads a series without labels, or sums those of a name.
func (r *rig) metric(name string) float64 {
	r.t.Helper()
	families, err := r.registry.Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "reconciler_"+name {
			continue
		}
		sum := 0.0
		for _, m := range f.GetMetric() {
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
		return sum
	}
	r.t.Fatalf("there is no metric %s", name)
	return 0
}

// host is the fake, for several goroutines, with events.
type host struct {
	mu     sync.Mutex
	fake   *fake.Host
	events chan []resource.Key
	blind  string // why nothing can be read, if so
}

// mostMTU is what this host takes; the language allows more.
const mostMTU = 9000

func newHost() *host {
	h := &host{fake: fake.New(), events: make(chan []resource.Key, 100)}
	h.fake.AddHardware("eth0")
	return h
}

func (h *host) Name() string { return h.fake.Name() }
func (h *host) Check(r resource.Resource) []driver.Fault {
	if r.Key().Kind == resource.KindUnsupported {
		return []driver.Fault{{Code: driver.Unsupported, Message: "not in this build"}}
	}
	if l, ok := r.(resource.Link); ok && l.MTU > mostMTU {
		return []driver.Fault{{Field: "mtu", Code: "mtu-range", Message: "too large for this host"}}
	}
	return nil
}

func (h *host) Observe(ctx context.Context, q observed.Query) (observed.State, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.blind != "" {
		return observed.State{}, errors.New(h.blind)
	}
	return h.fake.Observe(ctx, q)
}

func (h *host) Apply(ctx context.Context, ops []diff.Op) []error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.fake.Apply(ctx, ops)
}

func (h *host) Watch(ctx context.Context, changed func(...resource.Key)) error {
	for {
		select {
		case keys := <-h.events:
			changed(keys...)
		case <-ctx.Done():
			return nil
		}
	}
}

func (h *host) holds(k resource.Key) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, ok := h.get(k)
	return ok
}

// get is for who holds the lock.
func (h *host) get(k resource.Key) (resource.Object, bool) {
	s, err := h.fake.Observe(context.Background(), observed.Query{})
	if err != nil {
		panic(err)
	}
	return s.Objects.Get(k)
}

// remove takes an object away behind the engine's back; told says whether an
// event is heard.
func (h *host) remove(k resource.Key, told bool) {
	h.mu.Lock()
	o, ok := h.get(k)
	if !ok {
		panic("test removes what is not there: " + k.String())
	}
	if err := h.fake.Delete(o.Resource); err != nil {
		panic(err)
	}
	h.mu.Unlock()
	if told {
		h.events <- []resource.Key{k}
	}
}

func (h *host) done() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.fake.Done
}

func (h *host) fail(f func(diff.Op) error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.fake.Fail = f
}

// feed is a source by hand.
type feed struct {
	trees  chan source.Tree
	health chan error
}

func newFeed() *feed { return &feed{trees: make(chan source.Tree), health: make(chan error)} }

func (f *feed) String() string { return "feed" }
func (f *feed) Sync()          {}

func (f *feed) Run(ctx context.Context, deliver func(source.Tree), health func(error)) error {
	for {
		select {
		case t := <-f.trees:
			deliver(t)
		case err := <-f.health:
			health(err)
		case <-ctx.Done():
			return nil
		}
	}
}

// records fail on demand.
type records struct {
	Records
	mu  sync.Mutex
	err error
}

func (r *records) WriteFile(name string, data []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return r.err
	}
	return r.Records.WriteFile(name, data)
}

func (r *records) full(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = err
}

// switchProbe answers by a function.
type switchProbe struct {
	name string
	ok   func() bool
}

func (p switchProbe) String() string { return p.name }
func (p switchProbe) Run(context.Context) error {
	if p.ok() {
		return nil
	}
	return errors.New("no answer")
}
