package intent

import "reconciler/internal/resource"

// KeepDrains returns want with the drains that go on, and with the backends that
// still serve in them; and when the first one ends. A drain without
// its VIP is over.
func KeepDrains(want, have *resource.Set, now Instant) (*resource.Set, Instant) {
	out, next := want, Never
	have.Each(func(k resource.Key, o resource.Object) bool {
		d, ok := o.Resource.(resource.Drain)
		if !ok || Instant(d.Until) <= now || !want.Has(resource.VIPNamed(d.VIP)) {
			return true
		}
		if out == want {
			out = want.Clone()
		}
		next = Earliest(next, Instant(d.Until))
		out.Put(resource.Object{Resource: o.Resource, Owner: o.Owner})
		for _, k := range d.Requires() {
			if b, there := have.Get(k); there && !out.Has(k) {
				out.Put(kept(b))
			}
		}
		return true
	})
	return out, next
}
