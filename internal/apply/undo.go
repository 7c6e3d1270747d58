package apply

import (
	"fmt"
	"slices"

	"reconciler/internal/diff"
	"reconciler/internal/observed"
	"reconciler/internal/resource"
)

// Undo is the former state of everything that a plan touches, side effects
// included, with the kernel's own values. It is written down before the first
// change; carrying it out twice, or after half of the plan, leads to the same
// state.
type Undo struct {
	Objects []Former `json:"objects"`
}

// Former is what an object was. A nil Object was not there.
type Former struct {
	Key    resource.Key     `json:"key"`
	Object *resource.Object `json:"object"`
}

// NewUndo records what a plan touches. have must be the state that the plan
// was computed from, observed around its keys.
func NewUndo(plan diff.Plan, have observed.State) Undo {
	u := &recorder{have: have, seen: map[resource.Key]bool{}}
	for _, op := range plan.Ops {
		u.record(op.Key)
		for _, k := range slices.Concat(op.Takes, op.Loses) {
			u.record(k)
		}
		u.recordHeirs(op)
	}
	return u.undo
}

type recorder struct {
	have observed.State
	seen map[resource.Key]bool
	undo Undo
}

func (u *recorder) record(k resource.Key) {
	if u.seen[k] {
		return
	}
	u.seen[k] = true
	f := Former{Key: k}
	if o, ok := u.have.Objects.Get(k); ok {
		if r, ok := o.Resource.(resource.Recordable); ok {
			o.Resource = r.Record()
		}
		f.Object = &o
	}
	u.undo.Objects = append(u.undo.Objects, f)
}

// recordHeirs records the links above to which the kernel passes a change on: it
// makes an MTU smaller there, and what the MAC address was nobody else says.
func (u *recorder) recordHeirs(op diff.Op) {
	from, ok := op.From.(resource.Link)
	to, changed := op.To.(resource.Link)
	if !ok || !changed || op.Verb != diff.Update {
		return
	}
	for _, h := range from.Heirs(to, u.have.Objects) {
		if h.From.MTU != h.To.MTU || h.From.MAC != h.To.MAC {
			u.record(h.From.Key())
		}
	}
}

// Query asks for what the record is about: what was there, by what it was, and
// all that stands around it.
func (u Undo) Query() observed.Query {
	q := observed.Query{Want: resource.NewSet(len(u.Objects))}
	for _, f := range u.Objects {
		q.Around = append(q.Around, f.Key)
		if f.Object != nil {
			q.Want.Put(*f.Object)
		}
	}
	return q
}

// Want is the present state with the former one put back over it: comparing it
// with the present state gives the plan that undoes, and touches nothing else.
func (u Undo) Want(have observed.State) *resource.Set {
	want := have.Objects.Clone()
	for _, f := range u.Objects {
		switch {
		case f.Object == nil:
			want.Remove(f.Key)
		case f.Object.Owner != resource.Kernel:
			want.Put(restorable(*f.Object, have))
		}
	}
	return want
}

// restorable clears what cannot be wanted of an object that has to be made
// again: an end of a veth pair is made by the other.
func restorable(o resource.Object, have observed.State) resource.Object {
	l, ok := o.Resource.(resource.Link)
	if !ok || l.Type != resource.Veth || l.Peer == "" || l.Peer > l.Name {
		return o
	}
	l.Far = true
	o.Resource = l
	return o
}

// Plan is the plan that undoes.
func (u Undo) Plan(have observed.State) (diff.Plan, error) {
	plan, err := diff.Compute(u.Want(have), have)
	if err != nil {
		return diff.Plan{}, fmt.Errorf("plan the former state: %w", err)
	}
	return plan, nil
}
