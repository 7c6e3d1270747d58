package intent

import "time"

// OverrideState is what a person wants of a backend, whatever YAML and probes
// say.
type OverrideState string

// The states.
const (
	Paused   OverrideState = "paused"   // no new flows; those it has stay
	Disabled OverrideState = "disabled" // the same, and they go with its flush
	Enabled  OverrideState = "enabled"  // as if YAML neither disabled nor drained it
)

// Override is a word of a person about a backend, for a while.
type Override struct {
	Backend string // its name in YAML
	Pool    string // of Weight; empty: each
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
		if o.Backend != backend || o.Pool != "" && o.Pool != pool {
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
