package intent

import (
	"slices"
	"time"

	"reconciler/internal/resource"
)

// OverrideState is what a person wants of something, whatever YAML and probes
// say.
type OverrideState string

// The states.
const (
	Paused   OverrideState = "paused"   // of a backend: no new flows; those it has stay
	Disabled OverrideState = "disabled" // the same, and they go with its flush
	Enabled  OverrideState = "enabled"  // as if YAML neither disabled nor drained it
)

// Override is a word of a person about a backend, a VIP or a program of a chain,
// for a while. Exactly one of Backend, VIP and Program is set.
type Override struct {
	Backend string // its name in YAML
	Pool    string // of Weight; empty: each
	VIP     string // its name in YAML; may only be Disabled: nobody serves it
	Chain   string // the name of its key
	Program string // of Chain; may only be Disabled: it is left out
	State   OverrideState
	Weight  *uint8
	Flush   bool
	Reason  string
	Until   time.Time // of the day, for people; who has it drops it then
}

func (o Override) said() string {
	text := "by hand until " + o.Until.Format(time.TimeOnly)
	if o.Reason != "" {
		text += ": " + o.Reason
	}
	return text
}

// override adds up what was said of a backend, the latest last.
func (b *balancing) override(backend, pool string) Override {
	var sum Override
	for _, o := range b.Overrides {
		if backend == "" || o.Backend != backend || o.Pool != "" && o.Pool != pool {
			continue
		}
		if o.State != "" {
			sum.State, sum.Flush = o.State, o.Flush
		}
		if o.Weight != nil {
			sum.Weight = o.Weight
		}
		sum.Reason, sum.Until = o.Reason, o.Until
	}
	return sum
}

// disabled is the word of a person that a VIP is not to serve.
func (b *balancing) disabled(vip string) (Override, bool) {
	i := slices.IndexFunc(b.Overrides, func(o Override) bool { return o.VIP == vip && vip != "" && o.State == Disabled })
	if i < 0 {
		return Override{}, false
	}
	return b.Overrides[i], true
}

// LeaveOut returns want without the programs of chains that a person disabled. A
// chain that has no other is not wanted; its programs stay loaded. It is want
// itself where nobody did.
func LeaveOut(want *resource.Set, overrides []Override) (*resource.Set, map[resource.Key]string) {
	out := want
	reasons := make(map[resource.Key]string)
	for _, over := range overrides {
		k := resource.Key{Driver: resource.ChainDriver, Kind: resource.KindChain, Name: over.Chain}
		o, ok := out.Get(k)
		if over.Program == "" || over.State != Disabled || !ok {
			continue
		}
		c := o.Resource.(resource.Chain)
		c.Slots = slices.DeleteFunc(slices.Clone(c.Slots), func(s resource.Slot) bool { return s.Program == over.Program })
		if out == want {
			out = want.Clone()
		}
		reasons[k] = over.Program + ": " + over.said()
		if o.Resource = c; len(c.Slots) == 0 {
			out.Remove(k)
			continue
		}
		out.Put(o)
	}
	return out, reasons
}
