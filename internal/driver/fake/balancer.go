package fake

import (
	"context"
	"slices"
	"time"

	"reconciler/internal/diff"
	"reconciler/internal/driver"
	"reconciler/internal/observed"
	"reconciler/internal/resource"
)

// Balancer is a load balancer in memory: a driver by the name of lb. A change of
// the ring of a VIP begins a drain, which ends by itself.
type Balancer struct {
	// Now is CLOCK_BOOTTIME.
	Now func() time.Duration

	objects map[resource.Key]resource.Resource
	Done    []diff.Op // what changed something
}

var _ driver.Driver = (*Balancer)(nil)

// NewBalancer returns one without VIPs.
func NewBalancer(now func() time.Duration) *Balancer {
	return &Balancer{Now: now, objects: map[resource.Key]resource.Resource{}}
}

// Name is lb: the fake stands in for that driver.
func (b *Balancer) Name() string { return resource.LBDriver }

// Check finds no fault.
func (b *Balancer) Check(resource.Resource) []driver.Fault { return nil }

// Observe returns everything, whatever the query.
func (b *Balancer) Observe(context.Context, observed.Query) (observed.State, error) {
	set := resource.NewSet(len(b.objects))
	for _, r := range b.objects {
		set.Put(resource.Object{Resource: r, Owner: resource.Ours})
	}
	return observed.State{Objects: set}, nil
}

// Apply does the operations in their order.
func (b *Balancer) Apply(_ context.Context, ops []diff.Op) []error {
	for _, op := range ops {
		b.Done = append(b.Done, op)
		if op.To == nil {
			b.remove(op.From)
			continue
		}
		if v, ok := op.To.(resource.VIP); ok {
			b.turn(v)
			continue
		}
		b.objects[op.Key] = op.To
	}
	return make([]error, len(ops))
}

// turn gives a VIP its new ring. Those that leave it keep their flows for a
// while, unless these are to be cut.
func (b *Balancer) turn(v resource.VIP) {
	was, _ := b.objects[v.Key()].(resource.VIP)
	var left []string
	for _, name := range append(names(was.Shares), was.Seen.Draining...) {
		if !slices.Contains(names(v.Shares), name) && !slices.Contains(v.Flush, name) && !slices.Contains(left, name) {
			left = append(left, name)
		}
	}
	v.Flush, v.Seen.Draining = nil, left
	b.objects[v.Key()] = v
	if len(was.Shares) == 0 || slices.Equal(was.Shares, v.Shares) {
		return
	}
	d := resource.Drain{VIP: v.Key().Name, Until: b.Now(), Backends: append(names(v.Shares), left...)}
	for _, p := range v.Pools {
		for _, m := range p.Members {
			d.Until = max(d.Until, b.Now()+m.Drain)
		}
	}
	b.objects[d.Key()] = d
}

// remove takes an object away; with a drain what was kept for it goes.
func (b *Balancer) remove(r resource.Resource) {
	delete(b.objects, r.Key())
	if d, ok := r.(resource.Drain); ok {
		k := resource.VIPNamed(d.VIP)
		if v, there := b.objects[k].(resource.VIP); there {
			v.Seen.Draining = nil
			b.objects[k] = v
		}
	}
}

// Set puts an object in behind the engine's back.
func (b *Balancer) Set(r resource.Resource) { b.objects[r.Key()] = r }

func names(shares []resource.Share) []string {
	out := make([]string, len(shares))
	for i, s := range shares {
		out[i] = s.Backend
	}
	return out
}
