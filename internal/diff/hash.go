package diff

import (
	"crypto/sha256"
	"encoding/hex"
	"io"

	"reconciler/internal/observed"
	"reconciler/internal/resource"
)

// Hash tells states apart that lead to different plans: it covers what is ours
// and what is wanted, not the rest of the host.
func Hash(have observed.State, want *resource.Set) string {
	h := sha256.New()
	for _, o := range have.Objects.All() {
		if o.Owner != resource.Ours && !want.Has(o.Key()) {
			continue
		}
		io.WriteString(h, o.Key().String())
		for _, f := range o.Fields() {
			io.WriteString(h, "\x00"+f.Name+"\x00"+f.Value)
		}
		h.Write([]byte{'\n', byte(o.Owner)})
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}
