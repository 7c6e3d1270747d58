package engine

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"reconciler/internal/desired"
	"reconciler/internal/driver"
	"reconciler/internal/intent"
	"reconciler/internal/resource"
	"reconciler/internal/source"
)

// Engine keeps a host as a source says. Its methods may be called from any
// goroutine; those with a context post to the loop and wait for it, and fail
// with ErrStopped when the loop has ended.
type Engine struct {
	config   Config
	loop     *loop // of Run only
	ring     *ring
	requests chan request
	running  context.Context // until Run has ended
	ended    context.CancelFunc
	failed   chan error // of spawned tasks
	status   atomic.Pointer[Status]
	history  atomic.Pointer[history]
	started  time.Time
}

// New checks a Config and reads what the last run left on disk. It touches no
// dataplane.
func New(c Config) (*Engine, error) {
	c, err := c.checked()
	if err != nil {
		return nil, err
	}
	e := &Engine{
		config: c, ring: newRing(), requests: make(chan request), failed: make(chan error, 1),
		started: c.Clock.Wall(),
	}
	e.running, e.ended = context.WithCancel(context.Background())
	e.loop = newLoop(e, c)
	if err := e.loop.load(); err != nil {
		return nil, fmt.Errorf("make engine: %w", err)
	}
	e.loop.publish()
	return e, nil
}

func newLoop(e *Engine, c Config) *loop {
	l := &loop{
		Config: c, engine: e, log: c.Log, metrics: newMetrics(c.Registry, c.Version), mode: c.Settings.Mode,
		deliveries: make(chan source.Tree), health: make(chan error), answering: make(chan answer),
		watching: make(chan watchHealth), sources: make(chan string), changes: newChanges(),
		bad: make(map[string]bool), failures: make(map[resource.Key]intent.Failure), repairs: make(map[resource.Key]intent.Repairs),
		blocked: make(map[resource.Key]resource.Key),
		answers: make(map[string]intent.Answer), said: make(map[string]error),
		probeAt: intent.Never, decided: intent.Never, chooseNext: intent.Never, eventAt: intent.Never,
	}
	l.conds = newConditions(c.Clock.Wall, l.conditionChanged)
	protect := c.Settings.Protect
	if !isAddress(protect.Source) {
		protect.Source = "" // until it is resolved
	}
	l.planner = Planner{Drivers: c.Drivers, Protect: protect, Guard: c.Settings.Guard, Decide: l.decide, Enter: c.Enter}
	l.prober = &prober{
		probes: c.Settings.Confirm.Probes, enter: c.Enter, now: c.Clock.Boot,
		ask: make(chan struct{}, 1), answers: l.answering,
	}
	l.fetcher = newFetcher(c.Drivers)
	l.upgrades = upgrades{started: c.Clock.Boot(), loses: Loses(c.Drivers)}
	l.balance.health = c.Health
	l.sampling = newSampling(c.Drivers)
	if c.Registry != nil {
		c.Registry.MustRegister(l.sampling, &l.balance.shown)
	}
	l.trees = trees{snapshots: c.Snapshots, drivers: c.Drivers, options: desired.Options{
		Host: c.Host, Labels: c.Settings.Labels, Rescue: c.Settings.Rescue, Version: c.Version, Balancer: c.Balancer,
	}}
	return l
}

// load reads what the last run left. A directory that cannot be read is an
// error: going on would forget a pin, or the way back from a bad apply. A file
// in it that makes no sense is set aside, and the snapshots tell what they can.
func (l *loop) load() error {
	snapshots := l.Snapshots.List()
	for i, s := range snapshots {
		if i == 0 {
			l.seen, l.newest = snapshotRevision(s), s.Revision
		}
		if s.Verdict == source.Bad {
			l.bad[s.Revision] = true
		}
		if s.Revision == l.Refused {
			l.markRefused(s.Revision)
		}
	}
	if l.Refused != "" {
		l.bad[l.Refused] = true // kept or not
	}
	if err := salvage(l, ledgerFile, &l.ledger); err != nil {
		return err
	}
	if l.ledger.LastGood == (Revision{}) {
		l.ledger.LastGood, _ = newestGood(snapshots)
	}
	if err := read(l.Records, historyFile, &l.history); err != nil {
		l.log.Warn("history is lost", "error", err)
	}
	l.tellLost()
	return nil
}

// Run works until the context ends, and then returns nil: the dataplane is
// left as it is. An error is a *PanicError, after which the process should
// exit with 70, or says why the engine cannot work at all. It is called once.
func (e *Engine) Run(ctx context.Context) error {
	defer e.ended()
	l := e.loop
	tasks := []task{l, l.prober, l.fetcher, l.balance.health, taskFunc{"source", l.follow}, taskFunc{"spawned", e.spawned}}
	if host := l.Settings.Protect.Source; host != "" && !isAddress(host) {
		tasks = append(tasks, taskFunc{"resolver", l.resolve})
	}
	for _, d := range l.Drivers {
		if w, ok := d.(driver.Watcher); ok {
			tasks = append(tasks, watchTask{driver: d, watcher: w, changes: l.changes, health: l.watching})
		}
	}
	l.event(Event{Type: EventStarted, Message: "started, following " + l.Source.String()})
	return runTasks(ctx, tasks)
}

// spawn starts a task for a caller, beside those of Run.
func (e *Engine) spawn(ctx context.Context, t task) {
	go func() {
		if err := guarded(ctx, t); err != nil {
			select {
			case e.failed <- err:
			default: // the first is enough
			}
		}
	}()
}

// spawned ends Run when a task of a caller panicked.
func (e *Engine) spawned(ctx context.Context) error {
	select {
	case err := <-e.failed:
		return err
	case <-ctx.Done():
		return nil
	}
}

// follow hands what the source says to the loop.
func (l *loop) follow(ctx context.Context) error {
	return l.Source.Run(ctx,
		func(t source.Tree) { send(ctx, l.deliveries, t) },
		func(err error) { send(ctx, l.health, err) })
}

// The addresses of a Git host are looked up now and then, away from the loop.
const (
	lookupPatience = 500 * time.Millisecond
	lookupAgain    = 5 * time.Minute
	lookupFailed   = 10 * time.Second
)

func isAddress(hostport string) bool {
	_, err := netip.ParseAddrPort(hostport)
	return err == nil
}

// resolve keeps the address of the source's host fresh, for protection.
func (l *loop) resolve(ctx context.Context) error {
	host, port, err := net.SplitHostPort(l.Settings.Protect.Source)
	if err != nil {
		return fmt.Errorf("protect %q: want host:port: %w", l.Settings.Protect.Source, err)
	}
	for {
		wait := lookupFailed
		var addrs []string
		l.Enter(func() { addrs, err = net.DefaultResolver.LookupHost(ctx, host) })
		if err == nil && len(addrs) > 0 {
			wait = lookupAgain
			if !send(ctx, l.sources, net.JoinHostPort(addrs[0], port)) {
				return nil
			}
		}
		if !sleep(ctx, wait) {
			return nil
		}
	}
}

// Status is what is known now. It never waits.
func (e *Engine) Status() Status { return *e.status.Load() }

// History lists the last passes that changed something, newest first.
func (e *Engine) History() []Entry { return slices.Clone(*e.history.Load()) }

// Snapshots lists the revisions that a rollback can go to.
func (e *Engine) Snapshots() ([]Snapshot, error) {
	var out []Snapshot
	for _, s := range e.config.Snapshots.List() {
		one := Snapshot{Revision: snapshotRevision(s), Good: s.Verdict == source.Good}
		if s.Verdict == source.Bad {
			one.Bad = cmp.Or(s.Reason, "undone")
		}
		out = append(out, one)
	}
	return out, nil
}

func snapshotRevision(s source.Snapshot) Revision {
	return Revision{Revision: s.Revision, Title: s.Title, Author: s.Author, Time: s.Time}
}

// Events sends what happened after the sequence number since, as far as it is
// remembered (the last 1,000), and then what happens, until the context ends.
// Zero starts with the oldest that is remembered.
func (e *Engine) Events(ctx context.Context, since uint64) <-chan Event {
	out := make(chan Event)
	e.spawn(ctx, taskFunc{"events", func(ctx context.Context) error {
		e.ring.follow(ctx, since, out)
		return nil
	}})
	return out
}
