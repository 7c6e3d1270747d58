package engine

import (
	"context"
	"fmt"
	"strings"
	"time"

	"reconciler/internal/observed"
	"reconciler/internal/source"
)

// request is run by the loop.
type request func(context.Context, *loop)

// do has the loop run something and waits for it.
func (e *Engine) do(ctx context.Context, f func(context.Context, *loop) error) error {
	done := make(chan error, 1)
	r := func(loopCtx context.Context, l *loop) {
		err := f(loopCtx, l)
		l.publish()
		done <- err
	}
	select {
	case e.requests <- r:
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-e.running.Done():
		return ErrStopped
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-e.running.Done():
		return ErrStopped
	}
}

// change is do for what changes something: while another process writes it is
// ErrPaused.
func (e *Engine) change(ctx context.Context, f func(context.Context, *loop) error) error {
	return e.do(ctx, func(ctx context.Context, l *loop) error {
		if l.paused {
			return ErrPaused
		}
		return f(ctx, l)
	})
}

// doPass has the loop do something and make a pass, and waits until that has a
// verdict.
func (e *Engine) doPass(ctx context.Context, first func(context.Context, *loop) error) (Pass, error) {
	end := make(chan Pass, 1)
	err := e.change(ctx, func(loopCtx context.Context, l *loop) error {
		if err := first(loopCtx, l); err != nil {
			return err
		}
		l.unsafe = "" // the disk may have room again
		l.waiters = append(l.waiters, end)
		l.pass(loopCtx, CauseRequest)
		return nil
	})
	if err != nil {
		return Pass{}, err
	}
	select {
	case p := <-end:
		return p, nil
	case <-ctx.Done():
		return Pass{}, context.Cause(ctx)
	case <-e.running.Done():
		return Pass{}, ErrStopped
	}
}

// Plan makes a fresh plan for a person to read: all objects are counted.
func (e *Engine) Plan(ctx context.Context) (Planned, error) {
	var out Planned
	err := e.do(ctx, func(ctx context.Context, l *loop) error {
		if l.paused {
			out = l.planned.clone()
			return nil
		}
		l.choose()
		if l.use == nil {
			return ErrNoDesired
		}
		planned, err := l.plan(ctx, true)
		out = planned.clone()
		return err
	})
	return out, err
}

// clone hands a plan to another goroutine.
func (p Planned) clone() Planned {
	if p.Want == nil {
		return p
	}
	p.Want = p.Want.Clone()
	p.Have.Objects = p.Have.Objects.Clone()
	return p
}

// Observed reads everything back, the undeclared included.
func (e *Engine) Observed(ctx context.Context) (observed.State, error) {
	var out observed.State
	err := e.do(ctx, func(ctx context.Context, l *loop) error {
		if l.paused {
			out = l.planned.clone().Have
			return nil
		}
		q := observed.Query{All: true}
		if l.use != nil {
			q.Want = l.use.want
		}
		var err error
		out, err = l.planner.Observe(ctx, q)
		return err
	})
	return out, err
}

// syncPatience bounds the look of a Sync at a source that does not answer.
const syncPatience = 30 * time.Second

// Sync looks at the source, reconciles now and returns how that went. A source
// that cannot be read keeps nothing from being reconciled; its trouble is a
// condition. One that is no source.Looker is only asked to hurry.
func (e *Engine) Sync(ctx context.Context) (Pass, error) {
	e.look(ctx)
	return e.doPass(ctx, func(_ context.Context, l *loop) error {
		l.event(Event{Type: EventRequest, Message: "sync"})
		return nil
	})
}

// look waits for the source, as long as the engine runs.
func (e *Engine) look(ctx context.Context) {
	src, ok := e.config.Source.(source.Looker)
	if !ok {
		e.config.Source.Sync()
		return
	}
	ctx, cancel := context.WithTimeout(ctx, syncPatience)
	defer cancel()
	stop := context.AfterFunc(e.running, cancel)
	defer stop()
	if err := src.Look(ctx); err != nil {
		e.config.Log.Warn("look at the source", "source", e.config.Source.String(), "error", err)
	}
}

// Apply takes a tree as if the source had delivered it, and returns how that
// went. The source's next revision takes its place. It fails with ErrBusy while
// another revision waits for its verdict.
func (e *Engine) Apply(ctx context.Context, t source.Tree) (Pass, error) {
	return e.doPass(ctx, func(_ context.Context, l *loop) error {
		if l.pending != nil && l.pending.tree.rev.Revision != t.Revision {
			return fmt.Errorf("apply revision %s: %w: %s", short(t.Revision), ErrBusy, short(l.useRevision()))
		}
		l.deliver(ctx, t)
		if l.newest == "" {
			return fmt.Errorf("apply revision %s: %s", short(t.Revision), l.conds.all[CondInvalid].Message)
		}
		return nil
	})
}

// Suspend stops applying for a time; at most MaxSuspend.
func (e *Engine) Suspend(ctx context.Context, d time.Duration, reason string) error {
	if d <= 0 || d > MaxSuspend {
		return fmt.Errorf("suspend for %s: %w (0 to %s)", d, ErrRange, MaxSuspend)
	}
	return e.change(ctx, func(ctx context.Context, l *loop) error {
		l.ledger.Suspended = &diskLease{Reason: reason, Until: l.now().After(d)}
		l.saveLedger()
		l.event(Event{Type: EventRequest, Message: fmt.Sprintf("suspend for %s: %s", d, reason)})
		l.pass(ctx, CauseRequest)
		return nil
	})
}

// Resume ends a Suspend, a mode of suspended, and a Rollback.
func (e *Engine) Resume(ctx context.Context) error {
	return e.change(ctx, func(ctx context.Context, l *loop) error {
		if !l.suspended() && l.ledger.Pin == nil {
			return fmt.Errorf("resume: %w", ErrNothing)
		}
		l.ledger.Suspended, l.ledger.Pin = nil, nil
		if l.mode == Suspended {
			l.mode = Enforce
		}
		l.saveLedger()
		l.event(Event{Type: EventRequest, Message: "resume"})
		l.pass(ctx, CauseRequest)
		return nil
	})
}

// Rollback pins the host to a revision for a time, at most MaxPin; an empty
// revision is the last good one before the one in use. It returns how the
// apply went. An apply without a verdict is undone first.
func (e *Engine) Rollback(ctx context.Context, revision string, d time.Duration) (Pass, error) {
	if d <= 0 || d > MaxPin {
		return Pass{}, fmt.Errorf("roll back for %s: %w (0 to %s)", d, ErrRange, MaxPin)
	}
	return e.doPass(ctx, func(ctx context.Context, l *loop) error {
		to, err := l.rollbackTo(revision)
		if err != nil {
			return fmt.Errorf("roll back: %w", err)
		}
		if l.pending != nil {
			l.revert(ctx, "rolled back by a person")
		}
		l.ledger.Pin = &diskPin{Revision: to, Until: l.now().After(d)}
		l.saveLedger()
		l.event(Event{Type: EventRequest, Revision: to, Message: fmt.Sprintf("roll back to %s for %s", short(to), d)})
		return nil
	})
}

// rollbackTo finds the revision that a person means, and sees that it can be
// used.
func (l *loop) rollbackTo(revision string) (string, error) {
	for _, s := range l.Snapshots.List() {
		former := revision == "" && s.Verdict == source.Good && s.Revision != l.useRevision()
		if former || matches(s.Revision, revision) {
			_, err := l.trees.get(s.Revision)
			return s.Revision, err
		}
	}
	return "", fmt.Errorf("revision %q: %w", revision, ErrUnknown)
}

// minPrefix is the least of a revision that a person must write.
const minPrefix = 7

func matches(revision, prefix string) bool {
	return len(prefix) >= minPrefix && strings.HasPrefix(revision, prefix)
}

// Approve releases what guards hold of a revision, deletions and changes of
// VIPs; a prefix of at least seven characters will do.
func (e *Engine) Approve(ctx context.Context, revision string) (Pass, error) {
	return e.doPass(ctx, func(_ context.Context, l *loop) error {
		if !matches(l.useRevision(), revision) {
			return fmt.Errorf("approve %q: %w: the host follows %s", revision, ErrUnknown, short(l.useRevision()))
		}
		if l.planned.Guarded == 0 && len(l.balance.memory.Gated) == 0 {
			return fmt.Errorf("approve %s: %w: the guard holds nothing", revision, ErrNothing)
		}
		l.ledger.Approved = l.useRevision()
		l.balance.turned = true
		l.saveLedger()
		l.event(Event{Type: EventRequest, Revision: l.useRevision(), Message: "what guards hold is approved"})
		return nil
	})
}

// Retry lifts the quarantine of the newest revision and every back-off. A
// branch that was rewritten is taken as it is now.
func (e *Engine) Retry(ctx context.Context) (Pass, error) {
	e.forgive(ctx)
	return e.doPass(ctx, func(_ context.Context, l *loop) error {
		if l.bad[l.newest] {
			delete(l.bad, l.newest)
			l.stateError("lift quarantine", l.Snapshots.Mark(l.newest, source.Unjudged, ""))
		}
		clear(l.failures)
		clear(l.repairs)
		l.forgiveFetches()
		l.upgrades.asked.again = true
		l.event(Event{Type: EventRequest, Revision: l.newest, Message: "retry"})
		return nil
	})
}

func (e *Engine) forgive(ctx context.Context) {
	h, ok := e.config.Source.(source.Historian)
	c := e.Status().Condition(CondSource)
	if ok && c.Raised && c.Reason == rewritten {
		h.Forgive()
		e.look(ctx)
	}
}

// Confirm makes a pending apply final before its probes do.
func (e *Engine) Confirm(ctx context.Context) error {
	return e.change(ctx, func(ctx context.Context, l *loop) error {
		if l.pending == nil {
			return fmt.Errorf("confirm: %w", ErrNothing)
		}
		l.conclude(ctx, byPerson)
		return nil
	})
}
