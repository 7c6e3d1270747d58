package engine

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"reconciler/internal/diff"
	"reconciler/internal/driver"
	"reconciler/internal/intent"
	"reconciler/internal/observed"
	"reconciler/internal/resource"
)

// upgrades is what the loop knows of versions and processes between passes.
type upgrades struct {
	started intent.Instant
	asked   asked
	last    advanced
	stalled bool // something waits until all else is settled
	loses   []string
	wayOut  wayOut
}

// wayOut is the upgrade of reconciler itself from a tree that this build is too
// old for, over the tree in use.
type wayOut struct {
	set        *resource.Set // nil: there is none
	want, both *resource.Set // the last answer, and what it was made from
}

// over is the tree in use with the way out. The same one gives the same set.
func (w *wayOut) over(want *resource.Set) *resource.Set {
	if w.set == nil {
		return want
	}
	if w.want != want {
		w.want, w.both = want, want.Clone()
		own := make(map[string]bool)
		for _, o := range w.set.All() {
			own[upgradeOf(o.Resource)] = true
		}
		for _, o := range want.All() {
			if u := upgradeOf(o.Resource); u != "" && own[u] {
				w.both.Remove(o.Key())
			}
		}
		for _, o := range w.set.All() {
			w.both.Put(o)
		}
	}
	return w.both
}

// tree is a tree with the way out over it.
func (w *wayOut) tree(t *tree) *tree {
	if w.set == nil {
		return t
	}
	return &tree{rev: t.rev, want: w.over(t.want)}
}

// upgradeOf is the upgrade that a resource is of; empty for none.
func upgradeOf(r resource.Resource) string {
	switch r := r.(type) {
	case resource.Release:
		return r.Upgrade
	case resource.Current:
		return r.Upgrade
	case resource.Self:
		return r.Upgrade
	}
	return ""
}

// leaveBy takes a way out; nil for none.
func (l *loop) leaveBy(set *resource.Set) {
	l.upgrades.wayOut = wayOut{set: set}
	l.sought = nil
}

// asked is what people want in this pass.
type asked struct {
	back  map[string]bool // upgrades, to their former versions
	again bool            // failures are forgotten
}

// advanced is an answer and what it was made from.
type advanced struct {
	want, have *resource.Set
	settled    bool
	until      intent.Instant
	answer     intent.Upgraded
}

// advance decides on the next step of upgrades and on processes.
func (l *loop) advance(want *resource.Set, have observed.State) (*resource.Set, []diff.Note) {
	u, now := &l.upgrades, l.now()
	settled := l.isSettled()
	same := u.last.want == want && u.last.have == have.Objects && u.last.settled == settled && now.At < u.last.until
	if !same || u.asked.again || len(u.asked.back) > 0 {
		answer := upgradeOnce(want, have.Objects, intent.UpgradeFacts{
			Now: now, Started: u.started, Settled: settled, Loses: u.loses, Back: u.asked.back, Again: u.asked.again,
		})
		u.last = advanced{want: want, have: have.Objects, settled: settled, until: answer.Next, answer: answer}
	}
	u.stalled = u.last.answer.Stalled
	l.decided = intent.Earliest(l.decided, u.last.until)
	return u.last.answer.Want, u.last.answer.Notes
}

// upgradeOnce is both decisions: which versions are in use, and what becomes of
// the processes that run them.
func upgradeOnce(want, have *resource.Set, f intent.UpgradeFacts) intent.Upgraded {
	u := intent.Upgrade(want, have, f)
	d := intent.KeepDaemons(u.Want, have, f.Now.At)
	u.Want, u.Notes = d.Want, slices.Concat(u.Notes, d.Notes)
	u.Next = intent.Earliest(u.Next, d.Next)
	for k, why := range d.Reasons {
		if u.Reasons[k] == "" {
			u.Reasons[k] = why
		}
	}
	return u
}

// isSettled reports that nothing but upgrades is under way.
func (l *loop) isSettled() bool {
	return l.pending == nil && l.baseline == nil && l.use != nil && !l.isChange()
}

// stalledNext is when what waits for the rest goes on: once there is none, at
// once.
func (l *loop) stalledNext() intent.Instant {
	if l.upgrades.stalled && l.isSettled() {
		return 0
	}
	return intent.Never
}

// because is why an upgrade, or the life of a process, makes an operation.
func (u *upgrades) because(op diff.Op) string {
	if why := u.last.answer.Reasons[op.Key]; why != "" {
		return why
	}
	switch {
	case op.Key.Kind == resource.KindJournal:
		return "written down before the effect"
	case op.Key.Kind == resource.KindRelease && op.Verb == diff.Delete:
		return "no longer kept"
	case op.Key.Kind == resource.KindDaemon && op.Verb == diff.Delete && op.From.(resource.Daemon).Seen.State != resource.DaemonRunning:
		return "it is over"
	}
	return ""
}

// tellUpgrade is the event of a step that was taken.
func (l *loop) tellUpgrade(op diff.Op) {
	switch op.Key.Kind {
	case resource.KindCurrent, resource.KindDaemon, resource.KindSelf:
		l.event(Event{Type: EventUpgrade, Key: op.Key, Message: fmt.Sprintf("%s %s (%s)", op.Verb.Symbol(), diff.Title(op), op.Reason)})
	}
}

// Loses lists what stops to flow while nobody writes to the dataplanes of some
// drivers.
func Loses(drivers []driver.Driver) []string {
	var out []string
	for _, d := range drivers {
		if f, ok := d.(driver.Freezer); ok {
			out = append(out, f.Freeze().Loses...)
		}
	}
	return out
}

// RollBackUpgrade leaves the version of an upgrade that is in use for the one
// before it; the version is not used again until YAML names another one, or
// after Retry.
func (e *Engine) RollBackUpgrade(ctx context.Context, upgrade string) (Pass, error) {
	return e.doPass(ctx, func(_ context.Context, l *loop) error {
		s, ok := l.upgradeStatus()[upgrade]
		switch {
		case !ok:
			return fmt.Errorf("roll back upgrade %q: %w; there are %v", upgrade, ErrAbsent, slices.Sorted(maps.Keys(l.upgradeStatus())))
		case s.State == resource.JournalRollback, s.State == resource.JournalIdle && s.Previous == "":
			return fmt.Errorf("roll back upgrade %s: %w: there is no version before it", upgrade, ErrNothing)
		}
		l.upgrades.asked.back = map[string]bool{upgrade: true}
		l.event(Event{Type: EventRequest, Message: "roll back upgrade " + upgrade})
		return nil
	})
}
