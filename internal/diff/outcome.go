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
			out.Put(resource.Object{Resource: op.To, Owner: owner, Origin: op.Origin})
		}
	}
	return out
}
