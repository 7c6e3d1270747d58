package diff

import (
	"fmt"
	"slices"
	"strings"

	"reconciler/internal/observed"
	"reconciler/internal/resource"
)

// sideEffects predicts what the kernel takes along with each operation, plans
// the return of what is wanted, drops deletions that happen by themselves, and
// lists what is lost to others.
func (c *comparison) sideEffects() {
	if !slices.ContainsFunc(c.ops, mayDisturb) {
		return
	}
	made := c.made()
	disturbing := c.disturbers()
	view := c.ahead(made, disturbing)
	dropped := map[*Op]bool{}
	for _, op := range disturbing {
		if !dropped[op] {
			c.disturb(op, view)
			c.markTaken(op, dropped)
		}
	}
	c.drop(dropped)
	for _, op := range c.ops {
		c.tellLost(op)
	}
}

func mayDisturb(op *Op) bool {
	_, ok := op.From.(resource.Disturber)
	return ok
}

// disturbers are the operations that may take something along, in the order in
// which they will run, but for those that take whole links: what goes with a
// link needs no deletion of its own.
func (c *comparison) disturbers() []*Op {
	var out []*Op
	for _, op := range c.ops {
		if mayDisturb(op) {
			out = append(out, op)
		}
	}
	slices.SortStableFunc(out, takersFirst)
	return out
}

// takersFirst puts what takes everything on a link before what takes little.
func takersFirst(a, b *Op) int {
	if c := takes(b) - takes(a); c != 0 {
		return c
	}
	return rank(a) - rank(b)
}

func takes(op *Op) int {
	switch {
	case op.Verb == Replace:
		return 2
	case op.Verb == Delete && op.Key.Kind == resource.KindLink:
		return 1
	}
	return 0
}

// made is the state with everything made and changed in place, and nothing
// removed yet.
func (c *comparison) made() *resource.Set {
	made := c.have.Objects.Clone()
	for _, op := range c.ops {
		if op.To != nil && op.Verb != Replace && c.gone[op.Key] == nil {
			made.Put(resource.Object{Resource: c.settled(op.To), Owner: resource.Ours})
		}
	}
	return made
}

// ahead is the state as it is when the disturbing operations run: changes that
// would be undone by one of them are not in it, as they come after it.
func (c *comparison) ahead(made *resource.Set, disturbing []*Op) *resource.Set {
	first := made.Clone()
	later := map[resource.Key]bool{}
	for _, op := range disturbing {
		for _, k := range c.taken(op, made) {
			later[k] = true
			if !c.have.Objects.Has(k) {
				c.after(c.byKey[k], op, true)
				c.late[op] = append(c.late[op], k)
			}
		}
	}
	for k := range later {
		if h, ok := c.have.Objects.Get(k); ok {
			first.Put(h)
		} else {
			first.Remove(k)
		}
	}
	return first
}

// settled is a resource as the kernel will show it: a new address in the
// subnet of an older one becomes its secondary.
func (c *comparison) settled(r resource.Resource) resource.Resource {
	a, ok := r.(resource.Address)
	if !ok || !a.Prefix.Addr().Is4() {
		return r
	}
	for _, o := range c.have.Objects.On(a.Link) {
		b, ok := o.Resource.(resource.Address)
		if ok && !b.Secondary && b.Prefix != a.Prefix && a.Network() == b.Network() {
			a.Secondary = true
			return a
		}
	}
	return a
}

// taken lists what goes with an operation in a state, and what goes with that.
func (c *comparison) taken(op *Op, view *resource.Set) []resource.Key {
	d, ok := op.From.(resource.Disturber)
	if !ok {
		return nil
	}
	seen := map[resource.Key]bool{op.Key: true}
	var keys []resource.Key
	todo := d.Disturbs(op.To, view)
	for len(todo) > 0 {
		k := todo[0]
		todo = todo[1:]
		if seen[k] {
			continue
		}
		seen[k] = true
		keys = append(keys, k)
		// With a link its addresses go, but not the routes of other links that
		// have them as their source.
		if o, ok := view.Get(k); ok && op.Key.Kind != resource.KindLink {
			if next, ok := o.Resource.(resource.Disturber); ok {
				todo = append(todo, next.Disturbs(nil, view)...)
			}
		}
	}
	return keys
}

// disturb deals with everything that one operation takes along, and leaves
// view as it is after the operation.
func (c *comparison) disturb(op *Op, view *resource.Set) {
	goes := map[resource.Key]bool{}
	for _, k := range c.taken(op, view) {
		goes[k] = true
		c.takeOne(op, k)
	}
	// What would have gone but changes or lets go first must do so first,
	// unless it changes into something that this operation brings.
	for _, k := range c.taken(op, c.have.Objects) {
		switch change := c.changing(k); {
		case goes[k] || change == nil:
		case c.needs(change, op):
			c.takeOne(op, k)
		default:
			c.after(op, change, false)
		}
	}
	c.advance(op, goes, view)
}

// advance makes view what it is once an operation and what comes back after it
// are done.
func (c *comparison) advance(op *Op, goes map[resource.Key]bool, view *resource.Set) {
	then := []*Op{op}
	if op.Verb == Delete {
		view.Remove(op.Key)
	}
	back := c.late[op]
	for k := range goes {
		view.Remove(k)
		back = append(back, k)
	}
	for _, k := range back {
		if made := c.byKey[k]; made != nil && made.To != nil {
			view.Put(resource.Object{Resource: c.settled(made.To), Owner: resource.Ours})
			then = append(then, made)
		}
	}
	c.chain(op, then)
}

// needs reports that an operation requires, however far, what another makes,
// or an address that is made only after it.
func (c *comparison) needs(op, first *Op) bool {
	for _, k := range c.late[first] {
		if r, ok := op.To.(resource.Route); ok && reachesBy(r, c.byKey[k].To) {
			return true
		}
	}
	seen := map[resource.Key]bool{}
	for todo := []*Op{op}; len(todo) > 0; todo = todo[1:] {
		for _, k := range todo[0].To.Requires() {
			if k == first.Key {
				return true
			}
			if next := c.byKey[k]; next != nil && next.Verb != Update && !seen[k] {
				seen[k] = true
				todo = append(todo, next)
			}
		}
	}
	return false
}

// reachesBy reports that an address is the source of a route or makes one of
// its gateways reachable.
func reachesBy(r resource.Route, by resource.Resource) bool {
	a, ok := by.(resource.Address)
	if !ok {
		return false
	}
	return r.PrefSrc == a.Prefix.Addr() || slices.ContainsFunc(r.Hops, func(h resource.NextHop) bool {
		return h.Dev == a.Link && h.Via.IsValid() && a.Network().Contains(h.Via)
	})
}

// changing is the operation that changes an object in place.
func (c *comparison) changing(k resource.Key) *Op {
	if op := c.byKey[k]; op != nil && op.Verb == Update {
		return op
	}
	return nil
}

// chain keeps deletions of addresses on a link, and what comes back after
// them, in the order in which their effects were predicted: the last address
// takes the routes.
func (c *comparison) chain(op *Op, then []*Op) {
	a, ok := op.From.(resource.Address)
	if !ok || op.Verb != Delete {
		return
	}
	for _, first := range c.lastGone[a.Link] {
		c.after(op, first, false)
	}
	c.lastGone[a.Link] = slices.DeleteFunc(then, func(op *Op) bool { return op.Key.Kind != resource.KindAddress })
}

func (c *comparison) takeOne(op *Op, k resource.Key) {
	h, had := c.have.Objects.Get(k)
	w, wanted := c.want.Get(k)
	switch {
	case wanted && !c.isHeld(k) && (c.byKey[k] != nil || c.downLink(w.Resource) == ""):
		c.bringBack(op, w, h)
	case had && (h.Owner == resource.Ours || c.gone[k] != nil):
		op.Takes = append(op.Takes, k)
	case had && h.Owner == resource.Foreign:
		op.Loses = append(op.Loses, k)
	}
}

// bringBack makes a wanted object again after an operation that takes it.
func (c *comparison) bringBack(op *Op, w, h resource.Object) {
	k := w.Key()
	back := c.byKey[k]
	if back == nil {
		back = c.add(&Op{Verb: Create, Key: k, To: w.Resource, Origin: w.Origin, Restores: true, Owner: h.Owner})
	}
	if back.Verb == Update || back.Verb == Replace {
		back.Verb, back.From = Create, nil
	}
	if l, ok := back.To.(resource.Link); ok {
		back.To = l.Anew()
	}
	if back.Reason == "" && h.Resource != nil {
		back.Reason = "goes with " + op.Key.Name
	}
	c.after(back, op, true)
}

// markTaken marks the deletions of what goes with an operation by itself.
// Where two deletions take each other (the ends of a pair), the first stays.
func (c *comparison) markTaken(op *Op, dropped map[*Op]bool) {
	for _, k := range op.Takes {
		if del := c.gone[k]; del != nil && del != op {
			dropped[del] = true
			delete(c.gone, k)
		}
	}
}

func (c *comparison) drop(dropped map[*Op]bool) {
	c.ops = slices.DeleteFunc(c.ops, func(op *Op) bool { return dropped[op] })
	for op := range dropped {
		delete(c.before, op)
	}
	for op, edges := range c.before {
		c.before[op] = slices.DeleteFunc(edges, func(e edge) bool { return dropped[e.op] })
	}
}

// tellLost notes the foreign objects that go with an operation.
func (c *comparison) tellLost(op *Op) {
	counts := map[string]int{}
	for _, k := range op.Loses {
		o, _ := c.have.Objects.Get(k)
		what := string(o.Key().Kind)
		if o.Origin != "" {
			what += " (" + o.Origin + ")"
		}
		counts[what]++
	}
	if len(counts) == 0 {
		return
	}
	var parts []string
	for what, n := range counts {
		parts = append(parts, fmt.Sprintf("%d %s", n, what))
	}
	slices.Sort(parts)
	text := "foreign objects go with it: " + strings.Join(parts, ", ")
	op.Effects = append(op.Effects, text)
	c.notes = append(c.notes, Note{Code: Lost, Key: op.Key, Text: text, Origin: op.Origin})
}

// holdMore marks operations that would take something of a protected link
// along that does not come back. It reports whether there were any, in which
// case the comparison starts over without them.
func (c *comparison) holdMore() bool {
	if len(c.protected) == 0 && len(c.have.Blind) == 0 {
		return false
	}
	more := false
	for _, op := range c.ops {
		if why := c.endangers(op); why.text != "" && !c.isHeld(op.Key) {
			c.held[op.Key] = why
			more = true
		}
	}
	return more
}

func (c *comparison) endangers(op *Op) hold {
	from, isLink := op.From.(resource.Link)
	if to, ok := op.To.(resource.Link); isLink && ok && from.State == resource.Up && to.State == resource.Down {
		if c.protected[from.Name] {
			return hold{Protected, "not taken down"}
		}
		for _, upper := range from.Following(resource.Down, c.have.Objects) {
			if c.protected[upper.Name] {
				return hold{Protected, upper.Key().String() + " would go down with it"}
			}
		}
	}
	for _, k := range slices.Concat(op.Loses, op.Takes) {
		o, ok := c.have.Objects.Get(k)
		if ok && c.isProtected(o.Resource) {
			return hold{Protected, k.String() + " would go with it"}
		}
		if _, blind := c.have.IsBlind(o.Resource); ok && blind {
			return hold{Held, k.String() + " would go with it, and could not be read in full"}
		}
	}
	return hold{}
}

// left counts what stays of what is neither ours nor declared.
func (c *comparison) left() []observed.Tally {
	type group struct {
		kind   resource.Kind
		origin string
	}
	lost := map[group]int{}
	for _, op := range c.ops {
		for _, k := range op.Loses {
			o, _ := c.have.Objects.Get(k)
			lost[group{k.Kind, o.Origin}]++
		}
	}
	var out []observed.Tally
	for _, t := range c.have.Tallies {
		if t.Count -= lost[group{t.Kind, t.Origin}]; t.Count > 0 {
			out = append(out, t)
		}
	}
	return out
}
