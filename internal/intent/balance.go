package intent

import (
	"cmp"
	"fmt"

	"reconciler/internal/resource"
)

// Health is what probes say of a backend.
type Health struct {
	State resource.HealthState
	Why   string // what the last probe heard
}

// Facts are what the weights of backends are decided by.
type Facts struct {
	Now Moment
	// Health is by record. Nil: nobody asks, so what the dataplane holds counts.
	Health    map[resource.Key]Health
	Overrides []Override
	Orders    []Order // of people; those of YAML are with the backends
	// Released says that a person lets guards of VIPs go.
	Released bool
	// Ramps are those of the last decision; nil for the first one.
	Ramps Ramps
	// Steps are when VIPs that go to a new ring in steps may do the next one.
	Steps map[resource.Key]Instant
}

// VIPState says whether a VIP serves.
type VIPState string

// The states of a VIP.
const (
	VIPUp      VIPState = "up"      // a backend serves
	VIPUnknown VIPState = "unknown" // no backend has a state yet
	VIPDown    VIPState = "down"
)

// Seat is a backend in a pool of a VIP, as it was decided.
type Seat struct {
	Backend    string `json:"backend"` // the name of its key
	Pool       string `json:"pool"`
	Configured uint8  `json:"configured"`
	Effective  uint8  `json:"effective"`     // 0: it gets no new flows
	State      string `json:"state"`         // unknown, up, down, paused, disabled, draining
	Why        string `json:"why,omitempty"` // empty where it serves with what is configured
}

// Balanced is a decision.
type Balanced struct {
	Want *resource.Set // with states of backends and shares of VIPs
	// Reasons say why something is to change that YAML did not ask for.
	Reasons map[resource.Key]string
	States  map[resource.Key]VIPState
	Seats   map[resource.Key][]Seat
	Gated   map[resource.Key]string // VIPs that a guard keeps from what YAML wants, and why
	Ramps   Ramps
	Steps   map[resource.Key]Instant
	Next    Instant // when the decision may be another one by itself
}

// Balance decides on the shares of each VIP in want, and on the states of
// backends, as the dataplane holds them in have.
//
// The first pool with a live backend serves. A backend weighs what its pool
// says if it is up; 0 if it is down, disabled, paused, drains or was never
// heard of. One that was not yet asked is what the dataplane says it was.
func Balance(want, have *resource.Set, f Facts) Balanced {
	b := balancing{Facts: f, have: have, want: want, out: Balanced{
		Want: want, Reasons: map[resource.Key]string{}, States: map[resource.Key]VIPState{}, Seats: map[resource.Key][]Seat{},
		Gated: map[resource.Key]string{}, Ramps: Ramps{}, Steps: map[resource.Key]Instant{}, Next: Never,
	}}
	var vips []resource.Object
	var backends []resource.Object
	want.Each(func(_ resource.Key, o resource.Object) bool {
		switch o.Resource.(type) {
		case resource.VIP:
			vips = append(vips, o)
		case resource.Backend:
			backends = append(backends, o)
		}
		return true
	})
	if len(vips)+len(backends) == 0 {
		return b.out
	}
	b.out.Want = want.Clone()
	for _, o := range backends {
		b.backend(o)
	}
	for _, o := range vips {
		b.vip(o)
	}
	return b.out
}

type balancing struct {
	Facts
	want, have *resource.Set
	out        Balanced
}

// backend notes the state of a backend with its record.
func (b *balancing) backend(o resource.Object) {
	k, one := o.Key(), o.Resource.(resource.Backend)
	h := b.health(k, one)
	one.State = h.State
	o.Resource = one
	b.out.Want.Put(o)
	if was, ok := b.have.Get(k); ok && was.Resource.(resource.Backend).State != h.State && one.Check.Type != "" {
		b.out.Reasons[k] = said(h)
	}
}

// health is what is known of a backend: what a probe says, or else what the
// dataplane was told last.
func (b *balancing) health(k resource.Key, one resource.Backend) Health {
	if one.Check.Type == "" {
		return Health{State: resource.HealthUp}
	}
	if h, ok := b.Health[k]; ok && h.State != resource.HealthUnknown {
		return h
	}
	state := resource.HealthUnknown
	if was, ok := b.have.Get(k); ok {
		state = was.Resource.(resource.Backend).State
	}
	if b.Health == nil && state != resource.HealthDown {
		return Health{State: resource.HealthUp} // nobody will ever tell
	}
	return Health{State: cmp.Or(state, resource.HealthUnknown), Why: "not asked yet"}
}

func said(h Health) string {
	if h.Why == "" {
		return string(h.State)
	}
	return fmt.Sprintf("%s (%s)", h.State, h.Why)
}

// heldAs is the state of a backend that the dataplane was told last.
func (b *balancing) heldAs(k resource.Key) resource.HealthState {
	if was, ok := b.have.Get(k); ok {
		return was.Resource.(resource.Backend).State
	}
	return resource.HealthUnknown
}
