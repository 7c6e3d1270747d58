package engine

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"reconciler/internal/diff"
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
		text := op.Verb.Symbol() + " " + diff.Title(op)
		if op.Reason != "" {
			text += " (" + op.Reason + ")"
		}
		l.event(Event{Type: EventUpgrade, Key: op.Key, Message: text})
	}
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
