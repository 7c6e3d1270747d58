package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"reconciler/internal/apply"
	"reconciler/internal/intent"
	"reconciler/internal/source"
)

// probeAgain is the rest between two rounds of probes while an apply waits.
const probeAgain = 500 * time.Millisecond

// How an apply became final.
const (
	byNoProbe = "no-probe" // none answered well before, so none is required
	byProbes  = "probes"
	byPerson  = "person"
	byNothing = "failure" // every operation failed, so there is nothing to confirm
)

// final says how the apply of a pass became final.
func final(p Pass, how string) string {
	if p.Ops.Total() == 0 && p.Ops.Failed > 0 {
		return byNothing
	}
	return how
}

// judge decides on the apply that has no verdict.
func (l *loop) judge(ctx context.Context) {
	if l.pending == nil {
		return
	}
	verdict, _ := intent.Confirm(l.pending.Unconfirmed, l.answers, l.now().At)
	switch verdict {
	case intent.Accept:
		how := byProbes
		if len(l.pending.Required) == 0 {
			how = byNoProbe
		}
		l.conclude(ctx, how)
	case intent.Revert:
		l.revert(ctx, "not confirmed in time: "+l.silent())
	case intent.Wait:
		l.conds.raise(CondUnconfirmed, "Waiting", "revision "+short(l.useRevision())+" waits for "+l.silent())
	}
}

// conclude makes the apply that waits final, answers who waits for it, and goes
// on to what arrived meanwhile.
func (l *loop) conclude(ctx context.Context, how string) {
	p := l.pending.pass
	l.accept(l.pending.tree, final(p, how))
	was := l.use
	if l.choose(); l.use != was {
		l.pass(ctx, CauseTree)
		return
	}
	l.answerWaiters(p)
}

// silent lists the required probes that have not answered well since.
func (l *loop) silent() string {
	var out []string
	for _, name := range l.pending.Required {
		switch a, ok := l.answers[name]; {
		case !ok || a.Asked < l.pending.Applied:
			out = append(out, name)
		case !a.OK:
			out = append(out, name+" ("+l.said[name].Error()+")")
		}
	}
	return strings.Join(out, ", ")
}

// accept makes what is in use final.
func (l *loop) accept(t *tree, how string) {
	waiting := l.pending
	l.pending, l.probeAt, l.brought = nil, intent.Never, false
	if l.spared {
		l.decided = l.now().At // what was kept to go back can go
	}
	l.conds.clear(CondUnconfirmed)
	l.ledger.Applied, l.ledger.Approved, l.ledger.Boot = t.rev, "", l.Clock.ID
	if waiting != nil {
		l.ledger.Verdict = waiting.undo.ID
	}
	if l.reached() {
		l.ledger.LastGood = t.rev
		l.stateError("mark revision good", l.markGood(t))
	}
	l.saveLedger()
	l.tellSource()
	if how != byNothing {
		l.metrics.confirmed.Inc()
		l.event(Event{Type: EventConfirmed, Revision: t.rev.Revision, Message: "apply is final by " + how})
	}
	if waiting == nil {
		return
	}
	l.stateError("remove the way back", l.Records.Remove(undoFile))
	l.history.verdict(t.rev.Revision, how, l.now().At.Sub(waiting.Applied))
	l.saveHistory()
}

// tellSource has history go on from what is in force.
func (l *loop) tellSource() {
	if h, ok := l.Source.(source.Historian); ok && l.ledger.Applied.Revision != "" {
		h.Accepted(l.ledger.Applied.Revision)
	}
}

// reached reports that the host is what the revision in use says, with nothing
// failing and nothing held.
func (l *loop) reached() bool {
	return l.planned.Plan.Empty() && l.planned.Guarded == 0 && len(l.failures) == 0
}

// settled is called when there is nothing to do: a revision that needs no
// change is final without probes.
func (l *loop) settled() {
	l.conds.clear(CondUnfinished)
	if l.pending != nil || !l.enforcing() {
		return
	}
	t := l.use
	l.brought = false // and it changed nothing
	if l.planned.Guarded == 0 {
		l.ledger.Approved = ""
	}
	if t.rev.Revision != l.ledger.Applied.Revision {
		l.accept(t, "nothing to change")
		return
	}
	if l.reached() && t.rev.Revision != l.ledger.LastGood.Revision {
		l.ledger.LastGood = t.rev
		l.stateError("mark revision good", l.markGood(t))
		l.saveLedger()
	}
	if l.ledger.Boot != l.Clock.ID {
		l.ledger.Boot = l.Clock.ID
		l.saveLedger()
	}
}

// markGood: the rescue file is no snapshot.
func (l *loop) markGood(t *tree) error {
	if t.rev.Revision == rescueRevision {
		return nil
	}
	return l.Snapshots.Mark(t.rev.Revision, source.Good, "")
}

// revert puts the former state back and keeps the revision from being tried
// again; then what is wanted instead is made so.
func (l *loop) revert(ctx context.Context, why string) {
	waiting := l.pending
	l.pending, l.probeAt = nil, intent.Never
	l.conds.clear(CondUnconfirmed)
	err := l.undo(ctx, waiting.undo)
	l.undone(waiting.undo, why, err)
	l.history.verdict(waiting.tree.rev.Revision, "reverted: "+why, l.now().At.Sub(waiting.Applied))
	l.saveHistory()
	p := waiting.pass
	p.Outcome, p.Error = OutcomeReverted, why
	l.answerWaiters(p)
	l.pass(ctx, CauseConfirm)
}

// undone books that a record was carried out, as well as could be.
func (l *loop) undone(u undoRecord, why string, err error) {
	l.metrics.undone.Inc()
	message := why
	if err != nil {
		message += "; the former state could not be put back in full: " + err.Error()
	}
	l.event(Event{Type: EventReverted, Revision: u.Revision.Revision, Message: message})
	l.quarantine(u.Revision.Revision, why)
	if p := l.ledger.Pin; p != nil && p.Revision == u.Revision.Revision {
		l.ledger.Pin = nil
	}
	l.ledger.Approved = ""
	l.ledger.Verdict = u.ID
	l.saveLedger()
	l.stateError("remove the way back", l.Records.Remove(undoFile))
}

// quarantine keeps a revision from being tried until somebody says retry.
func (l *loop) quarantine(revision, why string) {
	if revision == "" || revision == rescueRevision {
		return
	}
	l.bad[revision] = true
	l.stateError("mark revision bad", l.Snapshots.Mark(revision, source.Bad, why))
	l.quarantineCondition()
}

// markRefused makes the quarantine of a revision outlive us.
func (l *loop) markRefused(revision string) {
	const why = "it was applied by hand, and nobody confirmed it"
	l.stateError("mark revision bad", l.Snapshots.Mark(revision, source.Bad, why))
}

func (l *loop) quarantineCondition() {
	message := ""
	if l.bad[l.newest] {
		message = "revision " + short(l.newest) + " was undone and is not tried again until it changes or somebody says retry"
	}
	l.conds.set(CondQuarantined, "Undone", message)
}

// undoTries bounds the attempts to put the former state back; the waits
// between them double from undoWait.
const (
	undoTries = 4
	undoWait  = 50 * time.Millisecond
)

// undo carries a record out: what it names becomes what it was, and nothing
// else is touched. It is done when a look finds nothing more to do.
func (l *loop) undo(ctx context.Context, u undoRecord) error {
	ctx = context.WithoutCancel(ctx)
	var errs []error
	for try := range undoTries {
		done, err := l.undoOnce(ctx, u.Undo)
		if done {
			return nil
		}
		if err != nil {
			errs = append(errs, err)
			sleep(ctx, undoWait<<try)
		}
	}
	return cmp.Or(errors.Join(errs...), errUndoDiffers)
}

var errUndoDiffers = errors.New("all was done, and the host still differs")

func (l *loop) undoOnce(ctx context.Context, u apply.Undo) (done bool, err error) {
	have, err := l.planner.Observe(ctx, u.Query())
	if err != nil {
		return false, err
	}
	plan, err := u.Plan(have)
	if err != nil {
		return false, err
	}
	if plan.Empty() {
		if len(have.Blind) > 0 {
			return false, fmt.Errorf("%s cannot be read: %s", have.Blind[0].Scope, have.Blind[0].Reason)
		}
		return true, nil
	}
	return false, apply.Run(ctx, plan, l.Drivers).Err()
}
