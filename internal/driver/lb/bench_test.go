package lb

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"reconciler/internal/apply"
	"reconciler/internal/diff"
	"reconciler/internal/driver"
	"reconciler/internal/driver/bpffs"
	"reconciler/internal/observed"
	"reconciler/internal/resource"
	"reconciler/internal/state"
	"reconciler/internal/testns"
)

// bench is a namespace with a link, up0, to another one, far, whose end is far0:
// 192.0.2.1/24 and 2001:db8::1/64 here, and .2 there. The test's thread is in
// the first one until it ends.
type bench struct {
	*testns.NS
	t   *testing.T
	far *testns.NS
	cfg Config
	d   *Driver
	// over ends the drains that there are: nobody wants them any more.
	over bool
}

func newNet(t *testing.T) *bench {
	t.Helper()
	b := &bench{NS: testns.New(t), t: t, far: testns.New(t)}
	b.IP("link", "add", "up0", "type", "veth", "peer", "name", "far0", "netns", b.far.Name)
	b.IP("link", "set", "up0", "address", "02:00:00:00:00:01", "up")
	b.far.IP("link", "set", "far0", "address", "02:00:00:00:00:02", "up")
	b.IP("addr", "add", "192.0.2.1/24", "dev", "up0")
	b.IP("addr", "add", "2001:db8::1/64", "dev", "up0", "nodad")
	b.far.IP("addr", "add", "192.0.2.2/24", "dev", "far0")
	b.far.IP("addr", "add", "2001:db8::2/64", "dev", "far0", "nodad")
	b.Stay()
	id, err := state.Namespace()
	if err != nil {
		t.Fatal(err)
	}
	b.cfg = Config{Namespace: id.Name, Cookie: id.Cookie}
	b.d = Open(b.cfg)
	t.Cleanup(func() {
		if err := b.d.Close(); err != nil {
			t.Error(err)
		}
		if err := bpffs.RemoveTree(b.d.root.Dir()); err != nil {
			t.Error(err)
		}
	})
	return b
}

// eventually waits for what the kernel does by itself.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if is() {
			return
		}
	}
	t.Fatalf("not within ten seconds: %s", what)
}

func addr4(a [4]byte) netip.Addr { return netip.AddrFrom4(a) }

func addr(text string) netip.Addr { return netip.MustParseAddr(text) }

func mac(last byte) resource.MAC { return resource.MAC{2, 0, 0, 0, 0, last} }

// balancer is a small one.
func balancer() resource.Balancer {
	return resource.Balancer{
		Capacities: resource.Capacities{RingSize: 1021, VIPs: 16, Backends: 16, Rings: 12, Flows: 4096}, UDPIdle: 10 * time.Second,
	}
}

func backend(name, address string) resource.Backend {
	return resource.Backend{Name: name, Address: addr(address), Encap: resource.IPIP}
}

// vip is a service of one pool with the backends, in equal shares.
func vip(name, address string, backends ...resource.Backend) resource.VIP {
	v := resource.VIP{
		Name: name, Family: resource.IPv4, Addresses: []netip.Addr{addr(address)}, NoBackend: resource.NoBackendDrop,
		Ports: []resource.ServicePort{{Protocol: "tcp", Number: 80}}, Pools: []resource.Pool{{Name: "all"}},
	}
	for _, b := range backends {
		v.Shares = append(v.Shares, resource.Share{Backend: b.Key().Name, Weight: 100})
		v.Pools[0].Members = append(v.Pools[0].Members, resource.Member{Backend: b.Key().Name, Weight: 100, Drain: 5 * time.Minute})
	}
	sortedShares(v.Shares)
	return v
}

// set is what is wanted.
func set(all ...resource.Resource) *resource.Set {
	s := resource.NewSet(len(all))
	for _, r := range all {
		s.Put(resource.Object{Resource: r, Origin: "net.yaml:1"})
	}
	return s
}

// have is what there is.
func (b *bench) have() observed.State {
	b.t.Helper()
	have, err := b.d.Observe(context.Background(), observed.Query{Around: []resource.Key{{}}})
	if err != nil {
		b.t.Fatal(err)
	}
	return have
}

// plan is what there is to do. As deciders do, it wants drains to go on.
func (b *bench) plan(want *resource.Set) diff.Plan {
	b.t.Helper()
	have := b.have()
	bound := resource.NewSet(want.Len())
	for _, o := range want.All() {
		if h, ok := have.Objects.Get(o.Key()); ok {
			if in, ok := o.Resource.(resource.Inheritor); ok {
				o.Resource = in.Inherit(h.Resource)
			}
		}
		bound.Put(o)
	}
	for _, o := range have.Objects.All() {
		d, ok := o.Resource.(resource.Drain)
		if ok && !b.over && want.Has(resource.Key{Driver: resource.LBDriver, Kind: resource.KindVIP, Name: d.VIP}) {
			bound.Put(o)
			for _, k := range d.Requires() {
				if h, ok := have.Objects.Get(k); ok && !bound.Has(k) {
					bound.Put(h)
				}
			}
		}
	}
	plan, err := diff.Compute(bound, have)
	if err != nil {
		b.t.Fatal(err)
	}
	b.d.Annotate(have, &plan)
	return plan
}

// try applies what there is to do and returns the errors.
func (b *bench) try(want *resource.Set) error {
	b.t.Helper()
	return apply.Run(context.Background(), b.plan(want), []driver.Driver{b.d}).Err()
}

// make makes it so, and wants nothing left to do.
func (b *bench) make(want *resource.Set) {
	b.t.Helper()
	if err := b.try(want); err != nil {
		b.t.Fatalf("apply: %v", err)
	}
	if again := b.plan(want); !again.Empty() {
		b.t.Fatalf("after an apply there is still to do:\n%s", text(again))
	}
}

func text(p diff.Plan) string {
	var w strings.Builder
	if err := diff.Text(&w, p, diff.TextOptions{Full: true}); err != nil {
		return err.Error()
	}
	return w.String()
}

// observedAll asks for counters too.
var observedAll = observed.Query{All: true}
