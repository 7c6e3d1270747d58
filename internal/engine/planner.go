package engine

import (
	"cmp"
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

// Planner makes a plan of what is wanted. It reads the dataplanes and changes
// nothing. It is used from one goroutine.
type Planner struct {
	Drivers []driver.Driver
	Protect Protection
	Guard   diff.Guard
	// AllowPrune releases what Guard would hold.
	AllowPrune bool
	// Decide bends what is wanted to the facts, between bind and compute. Nil
	// for one-shot commands.
	Decide func(want *resource.Set, have observed.State) (*resource.Set, []diff.Note)

	// Preview plans also with versions that have yet to be fetched: what a person
	// wants to see is what comes then.
	Preview bool

	// Enter runs a function on a thread in the network namespace that the
	// drivers work in. Nil where it is the process's own.
	Enter func(func())

	union    observed.Union
	checked  checked
	resolved resolved
	named    named
	quiet    quiet
}

func (p *Planner) enter(f func()) {
	if p.Enter == nil {
		f()
		return
	}
	p.Enter(f)
}

// quiet is a look that found nothing to do, and what it was made from. Binding
// and comparing are pure: what is the same again needs neither, and they are
// most of the cost of a cycle on a large host.
type quiet struct {
	want   *resource.Set // as declared
	have   observed.State
	bound  *resource.Set
	notes  []diff.Note   // of bind
	wanted *resource.Set // bound, and bent to the facts; nil for no look yet
	plan   diff.Plan
}

// checked is what the drivers said of a set, so that each is asked once.
type checked struct {
	want  *resource.Set
	keys  []resource.Key
	notes []diff.Note
}

// resolved is what the drivers made of a set, and which keys they could not.
type resolved struct {
	keys  []resource.Key
	notes []diff.Note
}

// lacks reports that something of a set is not on this host which all of it
// waits for. An upgrade holds up nothing else.
func (p *Planner) lacks(ctx context.Context, want *resource.Set) bool {
	p.Resolve(ctx, want)
	return slices.ContainsFunc(p.resolved.keys, func(k resource.Key) bool { return k.Kind != resource.KindRelease })
}

// Resolve lets the drivers fill in what only they can tell.
func (p *Planner) Resolve(ctx context.Context, want *resource.Set) *resource.Set {
	p.resolved = resolved{}
	for _, d := range p.Drivers {
		r, ok := d.(driver.Resolver)
		if !ok || want == nil {
			continue
		}
		var notes []diff.Note
		want, notes = r.Resolve(ctx, want)
		p.resolved.notes = append(p.resolved.notes, notes...)
	}
	for _, n := range p.resolved.notes {
		if n.Code == diff.NotReady {
			p.resolved.keys = append(p.resolved.keys, n.Key)
		}
	}
	return want
}

// Planned is a plan with what it was made from.
type Planned struct {
	Plan  diff.Plan
	Bound *resource.Set // what is wanted, with the names of the kernel
	Want  *resource.Set // Bound, bent to the facts
	Have  observed.State
	// Guarded is how many deletions the guard holds; they are Notes.
	Guarded int
}

// Plan observes, binds and compares. With all, everything on the host is
// looked at and counted, for a person to read. The error says that nothing
// could be planned at all; what could not be read is in Plan.Blind.
func (p *Planner) Plan(ctx context.Context, want *resource.Set, all bool) (Planned, error) {
	want = p.Resolve(ctx, want)
	out, err := p.look(ctx, want, observed.Query{Want: want, All: all})
	if err != nil {
		return Planned{}, err
	}
	if !out.Plan.Empty() && !all {
		// What stands around the change decides on side effects and order.
		out, err = p.look(ctx, want, observed.Query{Want: want, Around: around(out.Plan)})
		if err != nil {
			return Planned{}, err
		}
	}
	if !out.Plan.Empty() && !p.AllowPrune {
		ops := len(out.Plan.Ops)
		out.Plan = p.Guard.Hold(out.Plan, out.Have)
		out.Guarded = ops - len(out.Plan.Ops)
	}
	for _, d := range p.Drivers {
		if a, ok := d.(driver.Annotator); ok {
			a.Annotate(out.Have, &out.Plan)
		}
	}
	p.tellFreeze(&out.Plan)
	return out, nil
}

// look is one way from the dataplanes to a plan.
func (p *Planner) look(ctx context.Context, want *resource.Set, q observed.Query) (Planned, error) {
	have, err := p.Observe(ctx, q)
	if err != nil {
		return Planned{}, err
	}
	plain := !q.All && len(q.Around) == 0
	last := p.quiet
	if !plain || last.wanted == nil || last.want != want || !last.have.Same(have) {
		last = quiet{want: want, have: have}
		last.bound, last.notes = diff.Bind(want, have)
	}
	wanted, notes := p.bend(last)
	if wanted != last.wanted {
		last.wanted = wanted
		last.plan, err = p.compare(ctx, wanted, have, q)
		if err != nil {
			return Planned{}, fmt.Errorf("compare: %w", err)
		}
	}
	p.quiet = quiet{}
	if plain && last.plan.Empty() {
		p.quiet = last
	}
	plan := last.plan
	plan.Notes = slices.Concat(notes, plan.Notes)
	return Planned{Plan: plan, Bound: last.bound, Want: wanted, Have: last.have}, nil
}

// bend fits what is bound to what the drivers can do and to the facts. With
// nothing to bend it returns the same set.
func (p *Planner) bend(q quiet) (wanted *resource.Set, notes []diff.Note) {
	p.check(q.want)
	wanted = intent.LeaveAlone(q.bound, q.have.Objects, p.checked.keys)
	wanted = intent.KeepUp(wanted, q.have.Objects, p.notReady())
	notes = slices.Concat(q.notes, p.checked.notes, p.resolved.notes)
	if p.Decide != nil {
		var said []diff.Note
		wanted, said = p.Decide(wanted, q.have)
		notes = append(notes, said...)
	}
	return wanted, notes
}

// compare makes the plan. Which links are protected takes milliseconds to find
// out (the kernel walks all its TCP connections), so it is asked only where a
// person reads the plan or the plan does more than add.
func (p *Planner) compare(ctx context.Context, wanted *resource.Set, have observed.State, q observed.Query) (plan diff.Plan, err error) {
	mark := func() { p.Protect.mark(ctx, have) }
	if q.All {
		p.enter(mark)
	}
	plan, err = diff.Compute(wanted, have)
	if err == nil && len(q.Around) > 0 && slices.ContainsFunc(plan.Ops, doesMoreThanAdd) {
		p.enter(mark)
		plan, err = diff.Compute(wanted, have)
	}
	if err == nil {
		plan.Observed = diff.Hash(have, wanted)
	}
	return plan, err
}

func doesMoreThanAdd(op diff.Op) bool { return op.Verb != diff.Create }

// Observe asks every driver.
func (p *Planner) Observe(ctx context.Context, q observed.Query) (observed.State, error) {
	from := make([]observed.Observer, len(p.Drivers))
	for i, d := range p.Drivers {
		from[i] = d
	}
	return p.union.Observe(ctx, from, q, p.kernelNames)
}

// named is a set with the kernel's names of links, and what it was made from.
type named struct {
	want   *resource.Set
	names  map[string]string
	answer *resource.Set
}

// kernelNames returns want with the kernel's names of links: want itself where
// they are the same, and the same set as before where nothing has changed.
func (p *Planner) kernelNames(want *resource.Set, have observed.State) *resource.Set {
	all := want.All() // sorted by driver first
	if len(all) == 0 || !standsOnLinks(all[0]) && !standsOnLinks(all[len(all)-1]) {
		return want
	}
	names := diff.Names(want, have)
	if p.named.want == want && maps.Equal(p.named.names, names) {
		return p.named.answer
	}
	p.named = named{want, names, want}
	if len(names) == 0 {
		return want
	}
	out := resource.NewSet(want.Len())
	for _, o := range all {
		if r, ok := o.Resource.(resource.Renamer); ok {
			o.Resource = r.Rename(func(name string) string { return cmp.Or(names[name], name) })
		}
		out.Put(o)
	}
	p.named.answer = out
	return out
}

// notReady lists what could not be resolved, by the kernel's names of links.
func (p *Planner) notReady() []resource.Key {
	keys := slices.Clone(p.resolved.keys)
	if p.Preview {
		keys = slices.DeleteFunc(keys, func(k resource.Key) bool { return k.Kind == resource.KindRelease })
	}
	for i, k := range keys {
		o, _ := p.named.want.Get(k)
		if r, ok := o.Resource.(resource.Renamer); ok && len(p.named.names) > 0 {
			keys[i] = r.Rename(func(name string) string { return cmp.Or(p.named.names[name], name) }).Key()
		}
	}
	return keys
}

// standsOnLinks tells what another driver than that of links reads.
func standsOnLinks(o resource.Object) bool { return o.Key().Driver != resource.Netlink }

// around lists what a plan touches, and the links of what it takes away:
// whether those are protected shows in the routes that lie on them.
func around(p diff.Plan) []resource.Key {
	var keys []resource.Key
	links := make(map[string]bool)
	for _, op := range p.Ops {
		keys = append(keys, op.Key)
		if op.Verb == diff.Delete {
			for _, link := range resource.Parents(op.From) {
				links[link] = true
			}
		}
	}
	for link := range links {
		keys = append(keys, resource.LinkKey(link))
	}
	return keys
}

// check asks the drivers what of want they cannot apply.
func (p *Planner) check(want *resource.Set) {
	if p.checked.want == want {
		return
	}
	p.checked = checked{want: want}
	byName := make(map[string]driver.Driver, len(p.Drivers))
	for _, d := range p.Drivers {
		byName[d.Name()] = d
	}
	for _, o := range want.All() {
		d, ok := byName[o.Key().Driver]
		if !ok {
			p.refuse(o, "no driver "+o.Key().Driver+" in this build")
			continue
		}
		for _, f := range d.Check(o.Resource) {
			if f.Code == driver.Unsupported {
				p.refuse(o, f.Message)
				break
			}
		}
	}
}

func (p *Planner) refuse(o resource.Object, why string) {
	p.checked.keys = append(p.checked.keys, o.Key())
	p.checked.notes = append(p.checked.notes, diff.Note{Code: diff.NotYet, Key: o.Key(), Text: why, Origin: o.Origin})
}
