package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"reconciler/internal/diff"
	"reconciler/internal/driver"
	"reconciler/internal/driver/lb"
	"reconciler/internal/driver/netlink"
	"reconciler/internal/engine"
	"reconciler/internal/maglev"
	"reconciler/internal/observed"
	"reconciler/internal/resource"
	"reconciler/internal/state"
)

// liveMost is what a ring takes to be in force beyond its building.
const liveMost = 100 * time.Microsecond

// service is VIPs over groups of backends: those of a group have one ring.
type service struct{ vips, groups, backends int }

func (s service) name() string {
	return fmt.Sprintf("%s VIPs × %d backends, %d rings", count(s.vips), s.backends, s.groups)
}

// vips measures the load balancer from the desired state to the maps.
func (b *bench) vips(ctx context.Context) error {
	s := service{b.size(2000), 64, 20}
	if err := b.onBackends(ctx, s, b.syncVIPs); err != nil {
		return err
	}
	if err := b.onBackends(ctx, s, b.quietVIPs); err != nil {
		return err
	}
	if err := b.vipCalls(ctx, s); err != nil {
		return err
	}
	return b.onBackends(ctx, service{1, 1, b.size(1000)}, b.liveRing)
}

// onBackends runs f in a namespace where each backend is a neighbour that is
// known.
func (b *bench) onBackends(ctx context.Context, s service, f func(context.Context, service) error) error {
	return b.onPairs(1, func(h *host) error {
		var script strings.Builder
		script.WriteString("link set v0 up\nlink set w0 up\naddress add 10.0.0.1/12 dev v0\n")
		for i := range s.groups * s.backends {
			fmt.Fprintf(&script, "neighbour add %s lladdr 02:00:00:00:00:02 dev v0 nud permanent\n", backendAt(i))
		}
		if err := h.ip(ctx, script.String()); err != nil {
			return err
		}
		return f(ctx, s)
	})
}

func backendAt(i int) netip.Addr { return nth("10.1.0.0/32", i).Addr() }

// openVIPs is the reconciler's own line with the balancer.
func (b *bench) openVIPs() (*ours, *lb.Driver, error) {
	id, err := state.Namespace()
	if err != nil {
		return nil, nil, err
	}
	b.opened++
	cfg := lb.Config{Namespace: fmt.Sprintf("bench-%s-%d-%d", id.Name, os.Getpid(), b.opened), Cookie: id.Cookie}
	links, err := netlink.Open(netlink.Config{})
	if err != nil {
		return nil, nil, err
	}
	d := lb.Open(cfg)
	o := &ours{driver: links, pins: filepath.Join(bpffs, "reconciler", cfg.Namespace)}
	o.planner = engine.Planner{Drivers: []driver.Driver{d}, AllowPrune: true}
	return o, d, nil
}

// wanted is the desired state; the backends of group 0 weigh as told.
func (s service) wanted(weight uint8) *resource.Set {
	set := resource.NewSet(s.vips + s.groups*s.backends + 1)
	put := func(r resource.Resource) { set.Put(resource.Object{Resource: r, Origin: "bench.yaml:1"}) }
	put(resource.Balancer{Capacities: resource.DefaultCapacities(), UDPIdle: resource.DefaultUDPIdle})
	shares := make([][]resource.Share, s.groups)
	for i := range s.groups * s.backends {
		one := resource.Backend{Name: fmt.Sprintf("b%05d", i), Address: backendAt(i), Encap: resource.IPIP}
		put(one)
		share := resource.Share{Backend: one.Key().Name, Weight: 100}
		if i == 0 {
			share.Weight = weight
		}
		shares[i/s.backends] = append(shares[i/s.backends], share)
	}
	for i := range s.vips {
		put(resource.VIP{
			Name: fmt.Sprintf("v%05d", i), Family: resource.IPv4, Addresses: []netip.Addr{nth("10.8.0.0/32", i).Addr()},
			Ports: []resource.ServicePort{{Protocol: "tcp", Number: 443}}, NoBackend: resource.NoBackendDrop, Shares: shares[i%s.groups],
		})
	}
	return set
}

// syncVIPs makes all of it, from nothing.
func (b *bench) syncVIPs(ctx context.Context, s service) error {
	want := s.wanted(100)
	times, err := compare(b.rounds(load{}), subject{"sync", func() (took time.Duration, err error) {
		o, d, err := b.openVIPs()
		if err != nil {
			return 0, err
		}
		defer o.close()
		defer d.Close()
		took, err = onThread(func() error { return o.carryOut(ctx, want) })
		return took, firstOf(err, o.settled(ctx, want))
	}})
	if err != nil {
		return err
	}
	b.row(plainRow(s.name(), "full sync", times[0]))
	return nil
}

// quietVIPs measures cycles without a change, and with one backend changed.
func (b *bench) quietVIPs(ctx context.Context, s service) error {
	o, d, err := b.openVIPs()
	if err != nil {
		return err
	}
	defer o.close()
	defer d.Close()
	before := heap()
	both := []*resource.Set{s.wanted(100), s.wanted(50)}
	own := heap() - before
	if err := o.make(ctx, both[0]); err != nil {
		return err
	}
	turn := 0
	times, err := compare(3*b.rounds(load{}),
		subject{"no-op", func() (time.Duration, error) {
			return onThread(func() error { return o.settled(ctx, both[turn%2]) })
		}},
		subject{"look", func() (time.Duration, error) {
			return onThread(func() error { _, err := d.Observe(ctx, observed.Query{}); return err })
		}},
		subject{"change", func() (time.Duration, error) {
			turn++
			took, err := onThread(func() error { return o.carryOut(ctx, both[turn%2]) })
			return took, firstOf(err, o.over(ctx, both[turn%2]))
		}})
	if err != nil {
		return err
	}
	b.row(plainRow(s.name(), "no-op reconcile", times[0]))
	b.row(plainRow(s.name(), "a look that finds nothing new", times[1]))
	b.row(plainRow(s.name(), "one backend changed", times[2]))
	b.row(row{load: s.name(), measure: "memory of its own", value: fmt.Sprintf("%d MiB", (heap()-before-own)>>20)})
	return nil
}

// over ends the drains that a change began: nobody keeps them here.
func (o *ours) over(ctx context.Context, want *resource.Set) error {
	return o.make(ctx, want)
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func plainRow(load, measure string, times []time.Duration) row {
	return row{
		load: load, measure: measure, ours: short(median(times)),
		value: fmt.Sprintf("%s (%s–%s)", short(median(times)), short(quantile(times, 0.25)), short(quantile(times, 0.75))),
	}
}

// liveRing changes one of many backends of one VIP, in the driver alone: what it
// takes beside the building of the ring.
func (b *bench) liveRing(ctx context.Context, s service) error {
	o, d, err := b.openVIPs()
	if err != nil {
		return err
	}
	defer o.close()
	defer d.Close()
	both := []*resource.Set{s.wanted(100), s.wanted(50)}
	if err := o.make(ctx, both[0]); err != nil {
		return err
	}
	var builder maglev.Builder
	ring := make([]uint16, maglev.MaxSize)
	turn := 0
	times, err := compare(b.spins(),
		subject{"build", func() (time.Duration, error) {
			members := membersOf(both[(turn+1)%2])
			return onThread(func() error { return builder.Build(ring, members) })
		}},
		subject{"live", func() (time.Duration, error) {
			turn++
			took, err := b.oneVIP(ctx, d, both[turn%2])
			return took, firstOf(err, o.over(ctx, both[turn%2]))
		}})
	if err != nil {
		return err
	}
	more := make([]time.Duration, len(times[0]))
	for i := range more {
		more[i] = times[1][i] - times[0][i]
	}
	b.row(within("ring of "+count(s.backends)+" backends", "in force, beyond its building", more, liveMost))
	return nil
}

// oneVIP carries out the change of the one VIP.
func (b *bench) oneVIP(ctx context.Context, d *lb.Driver, want *resource.Set) (time.Duration, error) {
	key := resource.VIPKey("v00000", resource.IPv4)
	have, err := d.Observe(ctx, observed.Query{})
	if err != nil {
		return 0, err
	}
	from, _ := have.Objects.Get(key)
	to, _ := want.Get(key)
	op := diff.Op{Verb: diff.Update, Key: key, From: from.Resource, To: to.Resource}
	return onThread(func() error {
		return firstOf(d.Prepare(ctx, op), d.Apply(ctx, []diff.Op{op})[0])
	})
}

func membersOf(want *resource.Set) (members []maglev.Member) {
	o, _ := want.Get(resource.VIPKey("v00000", resource.IPv4))
	for i, s := range o.Resource.(resource.VIP).Shares {
		members = append(members, maglev.Member{Address: backendAt(i), Weight: uint16(s.Weight), ID: uint16(i)})
	}
	return members
}
