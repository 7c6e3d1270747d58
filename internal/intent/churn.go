package intent

import (
	"fmt"
	"slices"
	"strings"

	"reconciler/internal/resource"
)

// guard holds back what YAML or a person wants of a VIP where its guards say
// so. What happened to backends is not theirs to judge: it is done first.
func (b *balancing) guard(k resource.Key, v *resource.VIP, was resource.VIP, causes map[string]cause) {
	if b.Released || v.MaxChurn.Limit == 0 && v.MinHealthy == 0 || v.Sticky != was.Sticky {
		return
	}
	base := afterEvents(was.Shares, v.Shares, causes)
	if slices.Equal(base, v.Shares) {
		return
	}
	if why := tooFew(*v, base); why != "" {
		v.Shares, b.out.Gated[k] = base, why
		return
	}
	b.limit(k, v, base)
}

// keepServing wants the backends that a guard keeps in a ring, though YAML has
// them no longer.
func (b *balancing) keepServing(v resource.VIP) {
	for _, s := range v.Shares {
		k := resource.BackendNamed(s.Backend)
		if o, ok := b.have.Get(k); ok && !b.out.Want.Has(k) {
			b.out.Want.Put(kept(o))
		}
	}
}

// kept is an object that nobody declares, as it is but for its damage.
func kept(o resource.Object) resource.Object {
	if in, ok := o.Resource.(resource.Inheritor); ok {
		o.Resource = in.Inherit(o.Resource)
	}
	return resource.Object{Resource: o.Resource, Owner: o.Owner}
}

// afterEvents are the shares that a VIP had, with what happened to its backends
// and without what else is wanted.
func afterEvents(was, want []resource.Share, causes map[string]cause) []resource.Share {
	next := weightsOf(want)
	shares := weightsOf(was)
	for backend, c := range causes {
		if c == event {
			shares[backend] = next[backend]
		}
	}
	return sharesOf(shares)
}

func sharesOf(weights map[string]uint8) []resource.Share {
	var out []resource.Share
	for backend, w := range weights {
		if w > 0 {
			out = append(out, resource.Share{Backend: backend, Weight: w})
		}
	}
	slices.SortFunc(out, func(x, y resource.Share) int { return strings.Compare(x.Backend, y.Backend) })
	return out
}

// tooFew says how many backends would be left to serve, where that is less than
// min-healthy, and fewer than there are.
func tooFew(v resource.VIP, base []resource.Share) string {
	members := 0
	for _, p := range v.Pools {
		members = max(members, len(p.Members))
		if served(p, v.Shares) {
			members = len(p.Members)
			break
		}
	}
	left := len(v.Shares)
	if v.MinHealthy == 0 || left >= len(base) || 1000*left >= int(v.MinHealthy)*members {
		return ""
	}
	return fmt.Sprintf("%d of %d backends would be left, less than min-healthy %s", left, members, percent(int(v.MinHealthy), 1000))
}

func served(p resource.Pool, shares []resource.Share) bool {
	return slices.ContainsFunc(p.Members, func(m resource.Member) bool {
		return slices.ContainsFunc(shares, func(s resource.Share) bool { return s.Backend == m.Backend })
	})
}

// limit bounds what share of the flows moves at once.
func (b *balancing) limit(k resource.Key, v *resource.VIP, base []resource.Share) {
	if v.MaxChurn.Limit == 0 || len(base) == 0 {
		return
	}
	if due, stepping := b.Steps[k]; stepping && due > b.Now.At {
		v.Shares = base
		b.waits(k, due)
		return
	}
	w := b.walkFrom(base, v.MaxChurn.Limit)
	c := w.churn(v.Shares)
	if w.within(c) {
		return
	}
	if v.MaxChurn.Step == 0 {
		v.Shares = base
		b.out.Gated[k] = fmt.Sprintf("%s of its flows would move, more than max-churn %s",
			percent(c.Moved, c.Slots), percent(int(v.MaxChurn.Limit), 1000))
		return
	}
	v.Shares = w.toward(v.Shares)
	b.waits(k, b.Now.At.Add(v.MaxChurn.Step))
}

// stepped says why a VIP changes that goes somewhere in steps.
func (b *balancing) stepped(k resource.Key) string {
	if _, ok := b.Steps[k]; ok {
		return "a step of its change, as max-churn says"
	}
	return ""
}

// waits notes when a VIP may go on.
func (b *balancing) waits(k resource.Key, due Instant) {
	b.out.Gated[k] = "goes there in steps, as max-churn says"
	b.out.Steps[k], b.out.Next = due, Earliest(b.out.Next, due)
}

func percent(n, of int) string { return fmt.Sprintf("%.1f %%", 100*float64(n)/float64(of)) }
