package intent

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"reconciler/internal/resource"
)

// Health is what probes say of a backend.
type Health struct {
	State resource.HealthState
	Since Instant
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

// cause tells what YAML or a person says from what happened.
type cause uint8

const (
	asked cause = iota // by YAML or a person: guards judge it
	event              // of health: it is as it is
)

// weighed is a member with what it weighs.
type weighed struct {
	Seat
	cause cause
	flush bool
	known bool // its backend has a state
	fresh bool // it was not known before
	said  bool // Why, or its state, is no word of YAML
}

// vip decides on the shares of one VIP.
func (b *balancing) vip(o resource.Object) {
	k, v := o.Key(), o.Resource.(resource.VIP)
	held, _ := b.have.Get(k)
	was, there := held.Resource.(resource.VIP)
	var all []weighed
	serving := -1
	person, off := b.disabled(v.Name)
	for i, pool := range v.Pools {
		live := false
		for _, m := range pool.Members {
			w := b.weigh(v, pool, m)
			if off {
				w.Effective, w.cause, w.Why, w.said = 0, event, person.said(), true
			}
			live = live || w.Effective > 0
			all = append(all, w)
		}
		if live && serving < 0 {
			serving = i
		}
	}
	v.Shares, v.Flush = nil, nil
	known := false
	// The first decision of a process goes on with what the last one began: its
	// backends that are up and not in the ring were on their way.
	goesOn, serves := b.Ramps == nil && b.Health != nil, weightsOf(was.Shares)
	causes := make(map[string]cause, len(all))
	for i := range all {
		w := &all[i]
		known = known || w.known
		if w.flush {
			v.Flush = append(v.Flush, w.Backend)
		}
		if w.Effective > 0 && w.Pool != v.Pools[serving].Name {
			w.Effective, w.Why, w.cause, w.said = 0, "its pool stands by", event, true
		}
		if b.has(v.Shares, w.Backend) {
			continue // in two pools, and served by the first one
		}
		if goesOn && w.Effective > 0 && serves[w.Backend] == 0 {
			w.cause = event
		}
		causes[w.Backend] = w.cause
		if w.Effective == 0 {
			b.stops(k, w.Backend)
			continue
		}
		slow := member(v, w.Pool, w.Backend).SlowStart
		if weight, ramping := b.ramp(k, was, there, *w, slow); ramping {
			w.Why, causes[w.Backend] = fmt.Sprintf("slow start, %d of %d", weight, w.Effective), event
			w.Effective, w.said = weight, true
		}
		v.Shares = append(v.Shares, resource.Share{Backend: w.Backend, Weight: w.Effective})
	}
	slices.SortFunc(v.Shares, func(x, y resource.Share) int { return strings.Compare(x.Backend, y.Backend) })
	slices.Sort(v.Flush)
	if there && !known && !off && len(v.Shares) == 0 {
		v.Shares = was.Shares // nobody that is new was asked yet: those that served go on
		b.keepServing(v)
	}
	b.out.States[k] = vipState(v, known)
	b.out.Seats[k] = seats(all)
	if there {
		b.guard(k, &v, was, causes)
		b.keepServing(v)
		if why := cmp.Or(reasons(was, v, all), b.stepped(k)); why != "" {
			b.out.Reasons[k] = why
		}
	}
	o.Resource = v
	b.out.Want.Put(o)
}

func (b *balancing) has(shares []resource.Share, backend string) bool {
	return slices.ContainsFunc(shares, func(s resource.Share) bool { return s.Backend == backend })
}

func member(v resource.VIP, pool, backend string) resource.Member {
	for _, p := range v.Pools {
		if p.Name != pool {
			continue
		}
		for _, m := range p.Members {
			if m.Backend == backend {
				return m
			}
		}
	}
	return resource.Member{}
}

func seats(all []weighed) []Seat {
	out := make([]Seat, len(all))
	for i, w := range all {
		out[i] = w.Seat
	}
	return out
}

func vipState(v resource.VIP, known bool) VIPState {
	switch {
	case len(v.Shares) > 0:
		return VIPUp
	case !known:
		return VIPUnknown
	}
	return VIPDown
}

// weigh is the weight of a member while its pool serves.
func (b *balancing) weigh(v resource.VIP, pool resource.Pool, m resource.Member) weighed {
	k := resource.BackendNamed(m.Backend)
	w := weighed{Seat: Seat{Backend: m.Backend, Pool: pool.Name, Configured: m.Weight}}
	o, ok := b.want.Get(k)
	one, isBackend := o.Resource.(resource.Backend)
	if !ok || !isBackend {
		w.State, w.Why = string(resource.HealthUnknown), "not declared"
		return w
	}
	h := b.health(k, one)
	w.State, w.known = string(h.State), h.State != resource.HealthUnknown
	person := b.override(one.Name, pool.Name)
	w.said = true // but for what follows from YAML alone
	if person.Weight != nil {
		w.Configured = *person.Weight
		w.Why = person.said()
	}
	switch {
	case person.State == Disabled:
		w.State, w.Why, w.flush = string(Disabled), person.said(), one.Flush || person.Flush
	case person.State == Paused:
		w.State, w.Why = string(Paused), person.said()
	case one.Disabled && person.State != Enabled:
		w.State, w.Why, w.flush, w.said = string(Disabled), "enabled: false", one.Flush, false
	case b.draining(one) != nil && person.State != Enabled:
		w.State, w.Why = "draining", orderSaid(*b.draining(one))
	case h.State == resource.HealthUp:
		w.Effective, w.cause = w.Configured, b.joins(k)
		w.said = w.Why != "" || b.heldAs(k) != resource.HealthUp
		w.fresh = b.heldAs(k) == resource.HealthUnknown
		return w
	case h.State == resource.HealthDown:
		w.Why, w.flush = said(h), v.FlushOnDown || datagrams(v)
	default:
		w.Why = said(h)
	}
	if h.State != resource.HealthUp {
		w.cause = event // whatever else is wanted of it: no guard keeps flows with it
	}
	return w
}

// datagrams reports a VIP of UDP alone. Its flows have no beginning that shows:
// for a while new ones would go to a backend that is down, if it kept any.
func datagrams(v resource.VIP) bool {
	return len(v.Ports) > 0 && !slices.ContainsFunc(v.Ports, func(p resource.ServicePort) bool { return p.Protocol != "udp" })
}

// joins tells a backend that comes up again from one that serves because YAML
// says so: the dataplane still holds the former as down.
func (b *balancing) joins(k resource.Key) cause {
	if b.heldAs(k) == resource.HealthDown {
		return event
	}
	return asked
}

// heldAs is the state of a backend that the dataplane was told last.
func (b *balancing) heldAs(k resource.Key) resource.HealthState {
	if was, ok := b.have.Get(k); ok {
		return was.Resource.(resource.Backend).State
	}
	return resource.HealthUnknown
}

// draining is the order by which a backend drains now.
func (b *balancing) draining(one resource.Backend) *resource.DrainOrder {
	for _, o := range b.Orders {
		if o.Selects(one) {
			return &o.DrainOrder
		}
	}
	for i, d := range one.Drains {
		if d.Until.IsZero() {
			return &one.Drains[i]
		}
		left := d.Until.Sub(b.Now.Wall)
		if left > 0 {
			b.out.Next = Earliest(b.out.Next, b.Now.At.Add(min(left, maxWait)))
			return &one.Drains[i]
		}
	}
	return nil
}

// maxWait bounds a wait for a time of day, which somebody may set.
const maxWait = time.Minute

func orderSaid(d resource.DrainOrder) string {
	if d.Reason == "" {
		return "drain " + d.Name
	}
	return "drain " + d.Name + ": " + d.Reason
}

// reasons says why shares change that YAML did not change.
func reasons(was, v resource.VIP, all []weighed) string {
	old, next := weightsOf(was.Shares), weightsOf(v.Shares)
	var why []string
	for _, w := range all {
		if old[w.Backend] == next[w.Backend] || !w.said {
			continue
		}
		text := string(w.State)
		if w.Why != "" {
			text = w.Why
		}
		name, _, _ := strings.Cut(w.Backend, "/")
		if text = name + ": " + text; !slices.Contains(why, text) {
			why = append(why, text)
		}
	}
	const shown = 3
	if more := len(why) - shown; more > 0 {
		why = append(why[:shown], fmt.Sprintf("and %d more", more))
	}
	return strings.Join(why, "; ")
}

func weightsOf(shares []resource.Share) map[string]uint8 {
	out := make(map[string]uint8, len(shares))
	for _, s := range shares {
		out[s.Backend] = s.Weight
	}
	return out
}
