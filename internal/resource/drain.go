package resource

import (
	"slices"
	"strings"
	"time"
)

// KindDrain is the time after a change of a VIP's ring in which flows stay with
// the backends that they had.
const KindDrain Kind = "drain"

// Drain is such a time. It is never declared: a change of a ring begins one,
// and who decides lets it go on until its end.
type Drain struct {
	VIP string `json:"vip"` // the name of its Key
	// Until is when it ends, in ns of CLOCK_BOOTTIME, to a millisecond, so that
	// it reads the same each time. The dataplane does not look at it: the window
	// is closed, and what it kept is given back, when the drain is removed.
	Until time.Duration `json:"until"`
	// Backends are those that it still needs, by the names of their keys.
	Backends []string `json:"backends,omitempty"`
	// Flows is how many are known to be with a backend that left; -1 where
	// they were not counted.
	Flows int `json:"flows"`
}

// Key identifies the drain by its VIP.
func (d Drain) Key() Key { return Key{LBDriver, KindDrain, d.VIP} }

// Requires the VIP and what still serves.
func (d Drain) Requires() []Key {
	keys := []Key{VIPNamed(d.VIP)}
	for _, b := range d.Backends {
		keys = append(keys, BackendNamed(b))
	}
	return keys
}

// Equal compares nothing: one that is there is as it should be.
func (d Drain) Equal(o Resource) bool {
	e, ok := o.(Drain)
	return ok && d.VIP == e.VIP
}

// Fields lists who still serves.
func (d Drain) Fields() []Field {
	var f fields
	backends := slices.Clone(d.Backends)
	slices.Sort(backends)
	f.add("backends", strings.Join(backends, " "))
	return f
}
