package netlink

import (
	"context"
	"net/netip"
	"testing"

	"reconciler/internal/diff"
	"reconciler/internal/observed"
	"reconciler/internal/resource"
	"reconciler/internal/testns"
)

// bench is a driver in a namespace of its own.
type bench struct {
	*testns.NS
	*Driver
	t testing.TB
}

func newBench(t testing.TB) *bench {
	t.Helper()
	ns := testns.New(t)
	d, err := Open(Config{Netns: ns.Path(), State: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return &bench{ns, d, t}
}

// look observes with a query, which must leave nothing blind.
func (b *bench) look(q observed.Query) observed.State {
	b.t.Helper()
	s, err := b.Observe(context.Background(), q)
	if err != nil {
		b.t.Fatal(err)
	}
	if len(s.Blind) > 0 {
		b.t.Fatalf("blind: %v", s.Blind)
	}
	return s
}

// get observes all and returns one object.
func (b *bench) get(k resource.Key) resource.Object {
	b.t.Helper()
	o, ok := b.look(observed.Query{All: true}).Objects.Get(k)
	if !ok {
		b.t.Fatalf("%s is not there", k)
	}
	return o
}

func (b *bench) has(k resource.Key) bool {
	b.t.Helper()
	return b.look(observed.Query{All: true}).Objects.Has(k)
}

// do applies operations that must all succeed.
func (b *bench) do(ops ...diff.Op) {
	b.t.Helper()
	for i, err := range b.Apply(context.Background(), ops) {
		if err != nil {
			b.t.Fatalf("operation %d: %v", i, err)
		}
	}
}

func create(r resource.Resource) diff.Op { return diff.Op{Verb: diff.Create, Key: r.Key(), To: r} }

func remove(r resource.Resource) diff.Op {
	return diff.Op{Verb: diff.Delete, Key: r.Key(), From: r, Owner: resource.Ours}
}

func update(from, to resource.Resource) diff.Op {
	return diff.Op{Verb: diff.Update, Key: to.Key(), From: from, To: to, Owner: resource.Ours}
}

func replace(from, to resource.Resource) diff.Op {
	return diff.Op{Verb: diff.Replace, Key: to.Key(), From: from, To: to, Owner: resource.Ours}
}

// make creates resources, each after the ones before, and checks that each is
// then observed as ours and equal to what was wanted.
func (b *bench) make(rs ...resource.Resource) {
	b.t.Helper()
	for _, r := range rs {
		b.do(create(r))
	}
	for _, r := range rs {
		b.isSo(r)
	}
}

// isSo checks that a resource is observed as ours and as wanted.
func (b *bench) isSo(r resource.Resource) {
	b.t.Helper()
	have := b.get(r.Key())
	if have.Owner != resource.Ours {
		b.t.Errorf("%s is %s, want ours", r.Key(), have.Owner)
	}
	want := r
	if in, ok := r.(resource.Inheritor); ok {
		want = in.Inherit(have.Resource)
	}
	if !have.Equal(want) {
		b.t.Errorf("%s: observed and wanted differ:\n%+v\n%+v", r.Key(), have.Resource, want)
	}
}

// converge plans from what is observed and applies, until nothing is left; a
// second pass must find nothing.
func (b *bench) converge(want *resource.Set) diff.Plan {
	b.t.Helper()
	plan := b.plan(want)
	for i := range plan.Ops {
		b.do(plan.Ops[i])
	}
	if again := b.plan(want); !again.Empty() {
		b.t.Fatalf("a second pass wants to %s %s: %v", again.Ops[0].Verb, again.Ops[0].Key, again.Ops[0].Fields)
	}
	return plan
}

func (b *bench) plan(want *resource.Set) diff.Plan {
	b.t.Helper()
	have := b.look(observed.Query{Want: want, All: true})
	bound, _ := diff.Bind(want, have)
	plan, err := diff.Compute(bound, have)
	if err != nil {
		b.t.Fatal(err)
	}
	return plan
}

func setOf(rs ...resource.Resource) *resource.Set {
	s := resource.NewSet(len(rs))
	for _, r := range rs {
		s.Put(resource.Object{Resource: r, Owner: resource.Ours})
	}
	return s
}

func pfx(s string) netip.Prefix { return netip.MustParsePrefix(s) }
func ip(s string) netip.Addr    { return netip.MustParseAddr(s) }

// pair is both ends of a veth pair, up.
func pair(near, far string) []resource.Resource {
	return []resource.Resource{
		resource.Link{Name: near, Type: resource.Veth, Peer: far, Group: resource.LinkGroup, State: resource.Up},
		resource.Link{Name: far, Type: resource.Veth, Peer: near, Group: resource.LinkGroup, State: resource.Up, Far: true},
	}
}

func addr(link, prefix string) resource.Address {
	return resource.Address{Link: link, Prefix: pfx(prefix), Protocol: resource.Protocol, NoDAD: true}
}

func via(to, gateway, dev string) resource.Route {
	metric := uint32(0)
	if pfx(to).Addr().Is6() {
		metric = resource.MetricIPv6
	}
	return resource.Route{
		To: pfx(to), Metric: metric, Table: resource.MainTable, Type: resource.Unicast, Protocol: resource.Protocol,
		Hops: []resource.NextHop{{Via: ip(gateway), Dev: dev, Weight: 1}},
	}
}

func TestFirstLight(t *testing.T) {
	b := newBench(t)
	br := resource.Link{Name: "br0", Type: resource.Bridge, Group: resource.LinkGroup, State: resource.Up, MTU: 1400,
		Description: resource.Some("first light"), Bridge: resource.BridgeAttr{STP: resource.Some(true)}}
	want := append(pair("p0", "p1"), br,
		resource.Port{Link: "p0", Master: "br0"},
		addr("br0", "10.0.0.1/24"), addr("br0", "2001:db8::1/64"),
		via("203.0.113.0/24", "10.0.0.254", "br0"), via("2001:db8:1::/48", "2001:db8::2", "br0"))
	b.make(want...)

	plan := b.converge(setOf(want...))
	if !plan.Empty() {
		t.Errorf("after making all, a plan wants to %s %s", plan.Ops[0].Verb, plan.Ops[0].Key)
	}
	plan = b.converge(setOf())
	if len(plan.Ops) == 0 {
		t.Fatal("nothing is removed")
	}
	for _, o := range b.look(observed.Query{All: true}).Objects.All() {
		if o.Owner == resource.Ours {
			t.Errorf("%s is left", o.Key())
		}
	}
}
