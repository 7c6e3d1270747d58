package diff

import (
	"reconciler/internal/observed"
	"reconciler/internal/resource"
)

// Outcome is the state that a plan predicts: what was there, without what the
// plan removes and what the kernel takes along, with what it makes.
func (p Plan) Outcome(have observed.State) *resource.Set {
	out := have.Objects.Clone()
	for _, op := range p.Ops {
		for _, k := range op.Takes {
			out.Remove(k)
		}
		for _, k := range op.Loses {
			out.Remove(k)
		}
		if op.Verb == Delete {
			out.Remove(op.Key)
		}
	}
	for _, op := range p.Ops {
		if op.To != nil {
			owner := resource.Ours
			if was, ok := have.Objects.Get(op.Key); ok && was.Owner != resource.Ours && !adopts(op.To) {
				owner = was.Owner
			}
			out.Put(resource.Object{Resource: taking(op, out), Owner: owner, Origin: op.Origin})
			passOn(op, out)
		}
	}
	return out
}

// taking is what an operation makes, with what a new link takes over from its
// lower one.
func taking(op Op, out *resource.Set) resource.Resource {
	l, ok := op.To.(resource.Link)
	if !ok || op.Verb == Update || !l.LimitedBelow() {
		return op.To
	}
	o, _ := out.Get(resource.LinkKey(l.Below))
	below, _ := o.Resource.(resource.Link)
	if l.MTU == 0 {
		l.MTU = below.MTU
	}
	if l.MAC == (resource.MAC{}) && l.TakesMAC() {
		l.MAC = below.MAC
	}
	return l
}

// passOn changes the links above one that an operation has changed.
func passOn(op Op, out *resource.Set) {
	from, ok := op.From.(resource.Link)
	to, isLink := op.To.(resource.Link)
	if !ok || !isLink || op.Verb != Update {
		return
	}
	for _, h := range from.Heirs(to, out) {
		o, _ := out.Get(h.From.Key())
		o.Resource = h.To
		out.Put(o)
	}
}
