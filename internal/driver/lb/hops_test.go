package lb

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"reconciler/internal/observed"
	"reconciler/internal/resource"
)

// follows changes a way, wants an event that names the backend, the cause in
// the plan, and the record right once the plan is carried out.
func (b *bench) follows(heard func(resource.Key) bool, want []resource.Resource, says string, change func()) {
	b.t.Helper()
	if _, err := b.d.Observe(context.Background(), observed.Query{}); err != nil {
		b.t.Fatal(err)
	}
	change()
	key := want[1].Key()
	eventually(b.t, "an event of "+key.Name, func() bool { return heard(key) })
	eventually(b.t, says, func() bool {
		plan := b.plan(set(want...))
		if strings.Contains(text(plan), says) {
			return true
		}
		if !plan.Empty() { // the cause comes in two steps
			if err := b.try(set(want...)); err != nil {
				b.t.Fatal(err)
			}
		}
		return false
	})
	if err := b.try(set(want...)); err != nil {
		b.t.Fatal(err)
	}
}

// listen watches; the answer tells whether a key was heard of since it was
// asked for last.
func (b *bench) listen() func(resource.Key) bool {
	b.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	keys, done := make(chan []resource.Key, 1024), make(chan error, 1)
	go func() {
		b.Stay()
		done <- b.d.Watch(ctx, func(k ...resource.Key) { keys <- k })
	}()
	b.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			b.t.Error(err)
		}
	})
	time.Sleep(50 * time.Millisecond) // until it listens
	return func(k resource.Key) bool {
		select {
		case heard := <-keys:
			return slices.Contains(heard, k)
		default:
			return false
		}
	}
}

func (b *bench) record(k resource.Key) resource.BackendSeen {
	b.t.Helper()
	o, ok := b.have().Objects.Get(k)
	if !ok {
		b.t.Fatalf("no %s", k)
	}
	return o.Resource.(resource.Backend).Seen
}

func TestRecordsFollowTheWay(t *testing.T) {
	n := newNet(t)
	n.IP("link", "add", "up1", "type", "veth", "peer", "name", "far1", "netns", n.far.Name)
	n.IP("link", "set", "up1", "address", "02:00:00:00:01:01", "up")
	n.far.IP("link", "set", "far1", "address", "02:00:00:00:01:02", "up")
	n.IP("addr", "add", "192.0.3.1/24", "dev", "up1")
	n.far.IP("addr", "add", "192.0.3.2/24", "dev", "far1")
	n.IP("route", "add", "203.0.113.0/24", "via", "192.0.2.2")
	a := backend("a", "203.0.113.7")
	want := []resource.Resource{balancer(), a}
	n.settle(want...)
	heard := n.listen()

	n.follows(heard, want, "mac 02:00:00:00:00:02 -> 02:00:00:00:00:22", func() {
		n.far.IP("link", "set", "far0", "address", "02:00:00:00:00:22")
		n.IP("neigh", "change", "192.0.2.2", "dev", "up0", "lladdr", "02:00:00:00:00:22", "nud", "reachable")
	})
	n.settle(want...)
	n.follows(heard, want, "mtu 1500 -> 1300", func() { n.IP("route", "change", "203.0.113.0/24", "via", "192.0.2.2", "mtu", "1300") })
	n.settle(want...)
	n.follows(heard, want, "192.0.3.2 on up1", func() { n.IP("route", "replace", "203.0.113.0/24", "via", "192.0.3.2") })
	n.settle(want...)
	if s := n.record(a.Key()); s.Link != "up1" || s.MAC != (resource.MAC{2, 0, 0, 0, 1, 2}) || s.Source != addr("192.0.3.1") {
		t.Errorf("%+v", s)
	}
	if out := n.IP("neigh", "show", "dev", "up0"); strings.Contains(out, "managed") {
		t.Errorf("a neighbour that nobody needs: %s", out)
	}
	n.follows(heard, want, "no route to 203.0.113.7", func() { n.IP("route", "del", "203.0.113.0/24") })
	n.settle(want...)
	if s := n.record(a.Key()); s.Link != "" {
		t.Errorf("without a route: %+v", s)
	}
	n.follows(heard, want, "192.0.2.2 on up0", func() { n.IP("route", "add", "203.0.113.0/24", "via", "192.0.2.2") })
	n.settle(want...)
	n.follows(heard, want, "no route to 203.0.113.7", func() { n.IP("link", "set", "up0", "down") })
	n.settle(want...)
}

// TestGatewayThatVanishes takes the neighbour away: the record goes once the
// kernel has given up, and comes back with it.
func TestGatewayThatVanishes(t *testing.T) {
	n := newNet(t)
	a := backend("a", "192.0.2.2")
	want := []resource.Resource{balancer(), a}
	n.settle(want...)
	heard := n.listen()
	n.follows(heard, want, "192.0.2.2 on up0 does not answer", func() {
		n.far.IP("addr", "del", "192.0.2.2/24", "dev", "far0")
		n.IP("neigh", "change", "192.0.2.2", "dev", "up0", "lladdr", "02:00:00:00:00:02", "nud", "probe")
	})
	n.settle(want...)
	if s := n.record(a.Key()); s.Link != "" {
		t.Errorf("%+v", s)
	}
	n.far.IP("addr", "add", "192.0.2.2/24", "dev", "far0")
	n.returns(heard, want)
}

// TestLinkThatComesBack has another index then.
func TestLinkThatComesBack(t *testing.T) {
	n := newNet(t)
	a := backend("a", "192.0.2.2")
	want := []resource.Resource{balancer(), a}
	n.settle(want...)
	heard := n.listen()
	n.follows(heard, want, "no route to 192.0.2.2", func() { n.IP("link", "del", "up0") })
	n.settle(want...)
	n.IP("link", "add", "up0", "index", "777", "type", "veth", "peer", "name", "far0", "netns", n.far.Name)
	n.far.IP("link", "set", "far0", "address", "02:00:00:00:00:02", "up")
	n.far.IP("addr", "add", "192.0.2.2/24", "dev", "far0")
	n.IP("link", "set", "up0", "up")
	n.IP("addr", "add", "192.0.2.1/24", "dev", "up0")
	n.returns(heard, want)
	if is, err := n.d.tables.Backend(0); err != nil || is.Next.Ifindex != 777 {
		t.Errorf("%+v, %v", is, err)
	}
}

// returns wants events to bring the record back, as an engine that hears them
// would.
func (b *bench) returns(heard func(resource.Key) bool, want []resource.Resource) {
	b.t.Helper()
	key := want[1].Key()
	eventually(b.t, key.Name+" is served again", func() bool {
		if heard(key) {
			if err := b.try(set(want...)); err != nil {
				b.t.Fatal(err)
			}
		}
		return b.record(key).Link == "up0"
	})
}

// TestRoutesOfOthersWakeNobody floods the watch with the routes of a daemon.
func TestRoutesOfOthersWakeNobody(t *testing.T) {
	n := newNet(t)
	a := backend("a", "192.0.2.2")
	n.settle(balancer(), a)
	if _, err := n.d.Observe(context.Background(), observed.Query{}); err != nil {
		t.Fatal(err)
	}
	heard := n.listen()
	for i := range 50 {
		n.IP("route", "add", addr4([4]byte{10, 0, byte(i), 0}).String()+"/24", "via", "192.0.2.2", "proto", "bird")
	}
	time.Sleep(100 * time.Millisecond)
	if heard(a.Key()) {
		t.Error("a route to elsewhere is no news of the backend")
	}
	n.IP("route", "add", "192.0.2.0/25", "dev", "up0")
	eventually(t, "an event", func() bool { return heard(a.Key()) })
}
