package intent

import "reconciler/internal/resource"

// KeepSpares returns want with what is ours, not wanted and without any effect:
// while an apply waits for its verdict, going back must lose nothing. It is want
// itself where there is nothing to keep.
func KeepSpares(want, have *resource.Set) *resource.Set {
	out := want
	have.Each(func(k resource.Key, o resource.Object) bool {
		if _, spare := o.Resource.(resource.Spare); spare && o.Owner == resource.Ours && !want.Has(k) {
			if out == want {
				out = want.Clone()
			}
			out.Put(o)
		}
		return true
	})
	return out
}
