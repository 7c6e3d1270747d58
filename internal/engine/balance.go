package engine

import (
	"cmp"
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
	shown     weighing
	placed    map[resource.Key][]resource.Share // of VIPs, as they were last seen as wanted
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
		b.health.Set(targets(want, have.Objects))
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
		Now: now, Health: b.facts(want), Overrides: overrides, Orders: l.orders(now), Released: l.approved(), Ramps: b.memory.Ramps, Steps: b.memory.Steps,
	})
	b.memory = d
	l.tellVIPs(d.States)
	b.shown.tell(d)
	out, drained := intent.KeepDrains(d.Want, have, now.At)
	a := intent.Announce(out, have, d.States, b.announced, l.withdrawn(), now.At)
	b.announced = a.Memory
	reasons := a.Reasons
	maps.Copy(reasons, d.Reasons)
	maps.Copy(reasons, left)
	b.place(out, have, reasons)
	return decided{
		want: bound, have: have, answer: a.Want, reasons: reasons, notes: gateNotes(want, d.Gated),
		until: intent.Earliest(d.Next, drained, a.Next),
	}
}

// place remembers the shares that are as they are wanted. Those of a VIP that
// are still as they were then nobody changed but the decision.
func (b *balance) place(want, have *resource.Set, reasons map[resource.Key]string) {
	placed := make(map[resource.Key][]resource.Share)
	want.Each(func(k resource.Key, o resource.Object) bool {
		v, isVIP := o.Resource.(resource.VIP)
		held, _ := have.Get(k)
		was, there := held.Resource.(resource.VIP)
		if !isVIP || !there {
			return true
		}
		last, known := b.placed[k]
		switch {
		case slices.Equal(v.Shares, was.Shares):
			placed[k] = v.Shares
		case known && slices.Equal(was.Shares, last):
			placed[k] = last
			reasons[k] = cmp.Or(reasons[k], "what kept it otherwise is over")
		}
		return true
	})
	b.placed = placed
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

// because is why an operation is to be done that YAML did not ask for and that
// repairs nothing; empty for others.
func (l *loop) because(op diff.Op) string {
	if v, ok := op.From.(resource.VIP); ok && len(v.Seen.Damage) > 0 {
		return "" // whatever else there is to say
	}
	if why := cmp.Or(l.balance.last.reasons[op.Key], l.upgrades.because(op)); why != "" {
		return why
	}
	if b, ok := op.From.(resource.Backend); ok && op.Verb != diff.Delete && b.Seen.Moved {
		return "the way to it is another"
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

// Once says how commands decide that run once.
type Once struct {
	Spares   bool // what going back would need stays
	Released bool // guards of VIPs let go
	// Loses is what stops to flow while nobody writes to the dataplanes.
	Loses []string
	// Preview is Planner.Preview.
	Preview bool
}

// Decide is Planner.Decide for them: they have no facts of their own, and go by
// what the dataplane was told last.
func (o Once) Decide() func(*resource.Set, observed.State) (*resource.Set, []diff.Note) {
	clock := hostClock()
	return func(want *resource.Set, have observed.State) (*resource.Set, []diff.Note) {
		now := clock.Now()
		d := intent.Balance(want, have.Objects, intent.Facts{Now: now, Released: o.Released})
		out, _ := intent.KeepDrains(d.Want, have.Objects, now.At)
		out = intent.Announce(out, have.Objects, d.States, nil, false, now.At).Want
		if o.Spares {
			out = intent.KeepSpares(out, have.Objects)
		}
		u := upgradeOnce(out, have.Objects, intent.UpgradeFacts{Now: now, Settled: true, Once: !o.Preview, Preview: o.Preview, Loses: o.Loses})
		return u.Want, append(gateNotes(want, d.Gated), u.Notes...)
	}
}
