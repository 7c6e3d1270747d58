package intent

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"reconciler/internal/resource"
)

// cause tells what YAML or a person says from what happened.
type cause uint8

const (
	asked cause = iota // by YAML or a person: guards judge it
	event              // of health: it is as it is
)

// weighed is a member with what it weighs.
type weighed struct {
	Seat
	slow  time.Duration // its slow start
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
	all := b.weighAll(v)
	b.goOn(all, was)
	v.Shares = b.shares(k, all, was)
	v.Flush = flushed(all)
	known := slices.ContainsFunc(all, func(w weighed) bool { return w.known })
	if _, off := b.disabled(v.Name); !known && !off && len(v.Shares) == 0 {
		v.Shares = was.Shares // nobody that is new was asked yet: those that served go on
	}
	b.out.States[k], b.out.Seats[k] = vipState(v, known), seats(all)
	if there {
		b.guard(k, &v, was, causesOf(all))
		b.keepServing(v)
		if why := cmp.Or(reasons(was, v, all), b.stepped(k)); why != "" {
			b.out.Reasons[k] = why
		}
	}
	o.Resource = v
	b.out.Want.Put(o)
}

// weighAll weighs the members of all pools, in their order. Those of the first
// pool with a live one serve, the others stand by. A backend in two pools that
// serves by the one is left out of the other.
func (b *balancing) weighAll(v resource.VIP) (all []weighed) {
	person, off := b.disabled(v.Name)
	serving := ""
	for _, pool := range v.Pools {
		begun := len(all)
		for _, m := range pool.Members {
			w := b.weigh(v, pool, m)
			switch {
			case off:
				w.Effective, w.cause, w.Why, w.said = 0, event, person.said(), true
			case w.Effective > 0 && serving != "":
				w.Effective, w.Why, w.cause, w.said = 0, "its pool stands by", event, true
			}
			all = append(all, w)
		}
		if serving == "" && slices.ContainsFunc(all[begun:], weighed.serves) {
			serving = pool.Name
		}
	}
	return all
}

func (w weighed) serves() bool { return w.Effective > 0 }

// goOn has the first decision of a process go on with what the last one began:
// its backends that are up and not in the ring were on their way.
func (b *balancing) goOn(all []weighed, was resource.VIP) {
	if b.Ramps != nil || b.Health == nil {
		return
	}
	serve := weightsOf(was.Shares)
	for i := range all {
		if all[i].serves() && serve[all[i].Backend] == 0 {
			all[i].cause = event
		}
	}
}

// shares are those of the members that serve, each as far as its slow start lets
// it, in the order of their names.
func (b *balancing) shares(vip resource.Key, all []weighed, was resource.VIP) (out []resource.Share) {
	for i := range all {
		w := &all[i]
		if !w.serves() {
			continue
		}
		if weight, ramping := b.ramp(vip, was, *w); ramping {
			w.Why, w.cause, w.said = fmt.Sprintf("slow start, %d of %d", weight, w.Effective), event, true
			w.Effective = weight
		}
		out = append(out, resource.Share{Backend: w.Backend, Weight: w.Effective})
	}
	slices.SortFunc(out, func(x, y resource.Share) int { return strings.Compare(x.Backend, y.Backend) })
	return out
}

// flushed are the backends whose flows are cut, sorted.
func flushed(all []weighed) (out []string) {
	for _, w := range all {
		if w.flush {
			out = append(out, w.Backend)
		}
	}
	slices.Sort(out)
	return out
}

// causesOf tells of each backend why it weighs what it does: of one in two pools
// by the one that serves, or else by the last.
func causesOf(all []weighed) map[string]cause {
	out := make(map[string]cause, len(all))
	serves := make(map[string]bool)
	for _, w := range all {
		if serves[w.Backend] {
			continue
		}
		out[w.Backend], serves[w.Backend] = w.cause, w.serves()
	}
	return out
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
	w := weighed{Seat: Seat{Backend: m.Backend, Pool: pool.Name, Configured: m.Weight}, slow: m.SlowStart}
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
