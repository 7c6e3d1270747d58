package lb

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"reconciler/internal/driver/lb/plane"
	"reconciler/internal/observed"
	"reconciler/internal/resource"
)

// view is what the maps hold, with the names of things.
type view struct {
	*plane.Plane
	services []plane.Service
	vips     map[string]uint16 // services, by the names of their keys
	backends []plane.Backend   // as they are named, without their records
	names    []string          // of backends' keys, by index; empty for none
	indexes  map[string]uint16 // of backends, by those names
	byName   []uint16          // the same, in the order of names; stale where a backend came or went
	claims   []plane.Claim
	claimed  map[uint16][]plane.Claim // by service
	pool     *pool
	next     uint16 // the buffer of rings where the search for a free one goes on
}

// current is the view of the last look, as changes since have made it; or a new
// one.
func (d *Driver) current(p *plane.Plane) (v *view, err error) {
	if d.view == nil || d.view.Plane != p {
		d.view, err = viewOf(p)
	}
	return d.view, err
}

func viewOf(p *plane.Plane) (*view, error) {
	c := p.Capacity()
	v := &view{
		Plane: p, services: make([]plane.Service, c.Services), vips: map[string]uint16{},
		backends: make([]plane.Backend, c.Backends), names: make([]string, c.Backends), indexes: map[string]uint16{},
	}
	var err error
	if v.claims, err = p.Claims(); err != nil {
		return nil, fmt.Errorf("read the VIP table: %w", err)
	}
	v.setClaims(v.claims)
	for i := range v.services {
		if v.services[i], err = p.Service(uint16(i)); err != nil {
			return nil, err
		}
		if name := v.services[i].Name; name != "" {
			v.vips[name] = uint16(i)
		}
	}
	for i := range v.backends {
		b := p.Named(uint16(i))
		if b.Name == "" {
			continue
		}
		v.backends[i] = b
		v.names[i] = resource.BackendKey(b.Name, b.Address, encapOf(b.Encap)).Name
		v.indexes[v.names[i]] = uint16(i)
	}
	v.pool = newPool(v)
	return v, nil
}

// setClaims notes the entries of the VIP table.
func (v *view) setClaims(claims []plane.Claim) {
	v.claims, v.claimed = claims, make(map[uint16][]plane.Claim, len(v.vips))
	for _, c := range claims {
		v.claimed[c.Service] = append(v.claimed[c.Service], c)
	}
}

// has reports a buffer of rings that there is.
func (v *view) has(ring uint16) bool { return uint32(ring) < v.Capacity().Rings }

// ring is what a buffer holds: the kernel's memory, which is not to be written
// to.
func (v *view) ring(i uint16) ring {
	slots, weights := v.Ring(i)
	return ring{slots, weights}
}

// sums tell whether anything changed in the maps.
type sums struct {
	pins  string
	rest  uint64
	rings map[uint16]uint32 // of buffers in use
}

func (s sums) same(o sums) bool {
	return s.pins == o.pins && s.rest == o.rest && maps.Equal(s.rings, o.rings)
}

// sum reads all of the maps, and makes nothing of it.
func (d *Driver) sum(p *plane.Plane, damage []string) (sums, error) {
	s := sums{pins: fmt.Sprint(d.tables.pins, damage), rest: p.Sum(d.seed), rings: map[uint16]uint32{}}
	for i := range p.Capacity().Services {
		now, was := p.RingsOf(uint16(i))
		for _, r := range []uint16{now, was} {
			if _, known := s.rings[r]; !known && uint32(r) < p.Capacity().Rings {
				s.rings[r] = p.RingSum(r)
			}
		}
	}
	return s, nil
}

// look reads everything. What is as it was at the last look is handed out
// again.
func (d *Driver) look(ctx context.Context, q observed.Query) (observed.State, error) {
	p, damage, err := d.open()
	var abi *plane.ABIError
	if errors.As(err, &abi) {
		return d.foreignTables(abi), nil
	}
	if err != nil {
		return observed.State{}, fmt.Errorf("open the tables: %w", err)
	}
	if p == nil {
		d.seen = nil
		return observed.State{Objects: resource.NewSet(0)}, nil
	}
	now, err := d.sum(p, damage)
	if err != nil {
		return observed.State{}, err
	}
	hops, err := d.hops(ctx, waysIn(p))
	if err != nil {
		return observed.State{}, fmt.Errorf("look up next hops: %w", err)
	}
	plain := !q.All && len(q.Around) == 0
	if plain && d.last.hops != nil && now.same(d.last.sums) && maps.Equal(hops, d.last.hops) {
		return d.last.state, nil
	}
	state, err := d.read(ctx, p, damage, hops, q.All)
	if err == nil && plain {
		d.last.sums, d.last.hops, d.last.state = now, hops, state
	}
	return state, err
}

// foreignTables are those of another version: no more is known of them.
func (d *Driver) foreignTables(abi *plane.ABIError) observed.State {
	set := resource.NewSet(1)
	set.Put(resource.Object{Resource: resource.Balancer{Damage: []string{abi.Error()}}, Owner: resource.Ours})
	return observed.State{Objects: set}
}

// waysIn are the ways of all backends, each once.
func waysIn(p *plane.Plane) []way {
	ways := map[way]bool{}
	for i := range p.Capacity().Backends {
		if b := p.Named(uint16(i)); b.Name != "" {
			ways[way{b.Address, b.Table, encapOf(b.Encap)}] = true
		}
	}
	return slices.SortedFunc(maps.Keys(ways), func(a, b way) int { return a.to.Compare(b.to) })
}

// read makes objects of what the maps hold.
func (d *Driver) read(ctx context.Context, p *plane.Plane, damage []string, hops map[way]hop, all bool) (observed.State, error) {
	v, err := viewOf(p)
	if err != nil {
		return observed.State{}, err
	}
	if d.view != nil && d.view.Plane == p {
		v.next = d.view.next
	}
	d.view = v
	l := &reading{d: d, view: v, hops: hops, lost: map[uint16][]plane.Claim{}, rings: map[inUse]verdict{}, judged: map[judgement]verdict{}, set: resource.NewSet(len(v.vips) + len(v.indexes) + 1)}
	if all {
		if err := l.count(ctx); err != nil {
			return observed.State{}, err
		}
	}
	l.readBackends()
	l.readVIPs()
	l.put(l.balancer(damage))
	d.judged = l.judged
	return observed.State{Objects: l.set}, nil
}

// reading is one look at the maps.
type reading struct {
	*view
	d      *Driver
	hops   map[way]hop
	set    *resource.Set
	lost   map[uint16][]plane.Claim // that the program does not find
	ghosts int                      // claims of no service
	rings  map[inUse]verdict
	judged map[judgement]verdict

	// Nil where nobody asks.
	vipCounters     []plane.ServiceCounters
	backendCounters []plane.BackendCounters
	flows           map[flowsOf]int
}

func (l *reading) put(r resource.Resource) {
	l.set.Put(resource.Object{Resource: r, Owner: resource.Ours})
}

// count reads the counters, and the table of flows.
func (l *reading) count(ctx context.Context) (err error) {
	if l.vipCounters, err = l.AllServiceCounters(); err != nil {
		return fmt.Errorf("read counters: %w", err)
	}
	if l.backendCounters, err = l.AllBackendCounters(); err != nil {
		return fmt.Errorf("read counters: %w", err)
	}
	l.flows = map[flowsOf]int{}
	err = l.Flows(ctx, func(f plane.Flow) bool {
		l.flows[flowsOf{f.Service, f.Backend}]++
		return true
	})
	if err != nil {
		return fmt.Errorf("count flows: %w", err)
	}
	return nil
}

// flowsOf are those of the table that a service has with a backend.
type flowsOf struct{ service, backend uint16 }
