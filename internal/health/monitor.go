package health

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/netip"
	"runtime/debug"
	"slices"
	"sync"
	"time"
)

// Target is a backend to ask. Its ID is unique among those of a Set; its address
// has no zone.
type Target struct {
	ID      string
	Address netip.Addr
	Check   Check
	// Was is the state that others remember of a target that is new here: it
	// takes as many probes to change as if it had been found out here.
	Was State
}

// Status is what is known about a target.
type Status struct {
	ID      string
	Address netip.Addr
	Type    Type
	State   State
	Since   Moment // of the state
	Counter Counter
	Last    Result       // of the last probe; zero before the first
	History []Transition // oldest first, the last few; shared, so never to be written
}

// Transition is a change of state, and the probe that brought it about.
type Transition struct {
	From, To State
	Result
}

// Observer counts. Its methods are called by many goroutines at once, must be
// quick, and must not call the Monitor.
type Observer interface {
	// Probed is told of each probe that was not cut short by its target leaving.
	Probed(Type, Code, time.Duration)
	// Turned is told of each change of a target's state.
	Turned(id string, from, to State)
}

// Config is what a Monitor needs. The zero value is one that works.
type Config struct {
	Netns    string // for checks that name none; empty: the process's own
	Parallel int    // probes at once, at most; 1,024
	Observer Observer
	Mono     func() time.Duration // a clock that nobody sets; since New
	Wall     func() time.Time     // time.Now
}

const (
	defaultParallel = 1024
	maxHistory      = 16
	// apart is the time between the first probes of targets that are set
	// together. Their rhythms keep it.
	apart = time.Millisecond
)

// Monitor is the task that probes targets.
type Monitor struct {
	config  Config
	prepare func(netip.Addr, Check, *pingers) probe
	pings   *pingers
	slots   chan struct{}
	group   sync.WaitGroup
	poked   chan struct{} // there are probers to start
	changed chan struct{}
	broken  chan string // a panic and where it was

	mu      sync.Mutex
	probers map[string]*prober // by ID
	fresh   []*prober          // not yet started
}

// New makes a Monitor without targets.
func New(c Config) *Monitor {
	c.Parallel = positive(c.Parallel, defaultParallel)
	if c.Mono == nil {
		begin := time.Now()
		c.Mono = func() time.Duration { return time.Since(begin) }
	}
	if c.Wall == nil {
		c.Wall = time.Now
	}
	if c.Observer == nil {
		c.Observer = nobody{}
	}
	m := &Monitor{
		config: c, prepare: newProbe, slots: make(chan struct{}, c.Parallel),
		poked: make(chan struct{}, 1), changed: make(chan struct{}, 1), broken: make(chan string, 1),
		probers: make(map[string]*prober),
	}
	m.pings = newPingers(m.start)
	return m
}

// nobody observes nothing.
type nobody struct{}

func (nobody) Probed(Type, Code, time.Duration) {}
func (nobody) Turned(string, State, State)      {}

func (m *Monitor) String() string { return "health" }

// Run probes until the context ends, and returns nil when all goroutines have.
// It is called once. A prober that panics panics here.
func (m *Monitor) Run(ctx context.Context) error {
	defer m.group.Wait()
	defer m.halt()
	for {
		for _, p := range m.unstarted() {
			m.start(func() { m.run(p) })
		}
		select {
		case <-m.poked:
		case what := <-m.broken:
			panic(what)
		case <-ctx.Done():
			return nil
		}
	}
}

// start runs f beside Run, which waits for it.
func (m *Monitor) start(f func()) {
	m.group.Go(func() {
		defer func() {
			if v := recover(); v != nil {
				offer(m.broken, fmt.Sprintf("%v\n%s", v, debug.Stack()))
			}
		}()
		f()
	})
}

// halt ends all probers. What they knew can still be asked for.
func (m *Monitor) halt() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for p := range maps.Values(m.probers) {
		p.stop()
	}
}

// offer leaves a value where there is room for one, if nobody did before.
func offer[T any](to chan T, v T) {
	select {
	case to <- v:
	default:
	}
}

func (m *Monitor) unstarted() []*prober {
	m.mu.Lock()
	defer m.mu.Unlock()
	fresh := m.fresh
	m.fresh = nil
	return fresh
}

// Set makes these the targets. One that is equal to a former one goes on
// undisturbed; one with another check keeps its state, and one with another
// address begins anew. What is gone is probed no more: a probe on its way is cut
// short, and its result counts for nothing. Set waits for nothing.
func (m *Monitor) Set(targets []Target) {
	m.mu.Lock()
	defer m.mu.Unlock()
	former := m.probers
	m.probers = make(map[string]*prober, len(targets))
	begun := 0
	for _, t := range targets {
		if t.Check.Netns == "" {
			t.Check.Netns = m.config.Netns
		}
		t.Check = t.Check.Defaults()
		was := t.Was
		t.Was = Unknown
		old := former[t.ID]
		if old != nil && old.target == t {
			m.probers[t.ID] = old
			continue
		}
		p := m.newProber(t, old, was)
		p.delay = time.Duration(begun) * apart % t.Check.Interval
		begun++
		m.probers[t.ID] = p
		m.fresh = append(m.fresh, p)
	}
	for id, p := range former {
		if m.probers[id] != p {
			p.stop()
		}
	}
	m.fresh = slices.DeleteFunc(m.fresh, func(p *prober) bool { return m.probers[p.target.ID] != p })
	offer(m.poked, struct{}{})
}

// Changed has a value when states have changed since the last one was taken,
// however many.
func (m *Monitor) Changed() <-chan struct{} { return m.changed }

// Snapshot is the status of all targets, by ID.
func (m *Monitor) Snapshot() []Status {
	m.mu.Lock()
	all := make([]Status, 0, len(m.probers))
	for p := range maps.Values(m.probers) {
		all = append(all, p.status)
	}
	m.mu.Unlock()
	slices.SortFunc(all, func(a, b Status) int { return cmp.Compare(a.ID, b.ID) })
	return all
}

func (m *Monitor) now() Moment { return Moment{m.config.Mono(), m.config.Wall()} }
