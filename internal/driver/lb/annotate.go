package lb

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"reconciler/internal/diff"
	"reconciler/internal/maglev"
	"reconciler/internal/observed"
	"reconciler/internal/resource"
)

// Annotate tells which share of a VIP's flows a change moves: what had to, as
// their backend has less, and what moves beside.
func (d *Driver) Annotate(have observed.State, plan *diff.Plan) {
	d.mu.Lock()
	defer d.mu.Unlock()
	a := annotator{d: d, size: ringSize(have, plan), churns: map[[2]recipe]maglev.Churn{}}
	for i := range plan.Ops {
		op := &plan.Ops[i]
		switch from := op.From.(type) {
		case resource.VIP:
			a.vip(op, from)
		case resource.Balancer:
			a.balancer(op, from)
		}
	}
}

// ringSize is that of the rings a plan makes.
func ringSize(have observed.State, plan *diff.Plan) uint32 {
	o, _ := have.Objects.Get(resource.BalancerKey())
	b, _ := o.Resource.(resource.Balancer)
	for _, op := range plan.Ops {
		if to, ok := op.To.(resource.Balancer); ok {
			b = to
		}
	}
	return b.RingSize
}

type annotator struct {
	d      *Driver
	size   uint32
	churns map[[2]recipe]maglev.Churn
}

func (a *annotator) vip(op *diff.Op, from resource.VIP) {
	to, ok := op.To.(resource.VIP)
	switch {
	case !ok:
		op.Disruption = "its flows are cut"
	case op.Verb == diff.Replace:
		op.Disruption = percent(landing(from.Shares, to.Shares), 1) + " of flows move"
	case !slices.Equal(from.Shares, to.Shares):
		churn, err := a.churn(from.Shares, to.Shares)
		if err != nil {
			return // Prepare says why
		}
		if text := churnText(churn, from, to); text != "" {
			op.Details = append(op.Details, text)
		}
	}
}

func (a *annotator) balancer(op *diff.Op, from resource.Balancer) {
	to, ok := op.To.(resource.Balancer)
	switch {
	case !ok || op.Verb != diff.Replace:
	case from.RingSize != to.RingSize && from.RingSize != 0:
		op.Disruption = "flows move to other slots of the ring, and nobody remembers them"
	default:
		op.Disruption = "the program is loaded anew: flows that it remembers until then are forgotten"
	}
}

// churn compares the rings of shares.
func (a *annotator) churn(from, to []resource.Share) (maglev.Churn, error) {
	key := [2]recipe{recipeOf(a.size, from), recipeOf(a.size, to)}
	if c, ok := a.churns[key]; ok {
		return c, nil
	}
	before, err := a.d.builder.build(key[0], from)
	if err != nil {
		return maglev.Churn{}, err
	}
	after, err := a.d.builder.build(key[1], to)
	if err != nil {
		return maglev.Churn{}, err
	}
	ids := map[string]uint16{}
	number := func(shares []resource.Share) (out []uint16) {
		for _, s := range shares {
			if _, ok := ids[s.Backend]; !ok {
				ids[s.Backend] = uint16(len(ids))
			}
			out = append(out, ids[s.Backend])
		}
		return out
	}
	c := maglev.Compare(rename(make([]uint16, len(before)), before, number(from)), a.d.builder.renamed(after, number(to)))
	a.churns[key] = c
	return c, nil
}

// churnText is what a change of shares does: 4.2 % of flows move (3.0 must,
// 1.2 more), drain 5m.
func churnText(c maglev.Churn, from, to resource.VIP) string {
	if c.Moved == 0 {
		return ""
	}
	slots := float64(c.Slots)
	text := percent(float64(c.Moved), slots) + " of flows move"
	if c.Must > 0 && c.Collateral() > 0 {
		text += fmt.Sprintf(" (%.1f must, %.1f more)", 100*float64(c.Must)/slots, 100*float64(c.Collateral())/slots)
	}
	cut := flushedBy(to)
	var left []string
	for _, s := range from.Shares {
		if !slices.ContainsFunc(to.Shares, func(t resource.Share) bool { return t.Backend == s.Backend }) && !slices.Contains(cut, s.Backend) {
			left = append(left, s.Backend)
		}
	}
	return text + ", drain " + short(window(to, left))
}

func percent(part, whole float64) string { return fmt.Sprintf("%.1f %%", 100*part/whole) }

// landing is the part of flows that come to another backend where nothing but
// shares decides.
func landing(from, to []resource.Share) float64 {
	total := func(shares []resource.Share) (n float64) {
		for _, s := range shares {
			n += float64(s.Weight)
		}
		return n
	}
	stay, all := 0.0, total(from)*total(to)
	if all == 0 {
		return 1
	}
	for _, f := range from {
		for _, t := range to {
			if f.Backend == t.Backend {
				stay += float64(f.Weight) * float64(t.Weight)
			}
		}
	}
	return 1 - stay/all
}

// short is a duration without what is zero at its end.
func short(d time.Duration) string {
	s := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(s, zero) {
			s = s[:len(s)-2]
		}
	}
	return s
}
