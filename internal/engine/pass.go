package engine

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"reconciler/internal/apply"
	"reconciler/internal/diff"
	"reconciler/internal/intent"
	"reconciler/internal/observed"
	"reconciler/internal/resource"
)

// maxRounds bounds how often one pass plans and applies: what could not be
// done before something else was there is done in the next round.
const maxRounds = 3

// pass goes once through the line.
func (l *loop) pass(ctx context.Context, cause Cause) {
	if l.paused {
		return
	}
	began := time.Now()
	l.decided = intent.Never
	p := Pass{At: l.now().Wall, Cause: cause}
	l.upgrades.stalled = false
	l.expire()
	l.choose()
	l.quarantineCondition()
	tried := l.unsafe
	l.reconcile(ctx, &p)
	if l.unsafe != tried {
		// The newest revision cannot be tried, so what was there is kept up.
		held := p
		l.choose()
		l.reconcile(ctx, &p)
		p.Outcome, p.Error = held.Outcome, held.Error
	}
	p.Duration = time.Since(began)
	l.kept = l.kept || l.use != nil && p.Outcome != OutcomeError && p.Outcome != OutcomePlanned
	l.finish(p)
	l.judge(ctx)
}

// reconcile plans, and does what may be done.
func (l *loop) reconcile(ctx context.Context, p *Pass) {
	if l.use == nil {
		p.Outcome, p.Error = OutcomeError, ErrNoDesired.Error()
		return
	}
	p.Revision = l.use.rev.Revision
	l.late = lateKeys(l.planned.Plan, l.failures)
	planned, err := l.plan(ctx, false)
	if err == nil && !planned.Plan.Empty() && l.enforcing() && l.isChange() {
		l.change(ctx, planned, p)
		p.Held = l.planned.Guarded
		return
	}
	l.baseline = nil
	switch {
	case err != nil:
		p.Outcome, p.Error = OutcomeError, err.Error()
	case planned.Plan.Empty():
		l.settled()
		p.Outcome = OutcomeInSync
		if planned.Guarded > 0 {
			p.Outcome = OutcomeHeld
		}
	case !l.enforcing():
		p.Outcome = OutcomePlanned
	default:
		l.repair(ctx, planned, p)
	}
	p.Held = l.planned.Guarded
}

// isChange tells a new wish, which has to be confirmed, from the repair of one
// that was.
func (l *loop) isChange() bool {
	r := l.use.rev.Revision
	return l.pending != nil || l.brought || r != l.ledger.Applied.Revision || r == l.ledger.Approved
}

// repair does a plan of what was wanted before.
func (l *loop) repair(ctx context.Context, planned Planned, p *Pass) {
	p.Drift = l.drifts() && slices.ContainsFunc(planned.Plan.Ops, func(op diff.Op) bool { return l.because(op) == "" })
	l.carry(ctx, planned, p, nil)
	if p.Cause == CauseEvent && l.eventAt != intent.Never {
		l.metrics.repair.Observe(l.now().At.Sub(l.eventAt).Seconds())
	}
	l.remember(*p)
}

// drifts tells repairs of what somebody did from what a boot has undone, and from
// the first apply of a run: nobody looked before.
func (l *loop) drifts() bool { return l.kept && l.ledger.Boot == l.Clock.ID }

// plan makes a plan by the facts of now, and keeps it for who asks.
func (l *loop) plan(ctx context.Context, all bool) (Planned, error) {
	revision := l.use.rev.Revision
	l.planner.AllowPrune = l.approved()
	l.planner.Guard.Again = l.ledger.Held == revision
	out, err := l.planner.Plan(ctx, l.upgrades.wayOut.over(l.use.want), all)
	if err != nil {
		return Planned{}, fmt.Errorf("plan revision %s: %w", short(l.use.rev.Revision), err)
	}
	l.sampling.wants(out.Bound)
	l.rememberHold(revision, out.Guarded)
	if len(out.Have.Blind) == 0 {
		l.complete = true
	}
	if !l.complete {
		out.Plan = out.Plan.Hold("not everything could be read since the start", isDelete)
	}
	l.forgetHealed(out.Plan)
	l.failingCondition()
	l.explain(&out.Plan)
	l.planned = out
	l.conds.fromPlan(out.Plan)
	l.seek()
	return out, nil
}

// approved reports that a person released what guards hold of the revision in
// use.
func (l *loop) approved() bool {
	return l.ledger.Approved != "" && l.ledger.Approved == l.useRevision()
}

// rememberHold keeps on disk that deletions of a revision are held, before
// anything it makes could change the proportions that they were judged by.
func (l *loop) rememberHold(revision string, guarded int) {
	held := ""
	if guarded > 0 {
		held = revision
	}
	if held != l.ledger.Held {
		l.ledger.Held = held
		l.saveLedger()
	}
}

func isDelete(op diff.Op) bool { return op.Verb == diff.Delete }

// decide leaves alone what fails, what waits for that, and what somebody else
// keeps undoing.
func (l *loop) decide(want *resource.Set, have observed.State) (*resource.Set, []diff.Note) {
	now := l.now().At
	l.decided = intent.Never
	l.forgetUnwanted(want, have)
	want, gated := l.weigh(want, have)
	want = l.spare(want, have)
	want, going := l.advance(want, have)
	gated = slices.Concat(gated, going)
	var keys []resource.Key
	var notes []diff.Note
	hold := func(k resource.Key, until intent.Instant, n diff.Note) {
		if until <= now {
			return
		}
		keys, notes = append(keys, k), append(notes, n)
		l.decided = intent.Earliest(l.decided, until)
	}
	for k, f := range l.failures {
		hold(k, f.Until, diff.Note{Code: diff.BackedOff, Key: k, Text: f.Err})
	}
	for k, by := range l.blocked {
		f, failing := l.failures[by]
		if !failing {
			delete(l.blocked, k)
			continue
		}
		hold(k, f.Until, diff.Note{Code: diff.BackedOff, Key: k, Text: fmt.Sprintf("waits for %s %s, which failed", by.Kind, by.Name)})
	}
	for k, r := range l.repairs {
		text := "somebody else changes it back again and again; left alone for now"
		hold(k, r.Until, diff.Note{Code: diff.TwoManagers, Key: k, Text: text})
	}
	return intent.LeaveAlone(want, have.Objects, keys), append(notes, gated...)
}

// spare keeps what going back would need, while an apply is not confirmed.
func (l *loop) spare(want *resource.Set, have observed.State) *resource.Set {
	l.spared = false
	if l.Settings.Confirm.Off || !l.enforcing() || !l.isChange() {
		return want
	}
	kept := intent.KeepSpares(want, have.Objects)
	l.spared = kept != want
	return kept
}

// explain says of each operation that repairs drift since when it is needed.
func (l *loop) explain(p *diff.Plan) {
	noticed := make(map[resource.Key]time.Time, len(p.Ops))
	for i := range p.Ops {
		op := &p.Ops[i]
		since, known := l.noticed[op.Key]
		if !known {
			since = l.now().Wall
		}
		noticed[op.Key] = since
		if op.Reason == "" {
			op.Reason = l.because(*op)
		}
		if op.Reason == "" && !l.isChange() && l.drifts() {
			op.Reason = "DRIFT since " + since.Format(time.TimeOnly)
		}
	}
	l.noticed = noticed
}

// carry applies a plan, looks, and goes on while there is more to do. ahead, if
// any, is called before each apply, and ends it with its error.
func (l *loop) carry(ctx context.Context, planned Planned, p *Pass, ahead func(Planned) error) {
	var done diff.Plan
	for range maxRounds {
		if ahead != nil {
			if err := ahead(planned); err != nil {
				p.Outcome, p.Error = OutcomeHeld, err.Error()
				return
			}
		}
		// An apply that has begun is finished: half of one is worse than a late stop.
		done = planned.Plan
		report := apply.Run(context.WithoutCancel(ctx), done, l.Drivers)
		l.account(report, p)
		var err error
		if planned, err = l.plan(context.WithoutCancel(ctx), false); err != nil {
			p.Outcome, p.Error = OutcomeError, err.Error()
			return
		}
		if planned.Plan.Empty() {
			break
		}
	}
	left := planned.Plan
	if !left.Empty() && l.isNews(left, done) {
		left, l.decided = diff.Plan{}, l.now().At
	}
	l.carried(left, p)
}

// isNews tells a plan that a decision brought about, which was made while
// another one was carried out, from what that one left undone.
func (l *loop) isNews(left, done diff.Plan) bool {
	return !slices.ContainsFunc(left.Ops, func(op diff.Op) bool {
		return l.because(op) == "" || slices.ContainsFunc(done.Ops, func(d diff.Op) bool {
			return d.Key == op.Key && d.Verb == op.Verb && (op.To == nil || d.To != nil && op.To.Equal(d.To))
		})
	})
}

// carried says how it went.
func (l *loop) carried(left diff.Plan, p *Pass) {
	l.conds.set(CondUnfinished, "Differs", unfinished(left))
	p.Outcome = OutcomeApplied
	if p.Ops.Failed > 0 || !left.Empty() {
		p.Outcome = OutcomeFailed
	}
}

func unfinished(left diff.Plan) string {
	if left.Empty() {
		return ""
	}
	lines := make([]string, len(left.Ops))
	for i, op := range left.Ops {
		lines[i] = diff.Title(op)
	}
	return few(lines)
}

// lateKeys are those that were wanted and could not be had by a plan.
func lateKeys(p diff.Plan, failures map[resource.Key]intent.Failure) map[resource.Key]bool {
	late := make(map[resource.Key]bool, len(failures)+len(p.Notes))
	for k := range failures {
		late[k] = true
	}
	for _, n := range p.Notes {
		late[n.Key] = true
	}
	return late
}

// isLate reports that an operation does what could not be done before: that is
// no drift.
func (l *loop) isLate(op diff.Op) bool {
	late := l.late[op.Key]
	if _, spare := op.From.(resource.Spare); spare && op.Verb == diff.Delete {
		return true // it was kept only until the verdict
	}
	if op.To != nil {
		for _, k := range op.To.Requires() {
			late = late || l.late[k]
		}
	}
	return late
}

// account books what became of each operation.
func (l *loop) account(r apply.Report, p *Pass) {
	for i, op := range r.Plan.Ops {
		res := r.Results[i]
		outcome := "done"
		delete(l.blocked, op.Key)
		switch res.Outcome {
		case apply.Done:
			p.Ops.done(op.Verb)
			delete(l.failures, op.Key)
			l.tellUpgrade(op)
			if p.Drift && !l.isLate(op) && l.because(op) == "" {
				l.repaired(op, p.Cause)
			}
		case apply.Failed, apply.NotRun:
			outcome = "failed"
			p.Ops.Failed++
			l.failed(op, res.Err)
		case apply.Blocked:
			outcome = "blocked"
			p.Ops.Blocked++
			l.blocked[op.Key] = r.Plan.Ops[res.By].Key
		}
		l.metrics.operations.WithLabelValues(op.Verb.String(), string(op.Key.Kind), outcome).Inc()
	}
	if err := r.Err(); err != nil {
		p.Error = strings.TrimPrefix(p.Error+"\n"+err.Error(), "\n") // the first round has the root
	}
}

func (c *Counts) done(v diff.Verb) {
	switch v {
	case diff.Create:
		c.Create++
	case diff.Update:
		c.Update++
	case diff.Replace:
		c.Replace++
	case diff.Delete:
		c.Delete++
	case diff.NoVerb:
		panic("engine: operation without a verb")
	}
}

func (l *loop) failed(op diff.Op, err error) {
	text := "not reached"
	if err != nil {
		text = err.Error()
	}
	l.failures[op.Key] = l.failures[op.Key].Again(text, l.Settings.Resync, l.now().At)
	l.event(Event{Type: EventFailed, Revision: l.useRevision(), Key: op.Key, Message: text})
}

func (l *loop) repaired(op diff.Op, cause Cause) {
	l.repairs[op.Key] = l.repairs[op.Key].Repaired(l.now().At)
	l.metrics.drift.WithLabelValues(string(op.Key.Kind), string(cause)).Inc()
	l.event(Event{
		Type: EventDrift, Revision: l.useRevision(), Key: op.Key,
		Message: fmt.Sprintf("%s %s (%s; noticed by %s)", op.Verb.Symbol(), diff.Title(op), op.Reason, cause),
	})
}

// finish books a pass and answers those who wait for it.
func (l *loop) finish(p Pass) {
	l.lastPass = p
	l.upgrades.asked = asked{}
	l.metrics.passes.WithLabelValues(string(p.Cause)).Inc()
	l.metrics.duration.Observe(p.Duration.Seconds())
	if l.inSync() {
		l.metrics.success.Set(float64(l.now().Wall.UnixNano()) / 1e9)
	}
	level := slog.LevelDebug
	if p.Ops.Total()+p.Ops.Failed > 0 || p.Outcome == OutcomeError {
		level = slog.LevelInfo
	}
	l.log.Log(context.Background(), level, "pass", "cause", p.Cause, "revision", p.Revision, "outcome", p.Outcome,
		"changes", p.Ops.Total(), "failed", p.Ops.Failed, "took", p.Duration, "error", p.Error)
	if l.pending != nil && l.pending.pass.At.Equal(p.At) {
		l.pending.pass = p
	}
	if l.pending == nil && l.baseline == nil {
		l.answerWaiters(p)
	}
	if !l.ready {
		l.ready = true
		l.Notify.send("READY=1")
	}
}

// answerWaiters lets those who wait see the status that belongs to the answer.
func (l *loop) answerWaiters(p Pass) {
	if len(l.waiters) == 0 {
		return
	}
	l.publish()
	for _, w := range l.waiters {
		w <- p // each has room for one
	}
	l.waiters = nil
}

// inSync is the short answer to how the host is: as the newest revision says,
// or as the one says that a person pinned.
func (l *loop) inSync() bool {
	return l.use != nil && l.followsNewest() && l.planned.Want != nil && l.planned.Plan.InSync() &&
		l.lastPass.Outcome != OutcomeError && l.pending == nil &&
		!l.conds.raised(CondInvalid) && !l.conds.raised(CondQuarantined) && !l.conds.raised(CondNamespace)
}

func (l *loop) followsNewest() bool {
	if p := l.ledger.Pin; p != nil {
		return l.use.rev.Revision == p.Revision
	}
	if c := l.conds.all[CondSource]; c.Raised && c.Reason != trouble {
		return false
	}
	return l.seen.Revision == "" || l.use.rev.Revision == l.seen.Revision
}
