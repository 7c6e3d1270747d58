package engine

import (
	"context"
	"crypto/rand"
	"time"

	"reconciler/internal/apply"
	"reconciler/internal/intent"
)

// baseline waits for what the probes say before a change.
type baseline struct {
	revision string
	since    intent.Instant
	until    intent.Instant
	cause    Cause
}

// baselinePatience is a little more than a probe's own.
const baselinePatience = probePatience + 500*time.Millisecond

// pending is an apply without a verdict.
type pending struct {
	intent.Unconfirmed
	tree *tree
	undo undoRecord
	pass Pass
}

// change does a plan of what is wanted anew, and has it confirmed. While an
// earlier apply of the same revision waits for its verdict, more of it may
// follow; the way back grows with it.
func (l *loop) change(ctx context.Context, planned Planned, p *Pass) {
	if l.Settings.Confirm.Off {
		l.carry(ctx, planned, p, nil)
		l.remember(*p)
		l.accept(l.use, final(*p, "off"))
		return
	}
	undo, required, ready := l.wayBack(p.Cause)
	if !ready {
		p.Outcome, p.Error = OutcomeHeld, "waits for what the probes say before the change"
		return
	}
	l.carry(ctx, planned, p, func(next Planned) error {
		undo.add(apply.NewUndo(next.Plan, next.Have))
		err := write(l.Records, undoFile, undo)
		l.stateError("record the way back", err)
		if err != nil && l.pending == nil {
			l.unsafe = l.use.rev.Revision
		}
		return err
	})
	l.await(undo, required, *p)
}

// wayBack is the record of an apply and the probes it must not break, new or
// those of the apply that waits.
func (l *loop) wayBack(cause Cause) (u undoRecord, required []string, ready bool) {
	if l.pending != nil {
		return l.pending.undo, l.pending.Required, true
	}
	required, ready = l.probed(cause)
	return undoRecord{ID: rand.Text(), Revision: l.use.rev, Boot: l.Clock.ID, At: l.now().Wall}, required, ready
}

// await leaves an apply to the probes. One that was held before its first
// change needs no verdict.
func (l *loop) await(undo undoRecord, required []string, p Pass) {
	if p.Outcome == OutcomeHeld && p.Ops.Total()+p.Ops.Failed == 0 {
		return
	}
	l.remember(p)
	now := l.now()
	deadline := now.At.Add(l.Settings.Confirm.Timeout)
	if l.pending != nil {
		deadline, p = l.pending.Deadline, l.pending.pass
	}
	l.pending = &pending{
		Unconfirmed: intent.Unconfirmed{Required: required, Applied: now.At, Deadline: deadline},
		tree:        l.use, undo: undo, pass: p,
	}
	clear(l.answers) // those of the baseline
	l.prober.request()
}

// probed says which probes the change must not break, once they have said how
// they are before it.
func (l *loop) probed(cause Cause) (required []string, ready bool) {
	names := l.probeNames()
	if len(names) == 0 {
		return nil, true
	}
	now := l.now().At
	if l.baseline == nil || l.baseline.revision != l.use.rev.Revision {
		l.baseline = &baseline{revision: l.use.rev.Revision, since: now, until: now.Add(baselinePatience), cause: cause}
		clear(l.answers)
		l.prober.request()
	}
	required, ready, _ = intent.Baseline(names, l.answers, l.baseline.since, baselinePatience, now)
	if ready {
		l.baseline = nil
	}
	return required, ready
}

func (l *loop) probeNames() []string {
	names := make([]string, len(l.Settings.Confirm.Probes))
	for i, p := range l.Settings.Confirm.Probes {
		names[i] = p.String()
	}
	return names
}

// answered takes what a probe says.
func (l *loop) answered(ctx context.Context, a answer) {
	l.answers[a.probe], l.said[a.probe] = a.Answer, a.err
	switch {
	case l.pending != nil:
		l.probeAt = l.now().At.Add(probeAgain)
		l.judge(ctx)
	case l.baseline != nil:
		b := l.baseline
		_, ready, _ := intent.Baseline(l.probeNames(), l.answers, b.since, baselinePatience, l.now().At)
		if ready {
			l.pass(ctx, b.cause)
		}
	}
}
