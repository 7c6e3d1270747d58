package engine

import (
	"context"

	"reconciler/internal/intent"
)

// leave notes for the next start that this one ends in order: an apply without
// a verdict has killed nobody, so it may go on to wait for one.
func (l *loop) leave() {
	if l.pending == nil {
		return
	}
	u := l.pending.undo
	u.Waits = &l.pending.Unconfirmed
	l.stateError("leave the verdict to the next start", write(l.Records, undoFile, u))
}

// recover takes up what the last run left without a verdict. After an orderly
// stop the probes are asked again until the deadline. After anything else it is
// undone at once: the last run may have been killed by what it applied.
func (l *loop) recover(ctx context.Context) {
	var u undoRecord
	if err := salvage(l, undoFile, &u); err != nil {
		l.stateError("read the way back", err)
		return
	}
	if u.ID == "" || u.ID == l.ledger.Verdict {
		return
	}
	if l.mode == ObserveOnly {
		l.conds.raise(CondUnconfirmed, "Observing", "revision "+short(u.Revision.Revision)+
			" was applied and never confirmed; it is undone once the mode is enforce")
		return
	}
	if l.resume(u) {
		return
	}
	l.abandon(ctx, u)
}

// resume goes on to wait for a verdict, by the deadline that was. From now on a
// kill is a kill again.
func (l *loop) resume(u undoRecord) bool {
	waits := u.Waits
	if waits == nil || u.Boot != l.Clock.ID || l.now().At >= waits.Deadline {
		return false
	}
	t, err := l.trees.get(u.Revision.Revision)
	if err != nil {
		l.log.Warn("revision without a verdict cannot be used", "revision", u.Revision.Revision, "error", err)
		return false
	}
	u.Waits = nil
	if err := write(l.Records, undoFile, u); err != nil {
		l.stateError("take the verdict up", err)
		return false
	}
	l.pending = &pending{
		Unconfirmed: *waits, tree: t, undo: u,
		pass: Pass{At: l.now().Wall, Cause: CauseStart, Revision: t.rev.Revision, Outcome: OutcomeApplied},
	}
	l.probeAt = intent.Never
	l.prober.request()
	return true
}

// abandon carries a record out.
func (l *loop) abandon(ctx context.Context, u undoRecord) {
	why := "the last run ended before this revision was confirmed"
	if u.Waits != nil {
		why = "not confirmed in time: the daemon was stopped meanwhile"
	}
	if u.Boot != l.Clock.ID {
		l.undone(u, why+", and the host was started anew since", nil)
		return
	}
	l.undone(u, why, l.undo(ctx, u))
}
