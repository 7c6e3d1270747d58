package engine

import (
	"context"
	"fmt"
	"slices"

	"reconciler/internal/diff"
	"reconciler/internal/driver"
	"reconciler/internal/intent"
	"reconciler/internal/resource"
	"reconciler/internal/source"
)

// Pause ends all writing once what is under way is done: the loop answers
// requests that read, from what it saw last, and nothing else, until Unpause. It
// fails with ErrBusy while an apply waits for its verdict.
func (e *Engine) Pause(ctx context.Context) error {
	return e.do(ctx, func(_ context.Context, l *loop) error {
		if l.pending != nil || l.baseline != nil {
			return fmt.Errorf("pause: %w: %s waits for its verdict", ErrBusy, short(l.useRevision()))
		}
		l.saveHistory()
		l.paused = true
		l.rest()
		return nil
	})
}

// rest tells the drivers whether another process writes.
func (l *loop) rest() {
	for _, d := range l.Drivers {
		if r, ok := d.(driver.Rester); ok {
			r.Rest(l.paused)
		}
	}
}

// reloader are Snapshots that another process may have written.
type reloader interface{ Reload() error }

// Unpause goes on from what is on disk and on the host by now: somebody else may
// have written meanwhile, and may have been killed while doing so.
func (e *Engine) Unpause(ctx context.Context) error {
	return e.do(ctx, func(ctx context.Context, l *loop) error {
		if !l.paused {
			return nil
		}
		if err := l.reload(); err != nil {
			return fmt.Errorf("go on after a pause: %w", err)
		}
		l.paused, l.use, l.planner.quiet, l.upgrades.last = false, nil, quiet{}, advanced{}
		l.balance.last = decided{}
		l.rest()
		l.tellSource()
		l.recover(ctx)
		if t := l.withheld; t != nil {
			l.withheld = nil
			if !l.outdated(*t) {
				l.deliver(ctx, *t)
			}
		}
		l.pass(ctx, CauseStart)
		return nil
	})
}

// reload drops what is remembered of the disk, and what was made of it.
func (l *loop) reload() error {
	if r, ok := l.Snapshots.(reloader); ok {
		if err := r.Reload(); err != nil {
			return err
		}
	}
	l.ledger, l.history = ledger{}, nil
	clear(l.bad)
	clear(l.failures)
	clear(l.blocked)
	return l.load()
}

// outdated reports that the other process took a tree, and then another one.
func (l *loop) outdated(t source.Tree) bool {
	i := slices.IndexFunc(l.Snapshots.List(), func(s source.Snapshot) bool { return s.Revision == t.Revision })
	return i > 0
}

// Alive fails if the loop does not answer.
func (e *Engine) Alive(ctx context.Context) error {
	return e.do(ctx, func(context.Context, *loop) error { return nil })
}

// standBy serves who reads until the loop goes on.
func (l *loop) standBy(ctx context.Context, watchdog *timers) (ended bool) {
	select {
	case <-ctx.Done():
		return true
	case t := <-l.deliveries:
		l.withheld = &t
	case r := <-l.engine.requests:
		r(ctx, l)
	case <-watchdog.watchdog:
		l.Notify.send("WATCHDOG=1")
	}
	return false
}

// Foresee is the revision in use, and what a pass would do now but for what
// upgrades do by themselves.
func (e *Engine) Foresee(ctx context.Context) (revision string, ops []string, err error) {
	err = e.do(ctx, func(ctx context.Context, l *loop) error {
		if l.use == nil {
			return nil
		}
		revision = l.useRevision()
		planned, err := l.plan(ctx, false)
		ops = foreseen(planned.Plan)
		return err
	})
	return revision, ops, err
}

// ForeseeRevision is Foresee for a revision, before Run. Nothing is written.
func (e *Engine) ForeseeRevision(ctx context.Context, revision string) ([]string, error) {
	l := e.loop
	if revision == "" {
		return nil, nil
	}
	t, err := l.trees.get(revision)
	if err != nil {
		return nil, err
	}
	l.use = t
	defer func() { l.use = nil }()
	l.decided = intent.Never
	planned, err := l.planner.Plan(ctx, t.want, false)
	return foreseen(planned.Plan), err
}

func foreseen(p diff.Plan) []string {
	var out []string
	for _, op := range p.Ops {
		switch op.Key.Driver {
		case resource.ReleaseDriver, resource.HandoverDriver, resource.DaemonDriver:
			continue // another version of the decider may take other steps
		}
		out = append(out, op.Verb.Symbol()+" "+diff.Title(op))
	}
	slices.Sort(out)
	return out
}
