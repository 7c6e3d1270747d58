package engine

import (
	"context"
	"maps"
	"slices"

	"reconciler/internal/diff"
	"reconciler/internal/health"
	"reconciler/internal/intent"
	"reconciler/internal/observed"
	"reconciler/internal/resource"
)

// balance is what the loop knows of VIPs and backends between passes.
type balance struct {
	health Health
	states map[string]health.State // as they were told last
	asked  *resource.Set           // that the targets were taken from
	turned bool                    // something changed since the last decision

	memory    intent.Balanced // of the last decision
	announced map[resource.Key]intent.Announced
	since     map[resource.Key]since // VIPs are as they are
	last      decided
}

// decided is an answer and what it was made from: as long as that is the same,
// so is the answer, and nothing is compared anew.
type decided struct {
	want, have *resource.Set
	until      intent.Instant
	answer     *resource.Set
	reasons    map[resource.Key]string
	notes      []diff.Note
}

// weigh decides what VIPs are to be like by now.
func (l *loop) weigh(want *resource.Set, have observed.State) (*resource.Set, []diff.Note) {
	b := &l.balance
	now := l.now()
	if b.asked != want {
		b.asked = want
		b.health.Set(targets(want))
	}
	if b.turned || b.last.want != want || b.last.have != have.Objects || b.last.until <= now.At {
		b.turned = false
		b.last = l.weighAnew(want, have.Objects, now)
	}
	l.decided = intent.Earliest(l.decided, b.last.until)
	return b.last.answer, b.last.notes
}

func (l *loop) weighAnew(bound, have *resource.Set, now intent.Moment) decided {
	b := &l.balance
	overrides := l.overrides(now)
	want, left := intent.LeaveOut(bound, overrides)
	d := intent.Balance(want, have, intent.Facts{
		Now: now, Health: b.facts(want), Overrides: overrides, Orders: l.orders(now), Ramps: b.memory.Ramps, Steps: b.memory.Steps,
	})
	b.memory = d
	l.tellVIPs(d.States)
	out, drained := intent.KeepDrains(d.Want, have, now.At)
	was := b.announced
	var next intent.Instant
	out, b.announced, next = intent.Announce(out, have, d.States, was, l.withdrawn(now), now.At)
	reasons := announceReasons(want, was, b.announced, d.States)
	maps.Copy(reasons, d.Reasons)
	maps.Copy(reasons, left)
	return decided{
		want: bound, have: have, answer: out, reasons: reasons, notes: gateNotes(want, d.Gated),
		until: intent.Earliest(d.Next, drained, next),
	}
}

// gateNotes tell of VIPs that a guard keeps from what YAML wants.
func gateNotes(want *resource.Set, gated map[resource.Key]string) []diff.Note {
	var notes []diff.Note
	for _, k := range slices.SortedFunc(maps.Keys(gated), resource.Key.Compare) {
		o, _ := want.Get(k)
		notes = append(notes, diff.Note{Code: diff.Held, Key: k, Text: gated[k], Origin: o.Origin})
	}
	return notes
}

// announceReasons say why addresses of VIPs come and go.
func announceReasons(want *resource.Set, was, now map[resource.Key]intent.Announced, states map[resource.Key]intent.VIPState) map[resource.Key]string {
	reasons := make(map[resource.Key]string)
	for k, m := range now {
		if before, known := was[k]; !known || before.Shown == m.Shown {
			continue
		}
		o, _ := want.Get(k)
		v := o.Resource.(resource.VIP)
		for _, a := range intent.AnnouncedAddresses(v) {
			reasons[a.Key()] = "vip " + v.Name + " is " + string(states[k])
		}
	}
	return reasons
}

// because is why an operation is to be done that YAML did not ask for and that
// repairs nothing; empty for others.
func (l *loop) because(op diff.Op) string {
	if why := l.balance.last.reasons[op.Key]; why != "" {
		return why
	}
	if op.Verb != diff.Delete || op.Key.Driver != resource.LBDriver {
		return ""
	}
	switch op.Key.Kind {
	case resource.KindDrain:
		return "its time is over"
	case resource.KindBackend:
		return "no flow is left to it"
	}
	return ""
}

// turn looks at what health says.
func (l *loop) turn(ctx context.Context) {
	l.balance.turned = true
	l.tellTurns()
	l.pass(ctx, CauseHealth)
}

// DecideOnce is Planner.Decide for commands that run once: they have no facts
// of their own, and go by what the dataplane was told last. With spares, what
// going back would need stays.
func DecideOnce(spares bool) func(*resource.Set, observed.State) (*resource.Set, []diff.Note) {
	clock := hostClock()
	return func(want *resource.Set, have observed.State) (*resource.Set, []diff.Note) {
		now := clock.Now()
		d := intent.Balance(want, have.Objects, intent.Facts{Now: now})
		out, _ := intent.KeepDrains(d.Want, have.Objects, now.At)
		out, _, _ = intent.Announce(out, have.Objects, d.States, nil, false, now.At)
		if spares {
			out = intent.KeepSpares(out, have.Objects)
		}
		return out, gateNotes(want, d.Gated)
	}
}
