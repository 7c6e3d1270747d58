package diff

import (
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"slices"

	"reconciler/internal/observed"
	"reconciler/internal/resource"
)

// Hash tells states apart that lead to different plans: it covers what is ours
// and what is wanted, not the rest of the host.
func Hash(have observed.State, want *resource.Set) string {
	d := digest{Hash: sha256.New()}
	for _, w := range want.All() {
		if o, ok := have.Objects.Get(w.Key()); ok {
			d.add(o)
		}
	}
	var rest []resource.Object // so that only these need sorting
	have.Objects.Each(func(k resource.Key, o resource.Object) bool {
		if o.Owner == resource.Ours && !want.Has(k) {
			rest = append(rest, o)
		}
		return true
	})
	slices.SortFunc(rest, func(a, b resource.Object) int { return a.Key().Compare(b.Key()) })
	for _, o := range rest {
		d.add(o)
	}
	return hex.EncodeToString(d.Sum(nil)[:16])
}

// digest takes objects in, in the same memory.
type digest struct {
	hash.Hash
	line []byte
}

func (d *digest) add(o resource.Object) {
	k := o.Key()
	d.line = append(append(append(d.line[:0], k.Driver...), '/'), k.Kind...)
	d.line = append(append(d.line, '/'), k.Name...)
	for _, f := range o.Fields() {
		d.line = append(append(append(d.line, 0), f.Name...), 0)
		d.line = append(d.line, f.Value...)
	}
	d.line = append(d.line, '\n', byte(o.Owner))
	d.Write(d.line)
}
