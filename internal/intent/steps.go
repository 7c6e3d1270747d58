package intent

import (
	"net/netip"
	"slices"
	"sort"

	"reconciler/internal/maglev"
	"reconciler/internal/resource"
)

// walk goes from one list of shares towards another one, with no more than a
// share of the slots moved.
type walk struct {
	from    []resource.Share
	limit   uint16 // of slots, in permille
	before  []uint16
	ids     map[string]uint16 // of backends, as they come
	address func(backend string) netip.Addr
	builder maglev.Builder
}

// walkFrom builds rings of the size that the balancer has.
func (b *balancing) walkFrom(from []resource.Share, limit uint16) *walk {
	size := maglev.MaxSize
	if o, ok := b.want.Get(resource.BalancerKey()); ok {
		size = int(o.Resource.(resource.Balancer).RingSize)
	}
	w := &walk{from: from, limit: limit, before: make([]uint16, size), ids: make(map[string]uint16), address: b.address}
	w.build(w.before, from)
	return w
}

// address is that of a backend which is wanted, or still there.
func (b *balancing) address(backend string) netip.Addr {
	for _, s := range []*resource.Set{b.want, b.have} {
		if o, ok := s.Get(resource.BackendNamed(backend)); ok {
			return o.Resource.(resource.Backend).Address
		}
	}
	return netip.Addr{}
}

// churn is what a change to these shares moves. A ring that cannot be built is
// empty: the driver says why.
func (w *walk) churn(to []resource.Share) maglev.Churn {
	after := make([]uint16, len(w.before))
	w.build(after, to)
	return maglev.Compare(w.before, after)
}

func (w *walk) build(ring []uint16, shares []resource.Share) {
	members := make([]maglev.Member, len(shares))
	for i, s := range shares {
		if _, known := w.ids[s.Backend]; !known {
			w.ids[s.Backend] = uint16(len(w.ids))
		}
		members[i] = maglev.Member{Address: w.address(s.Backend), Weight: uint16(s.Weight), ID: w.ids[s.Backend]}
	}
	if err := w.builder.Build(ring, members); err != nil {
		for i := range ring {
			ring[i] = maglev.None
		}
	}
}

func (w *walk) within(c maglev.Churn) bool { return 1000*c.Moved <= int(w.limit)*c.Slots }

// toward goes as far as the limit lets it: one backend after the other, the last
// of them in part. It goes on by one at the least, as a limit below that would
// hold for ever.
func (w *walk) toward(to []resource.Share) []resource.Share {
	was, next := weightsOf(w.from), weightsOf(to)
	backends := changed(was, next)
	upTo := func(n int) map[string]uint8 {
		at := weightsOf(w.from)
		for _, backend := range backends[:n] {
			at[backend] = next[backend]
		}
		return at
	}
	whole := max(0, sort.Search(len(backends)+1, func(n int) bool { return !w.within(w.churn(sharesOf(upTo(n)))) })-1)
	at := upTo(whole)
	if whole < len(backends) {
		backend := backends[whole]
		at[backend] = w.part(at, backend, next[backend], whole == 0)
	}
	return sharesOf(at)
}

// part is how far one backend may go from the weight that it has.
func (w *walk) part(at map[string]uint8, backend string, next uint8, must bool) uint8 {
	was, to := int(at[backend]), int(next)
	apart := max(was, to) - min(was, to) // steps of weight
	weight := func(steps int) uint8 {
		if to < was {
			return uint8(was - steps)
		}
		return uint8(was + steps)
	}
	steps := sort.Search(apart, func(n int) bool {
		at[backend] = weight(n + 1)
		return !w.within(w.churn(sharesOf(at)))
	})
	if must {
		steps = max(steps, 1)
	}
	return weight(steps)
}

// changed lists the backends that differ, by name.
func changed(a, b map[string]uint8) []string {
	var out []string
	for k, w := range a {
		if b[k] != w {
			out = append(out, k)
		}
	}
	for k := range b {
		if _, had := a[k]; !had {
			out = append(out, k)
		}
	}
	slices.Sort(out)
	return out
}
