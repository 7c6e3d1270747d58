package diff

import (
	"fmt"
	"slices"

	"reconciler/internal/observed"
	"reconciler/internal/resource"
)

// Compute returns the least ordered set of changes that makes have into want.
// want must be bound. What is ours and not wanted is removed; what is not ours
// is removed only where a list of the link is exact; what is blind is left
// alone.
func Compute(want *resource.Set, have observed.State) (Plan, error) {
	c := &comparison{declared: want, have: have, held: map[resource.Key]hold{}}
	c.protected = protected(want, have)
	for {
		c.reset()
		c.ground()
		c.compareWanted()
		c.compareHad()
		c.sink()
		c.remask()
		c.sideEffects()
		c.bridgeEffects()
		if !c.holdMore() {
			break
		}
	}
	ops, err := order(c)
	if err != nil {
		return Plan{}, err
	}
	return Plan{Ops: ops, Notes: c.notes, Blind: have.Blind, Left: c.left()}, nil
}

// comparison is one Compute at work. Operations are kept by key until order
// makes a list of them; a key has two only where a link is removed before its
// peer makes it again.
type comparison struct {
	declared  *resource.Set
	want      *resource.Set // declared, as far as the kernel can have it
	have      observed.State
	protected map[string]bool       // links, by name
	held      map[resource.Key]hold // operations not to plan, and why

	ops      []*Op
	byKey    map[resource.Key]*Op   // the one that makes or changes the object
	gone     map[resource.Key]*Op   // the one that deletes it
	before   map[*Op][]edge         // what an operation waits for
	late     map[*Op][]resource.Key // what is made only after an operation that would take it
	lastGone map[string][]*Op       // by link, the last deletion of an address and what came back after it
	holding  map[resource.Key]*Op   // by bridge, what sets its MTU again
	refused  map[resource.Key]bool  // wanted links that cannot be as wanted
	notes    []Note
}

// hold says why an operation is not planned: the code and the text of its Note.
type hold struct {
	code NoteCode
	text string
}

func (c *comparison) isHeld(k resource.Key) bool {
	_, held := c.held[k]
	return held
}

// edge says that an operation comes after another. A hard one blocks when that
// fails; a soft one is only order.
type edge struct {
	op   *Op
	hard bool
}

func (c *comparison) reset() {
	c.ops, c.notes, c.refused = nil, nil, map[resource.Key]bool{}
	c.holding = map[resource.Key]*Op{}
	c.byKey, c.gone = map[resource.Key]*Op{}, map[resource.Key]*Op{}
	c.before, c.late, c.lastGone = map[*Op][]edge{}, map[*Op][]resource.Key{}, map[string][]*Op{}
}

func (c *comparison) add(op *Op) *Op {
	c.ops = append(c.ops, op)
	if op.Verb == Delete {
		c.gone[op.Key] = op
	} else {
		c.byKey[op.Key] = op
	}
	return op
}

func (c *comparison) note(code NoteCode, o resource.Object, text string) {
	c.notes = append(c.notes, Note{Code: code, Key: o.Key(), Text: text, Origin: o.Origin})
}

func (c *comparison) after(op, first *Op, hard bool) {
	if op == nil || first == nil || op == first {
		return
	}
	c.before[op] = append(c.before[op], edge{first, hard})
}

// protected lists the links that, with their addresses and routes, no plan
// takes away.
func protected(want *resource.Set, have observed.State) map[string]bool {
	out := map[string]bool{}
	collect := func(_ resource.Key, o resource.Object) bool {
		if l, ok := o.Resource.(resource.Link); ok && l.Policy.Protect {
			out[l.Name] = true
		}
		return true
	}
	want.Each(collect)
	have.Objects.Each(collect)
	return out
}

func (c *comparison) isProtected(r resource.Resource) bool {
	if len(c.protected) == 0 || r.Key().Driver != resource.Netlink {
		return false // protection is of the way to the host, not of what runs on it
	}
	if l, ok := r.(resource.Link); ok {
		return c.protected[l.Name]
	}
	return slices.ContainsFunc(resource.Parents(r), func(link string) bool { return c.protected[link] })
}

// compareWanted plans what is wanted and is not so. Links come first: what
// stands on one that cannot be as wanted is not planned either.
func (c *comparison) compareWanted() {
	var rest []resource.Object
	for _, w := range c.want.All() {
		if _, ok := w.Resource.(resource.Link); !ok {
			rest = append(rest, w)
			continue
		}
		c.compareOneWanted(w)
	}
	for _, w := range rest {
		c.compareOneWanted(w)
	}
}

func (c *comparison) compareOneWanted(w resource.Object) {
	key := w.Key()
	h, exists := c.have.Objects.Get(key)
	if exists && h.Equal(w.Resource) {
		return
	}
	if _, blind := c.have.IsBlind(w.Resource); blind {
		return
	}
	if why, held := c.held[key]; held {
		c.note(why.code, w, why.text)
		return
	}
	if link := c.refusedFor(w.Resource); link != "" {
		c.note(Conflict, w, "it needs interface "+link+", which is not as declared")
		return
	}
	if down := c.downLink(w.Resource); down != "" {
		c.note(Absent, w, "interface "+down+" is to be down, and the kernel has no routes on such")
		return
	}
	if !exists {
		c.add(&Op{Verb: Create, Key: key, To: w.Resource, Fields: resource.Changes(nil, w.Resource), Origin: w.Origin})
		return
	}
	c.compareChanged(w, h)
}

// refusedFor returns the first required link that cannot be as wanted.
func (c *comparison) refusedFor(r resource.Resource) string {
	if len(c.refused) == 0 {
		return ""
	}
	for _, k := range r.Requires() {
		if c.refused[k] {
			if l, ok := r.(resource.Link); ok {
				c.refused[l.Key()] = true
			}
			return k.Name
		}
	}
	return ""
}

func (c *comparison) compareChanged(w, h resource.Object) {
	if t, ok := w.Resource.(resource.Tenant); ok && h.Owner == resource.Foreign && !t.Evicts() {
		c.note(Conflict, w, "somebody else's is there, and the place has room for one"+t.EvictHint())
		return
	}
	op := &Op{
		Verb: Update, Key: w.Key(), From: h.Resource, To: w.Resource, Owner: h.Owner,
		Fields: resource.Changes(h.Resource, w.Resource), Origin: w.Origin,
	}
	if h.Owner == resource.Foreign && adopts(w.Resource) {
		op.Reason = "adopt"
	}
	if r, ok := w.Resource.(resource.Replacer); ok && r.Replaces(h.Resource) {
		op.Verb = Replace
		switch {
		case h.Owner == resource.Kernel:
			c.refused[op.Key] = true
			c.note(Conflict, w, "the kernel made it and it differs: "+changeText(op.Fields))
			return
		case h.Owner == resource.Foreign && !adopts(w.Resource):
			c.refused[op.Key] = true
			c.note(Conflict, w, "it is not ours and only its removal could change it: "+changeText(op.Fields)+" (adopt: true makes it ours)")
			return
		case c.isProtected(h.Resource):
			c.refused[op.Key] = true
			c.note(Protected, w, "it would be removed and made again for "+changeText(op.Fields))
			return
		}
		op.anew()
		if l, ok := w.Resource.(resource.Link); ok && l.Far {
			c.replaceFar(op)
			return
		}
	} else if h.Owner == resource.Kernel && w.Key().Kind != resource.KindLink {
		c.note(Conflict, w, "the kernel made it and it differs: "+changeText(op.Fields))
		return
	}
	if l, ok := w.Resource.(resource.Link); ok && op.Verb == Update && l.Kept.MTU && l.MTU != h.Resource.(resource.Link).MTU {
		op.Reason = "no larger than that of " + l.Below
	}
	c.add(op)
}

// anew makes an operation one that makes its object again.
func (op *Op) anew() {
	l, ok := op.To.(resource.Link)
	if !ok {
		return
	}
	op.To = l.Anew()
	op.Fields = slices.DeleteFunc(resource.Changes(op.From, op.To), func(ch resource.Change) bool { return ch.To == "" })
}

// replaceFar takes a link down that its new peer will make again.
func (c *comparison) replaceFar(op *Op) {
	del, create := *op, *op
	del.Verb, del.To, del.Fields = Delete, nil, nil
	del.Reason = "to be made again as the other end of " + op.To.(resource.Link).Peer
	create.Verb, create.From = Create, nil
	c.add(&del)
	c.add(&create)
}

// adopts reports that a declared resource is to become ours.
func adopts(r resource.Resource) bool {
	switch r := r.(type) {
	case resource.Link:
		return r.Policy.Adopt
	case resource.Address:
		return r.Adopt
	case resource.Route:
		return r.Adopt
	case resource.Rule:
		return r.Adopt
	case resource.Neighbour:
		return r.Adopt
	}
	return false
}

// downLink returns the link of a route that is, or is to be, down.
func (c *comparison) downLink(r resource.Resource) string {
	route, ok := r.(resource.Route)
	if !ok {
		return ""
	}
	for _, name := range route.Parents() {
		if c.stateOf(name) == resource.Down {
			return name
		}
	}
	return ""
}

func (c *comparison) stateOf(link string) resource.Admin { return c.linkOf(link).State }

// linkOf is a link as it is to be.
func (c *comparison) linkOf(name string) resource.Link {
	key := resource.LinkKey(name)
	o, ok := c.want.Get(key)
	if !ok || c.isHeld(key) {
		o, _ = c.have.Objects.Get(key)
	}
	l, _ := o.Resource.(resource.Link)
	return l
}

// compareHad plans the removal of what is not wanted.
func (c *comparison) compareHad() {
	exact, aside := c.exact(), asideOf(c.want, c.have.Objects)
	c.have.Objects.Each(func(k resource.Key, h resource.Object) bool {
		if h.Owner != resource.Ours && !exact.names(h) || c.want.Has(k) {
			return true
		}
		if _, blind := c.have.IsBlind(h.Resource); blind {
			return true
		}
		switch {
		case c.isHeld(k):
			c.note(c.held[k].code, h, c.held[k].text)
		case aside.keeps(h.Resource) != "":
			c.note(Held, h, aside.keeps(h.Resource))
		case c.isProtected(h.Resource):
			c.note(Protected, h, "not taken away")
		default:
			reason := "no longer declared"
			if h.Owner != resource.Ours {
				reason = "not declared, and the list is exact"
			}
			c.add(&Op{Verb: Delete, Key: k, From: h.Resource, Owner: h.Owner, Reason: reason})
		}
		return true
	})
	slices.SortFunc(c.ops, func(a, b *Op) int { return a.Key.Compare(b.Key) })
	slices.SortStableFunc(c.notes, func(a, b Note) int { return a.Key.Compare(b.Key) })
}

// exactLists are the lists from which undeclared objects are removed.
type exactLists map[exactList]bool

type exactList struct {
	link string
	kind resource.Kind
}

func (c *comparison) exact() exactLists {
	out := exactLists{}
	c.want.Each(func(_ resource.Key, o resource.Object) bool {
		if l, ok := o.Resource.(resource.Link); ok {
			for _, kind := range l.Policy.Exact {
				out[exactList{l.Name, kind}] = true
			}
		}
		return true
	})
	return out
}

func (e exactLists) names(o resource.Object) bool {
	if len(e) == 0 || o.Owner == resource.Kernel {
		return false
	}
	kind := o.Key().Kind
	return slices.ContainsFunc(resource.Parents(o.Resource), func(link string) bool { return e[exactList{link, kind}] })
}

func changeText(changes []resource.Change) string {
	text := ""
	for i, ch := range changes {
		if i > 0 {
			text += ", "
		}
		text += fmt.Sprintf("%s %s -> %s", ch.Name, orNone(ch.From), orNone(ch.To))
	}
	return text
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}
