package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"reconciler/internal/intent"
	"reconciler/internal/resource"
	"reconciler/internal/source"
)

// loop is all mutable state of the engine, and belongs to one goroutine.
type loop struct {
	Config
	engine   *Engine
	log      *slog.Logger
	metrics  *metrics
	sampling *sampling
	balance  balance
	upgrades upgrades
	paused   bool         // another process writes
	withheld *source.Tree // what the source said meanwhile
	conds    *conditions
	planner  Planner
	prober   *prober
	trees    trees

	// triggers
	deliveries chan source.Tree
	health     chan error
	answering  chan answer
	watching   chan watchHealth
	sources    chan string // where the source is, resolved
	changes    *changes

	// what to make of the host
	mode       Mode
	ledger     ledger
	seen       Revision
	newest     string          // valid, from the source or from disk
	bad        map[string]bool // in quarantine
	unsafe     string          // cannot be tried as no undo record can be written
	use        *tree           // what the host is made into
	chooseNext intent.Instant

	// what became of it
	planned  Planned
	failures map[resource.Key]intent.Failure
	blocked  map[resource.Key]resource.Key // what waits for a failure, by what failed
	// failedUnder is the revision that the failures were last held against.
	failedUnder string
	repairs     map[resource.Key]intent.Repairs
	noticed     map[resource.Key]time.Time // since when a key differs
	late        map[resource.Key]bool      // could not be had when this pass began
	decided     intent.Instant             // when a decider's answer changes
	complete    bool                       // everything could be read at least once
	kept        bool                       // this run has made the host as wanted, or found it so
	deafAt      intent.Instant             // when events last could not be heard
	history     history
	unsaved     bool // history has news that are not on disk
	lastPass    Pass

	// the apply without a verdict
	baseline *baseline
	pending  *pending
	answers  map[string]intent.Answer
	said     map[string]error
	probeAt  intent.Instant
	waiters  []chan<- Pass

	fetcher  *fetcher
	fetching string // the newest revision, while what it is made of was not yet looked for
	sought   *tree  // whose objects were asked for last
	brought  bool   // objects of the tree in use came after it was confirmed
	spared   bool   // something is kept only until the verdict

	eventAt intent.Instant // of the oldest event that was not looked at
	ready   bool
	shown   string // the last STATUS=
}

func (l *loop) String() string { return "loop" }

func (l *loop) now() intent.Moment { return l.Clock.Now() }

// Run serves the triggers until the context ends.
func (l *loop) Run(ctx context.Context) error {
	l.tellSource()
	l.recover(ctx)
	l.pass(ctx, CauseStart)
	timers := newTimers(l.Settings.Resync, l.Notify.Watchdog)
	defer timers.stop()
	for {
		l.publish()
		if l.paused {
			if l.standBy(ctx, timers) {
				return nil
			}
			continue
		}
		timers.arm(l)
		select {
		case <-ctx.Done():
			l.stop()
			return nil
		case t := <-l.deliveries:
			l.deliver(ctx, t)
			l.pass(ctx, CauseTree)
		case err := <-l.health:
			l.sourceHealth(err)
		case h := <-l.watching:
			l.watchHealth(h)
		case address := <-l.sources:
			l.planner.Protect.Source = address
		case f := <-l.fetcher.done:
			l.fetched(ctx, f)
		case a := <-l.answering:
			l.answered(ctx, a)
		case <-l.balance.health.Changed():
			l.balance.turned = true
			timers.eventSoon()
		case <-l.changes.signal:
			l.eventAt = min(l.eventAt, l.now().At)
			timers.eventSoon()
		case <-timers.event.C:
			began := time.Now()
			l.changed(ctx)
			timers.eventDone(began)
		case <-timers.resync.C:
			if err := l.checkNamespace(); err != nil {
				l.stop()
				return err
			}
			l.resync(ctx)
			timers.resync.Reset(l.Settings.Resync)
		case <-timers.due.C:
			l.due(ctx)
		case r := <-l.engine.requests:
			r(ctx, l)
		case <-timers.watchdog:
			l.Notify.send("WATCHDOG=1")
		}
	}
}

// stop leaves the dataplane as it is.
func (l *loop) stop() {
	l.Notify.send("STOPPING=1")
	l.leave()
	l.saveHistory()
	l.publish()
}

// checkNamespace keeps us from writing where nobody can look any more. Its error
// says that the work is to go on in another namespace.
func (l *loop) checkNamespace() error {
	err := l.Namespace()
	if errors.Is(err, ErrNamespaceReplaced) {
		return err
	}
	message := ""
	if err != nil {
		message = err.Error() + "; nothing is changed there"
	}
	l.conds.set(CondNamespace, "NoName", message)
	return nil
}

// resync looks at everything, whatever was heard.
func (l *loop) resync(ctx context.Context) {
	l.unsafe = "" // the disk may have room again
	l.pass(ctx, CauseResync)
	l.saveHistory()
	if l.conds.raised(CondStateLost) {
		l.tellLost()
	}
	now := l.now().At
	if now.Sub(l.deafAt) > watchAgainMost {
		l.conds.clear(CondWatch) // tried again since, and nothing was said
	}
	for k, r := range l.repairs {
		if r.Stale(now) {
			delete(l.repairs, k)
		}
	}
}

// changed looks after kernel events, unless all of them are about what is
// neither wanted nor ours.
func (l *loop) changed(ctx context.Context) {
	if l.balance.turned {
		l.turn(ctx)
	}
	keys, overrun := l.changes.take()
	if overrun {
		l.metrics.overruns.Inc()
		l.event(Event{Type: EventOverrun, Message: "kernel events were lost; looking at everything"})
	}
	if overrun || l.concerned(keys) {
		l.pass(ctx, CauseEvent)
	}
	l.eventAt = intent.Never
}

// concerned keeps a host's routing daemon, with its hundred thousand routes,
// from waking the engine.
func (l *loop) concerned(keys map[resource.Key]bool) bool {
	if l.planned.Want == nil {
		return true
	}
	exact := exactKinds(l.planned.Want)
	for k := range keys {
		crowded := k.Kind == resource.KindRoute || k.Kind == resource.KindNeighbour
		if !crowded || exact[k.Kind] || l.planned.Want.Has(k) || l.planned.Have.Objects.Has(k) {
			return true
		}
	}
	return false
}

// exactKinds lists the kinds of which some link has an exact list.
func exactKinds(want *resource.Set) map[resource.Kind]bool {
	kinds := make(map[resource.Kind]bool)
	want.Each(func(_ resource.Key, o resource.Object) bool {
		if l, ok := o.Resource.(resource.Link); ok {
			for _, k := range l.Policy.Exact {
				kinds[k] = true
			}
		}
		return true
	})
	return kinds
}

// due serves what was waiting for its instant.
func (l *loop) due(ctx context.Context) {
	now := l.now().At
	if l.probeAt <= now {
		l.probeAt = intent.Never
		l.prober.request()
	}
	if l.pending != nil {
		l.judge(ctx)
	}
	if l.baseline != nil && now >= l.baseline.until {
		l.pass(ctx, l.baseline.cause)
	} else if l.decided <= now || l.leaseNext() <= now || l.chooseNext <= now || l.stalledNext() <= now {
		l.pass(ctx, CauseDue)
	}
}

// dueNext is the earliest instant that due is to be called.
func (l *loop) dueNext() intent.Instant {
	next := intent.Earliest(l.probeAt, l.decided, l.leaseNext(), l.chooseNext, l.stalledNext())
	if l.pending != nil {
		next = intent.Earliest(next, l.pending.Deadline)
	}
	if l.baseline != nil {
		next = intent.Earliest(next, l.baseline.until)
	}
	return next
}

// Why the source is unhealthy.
const (
	trouble   = "Trouble"   // nobody knows whether there is something newer
	refused   = "Refused"   // there is, and it cannot be used
	rewritten = "Rewritten" // the same, and a person can forgive it
)

func sourceTrouble(err error) string {
	switch {
	case errors.Is(err, source.ErrRewritten):
		return rewritten
	case errors.Is(err, source.ErrEmpty), errors.Is(err, source.ErrTooLarge), errors.Is(err, source.ErrUnreadable):
		return refused
	}
	return trouble
}

func (l *loop) sourceHealth(err error) {
	setBool(l.metrics.sourceOK, err == nil)
	if err != nil {
		l.conds.raise(CondSource, sourceTrouble(err), err.Error())
		return
	}
	l.conds.clear(CondSource)
}

func (l *loop) watchHealth(h watchHealth) {
	l.deafAt = l.now().At
	l.conds.raise(CondWatch, "Deaf", fmt.Sprintf("%s: %v", h.driver, h.err))
}

// timers are what wakes the loop by itself.
type timers struct {
	event, resync, due *time.Timer
	ticker             *time.Ticker
	watchdog           <-chan time.Time
	waiting            bool      // event is running
	quiet              time.Time // no look for events before
}

func newTimers(resync, watchdog time.Duration) *timers {
	t := &timers{event: time.NewTimer(time.Hour), resync: time.NewTimer(resync), due: time.NewTimer(time.Hour)}
	t.event.Stop()
	if watchdog > 0 {
		t.ticker = time.NewTicker(watchdog / 3)
		t.watchdog = t.ticker.C
	}
	return t
}

func (t *timers) stop() {
	t.event.Stop()
	t.resync.Stop()
	t.due.Stop()
	if t.ticker != nil {
		t.ticker.Stop()
	}
}

// arm sets the timer of what is due next.
func (t *timers) arm(l *loop) {
	next := l.dueNext()
	if next == intent.Never {
		t.due.Stop()
		return
	}
	t.due.Reset(max(0, next.Sub(l.now().At)))
}

// eventSoon schedules a look: after events have settled, and under a storm not
// before the engine has rested for as long as its last look took.
func (t *timers) eventSoon() {
	if !t.waiting {
		t.waiting = true
		t.event.Reset(max(settle, time.Until(t.quiet)))
	}
}

func (t *timers) eventDone(began time.Time) {
	now := time.Now()
	t.waiting, t.quiet = false, now.Add(now.Sub(began))
}
