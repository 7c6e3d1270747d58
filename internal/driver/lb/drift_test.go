package lb

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"

	"reconciler/internal/driver/lb/bpf"
	"reconciler/internal/driver/lb/plane"
	"reconciler/internal/observed"
	"reconciler/internal/resource"
)

// poke changes an element of a pinned map, as a stranger would.
func (b *bench) poke(name string, index uint32, change func(value []byte)) {
	b.t.Helper()
	var p bpf.LBPlane
	parts := map[string]struct{ at, size uintptr }{ // of one map's one value
		"lb_services": {unsafe.Offsetof(p.Services), unsafe.Sizeof(p.Services[0])},
		"lb_backends": {unsafe.Offsetof(p.Backends), unsafe.Sizeof(p.Backends[0])},
		"lb_tables":   {unsafe.Offsetof(p.Tables), unsafe.Sizeof(p.Tables[0])},
	}
	part, ok := parts[name]
	from := part.at + uintptr(index)*part.size
	if ok {
		name, index = "lb_plane", 0
	}
	m, err := ebpf.LoadPinnedMap(plane.PinPath(b.d.tables.dir, name), nil)
	if err != nil {
		b.t.Fatal(err)
	}
	defer m.Close()
	value := make([]byte, m.ValueSize())
	if err := m.Lookup(index, value); err != nil {
		b.t.Fatal(err)
	}
	if ok {
		change(value[from:][:part.size])
	} else {
		change(value)
	}
	if err := m.Put(index, value); err != nil {
		b.t.Fatal(err)
	}
}

// TestDriftIsSeenAndRepaired breaks one thing after the other. Each is named,
// and repaired in one apply, without a drain.
func TestDriftIsSeenAndRepaired(t *testing.T) {
	n, want := serving(t)
	was := n.vip("www")
	ring := uint32(was.Seen.Ring)
	for _, c := range []struct {
		name  string
		do    func()
		says  string
		where resource.Key
	}{
		{"a slot of another", func() {
			n.poke("lb_rings", ring, func(v []byte) { binary.LittleEndian.PutUint16(v[20:], (binary.LittleEndian.Uint16(v[20:])+1)%3) })
		}, "1 of 1021 slots of the ring are not as its shares make them", was.Key()},
		{"a slot of nobody", func() {
			n.poke("lb_rings", ring, func(v []byte) { binary.LittleEndian.PutUint16(v, 77) })
		}, "1 of 1021 slots of the ring", was.Key()},
		{"a mark", func() {
			n.poke("lb_rings", ring, func(v []byte) { v[1] |= 0x80 })
		}, "1 slots are marked as moved, and no drain goes on", was.Key()},
		{"a weight", func() { n.poke("lb_weights", ring, func(v []byte) { v[0] = 50 }) }, "a 50 -> 100", was.Key()},
		{"a weight of nobody", func() { n.poke("lb_weights", ring, func(v []byte) { v[9] = 50 }) }, "a share of backend 9, which is none", was.Key()},
		{"a mark of who left", func() { n.poke("lb_weights", ring, func(v []byte) { v[1] = leaving }) }, "b 0 -> 100", was.Key()},
		{"another ring", func() {
			n.poke("lb_services", uint32(was.Seen.Index), func(v []byte) { v[0] = 200 })
		}, "its ring is 200, and there are 12", was.Key()},
		{"an empty ring", func() {
			n.poke("lb_weights", 11, func(v []byte) { clear(v) })
			n.poke("lb_services", uint32(was.Seen.Index), func(v []byte) { binary.LittleEndian.PutUint16(v, 11) })
		}, "a 0 -> 100", was.Key()},
		{"the policy", func() {
			n.poke("lb_services", uint32(was.Seen.Index), func(v []byte) { v[4] |= 8 })
		}, "no-backend pass -> drop", was.Key()},
		{"no claim", func() { n.claims(func(c plane.Claim) bool { return c.Service != was.Seen.Index }) }, "addresses  -> 198.51.100.1", was.Key()},
		{"the key of a claim", n.spoilClaim, "the VIP table does not lead to it for 198.51.100.1 tcp/80", was.Key()},
		{"a ghost", func() { n.ghost() }, "1 entries of the VIP table lead to no VIP", resource.BalancerKey()},
		{"the MAC of a record", func() { n.poke("lb_backends", 0, func(v []byte) { v[3] ^= 0xff }) }, "mac 02:00:00:ff:00:02 -> 02:00:00:00:00:02", resource.Key{}},
		{"the link of a record", func() { n.poke("lb_backends", 0, func(v []byte) { v[16] ^= 0x40 }) }, "link ", resource.Key{}},
		{"the address of a record", func() { n.poke("lb_backends", 0, func(v []byte) { v[32] ^= 0x40 }) }, "the record is not as it was written", resource.Key{}},
		{"a record", func() { n.poke("lb_backends", 0, func(v []byte) { clear(v) }) }, "next hop none -> 02:00:00:00:00:02 on up0", resource.Key{}},
		{"a source", func() { n.poke("lb_backends", 0, func(v []byte) { v[48] ^= 1 }) }, "source 193.0.2.1 -> 192.0.2.1", resource.Key{}},
		{"the neighbour's entry", func() { n.IP("neigh", "del", "192.0.2.2", "dev", "up0") }, "the kernel does not keep 192.0.2.2 on up0 fresh", resource.Key{}},
		{"a pin", func() {
			if err := os.Remove(plane.PinPath(n.d.tables.dir, "lb_flows")); err != nil {
				t.Fatal(err)
			}
		}, "map lb_flows is no longer pinned", resource.BalancerKey()},
		{"udp-idle", func() {
			if err := n.d.tables.SetSettings(plane.Settings{UDPIdle: time.Second}); err != nil {
				t.Fatal(err)
			}
		}, "udp-idle 1s -> 10s", resource.BalancerKey()},
	} {
		c.do()
		plan := n.plan(set(want...))
		if !strings.Contains(text(plan), c.says) {
			t.Errorf("%s: want %q in\n%s", c.name, c.says, text(plan))
		}
		for _, op := range plan.Ops {
			if c.where != (resource.Key{}) && op.Key != c.where && op.Key.Kind != resource.KindVIP {
				t.Errorf("%s: touches %s", c.name, op.Key)
			}
		}
		if err := n.try(set(want...)); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		n.settle(want...)
		if now := n.vip("www"); now.Seen.Checksum != was.Seen.Checksum || len(now.Seen.Damage) > 0 {
			t.Errorf("%s: %+v", c.name, now.Seen)
		}
		for _, o := range n.have().Objects.All() {
			if o.Key().Kind == resource.KindDrain {
				t.Errorf("%s: its repair began a drain", c.name)
			}
		}
		ring = uint32(n.vip("www").Seen.Ring)
	}
}

// claims keeps the entries of the VIP table for which keep says so.
func (b *bench) claims(keep func(plane.Claim) bool) {
	b.t.Helper()
	all, err := b.d.tables.Claims()
	if err != nil {
		b.t.Fatal(err)
	}
	if err := b.d.tables.SetClaims(slices.DeleteFunc(all, func(c plane.Claim) bool { return !keep(c) })); err != nil {
		b.t.Fatal(err)
	}
}

// ghost claims an address for a service that there is not.
func (b *bench) ghost() {
	b.t.Helper()
	all, err := b.d.tables.Claims()
	if err != nil {
		b.t.Fatal(err)
	}
	if err := b.d.tables.SetClaims(append(all, plane.Claim{Address: addr("203.0.113.1"), Service: 9})); err != nil {
		b.t.Fatal(err)
	}
}

// spoilClaim makes an entry one that no packet finds.
func (b *bench) spoilClaim() {
	b.t.Helper()
	all, err := b.d.tables.Claims()
	if err != nil {
		b.t.Fatal(err)
	}
	var table bpf.LBTable
	for i := range uint32(2) {
		b.poke("lb_tables", i, func(v []byte) { clear(v[unsafe.Offsetof(table.ClaimDisplace):][:unsafe.Sizeof(table.ClaimDisplace)]) })
	}
	if lost := b.d.tables.Lost(all); len(lost) == 0 {
		b.t.Fatal("nothing is lost")
	}
}

// TestLookThatSeesNothingNewIsCheap counts what a look each second allocates.
func TestLookThatSeesNothingNewIsCheap(t *testing.T) {
	n, _ := serving(t)
	ctx := context.Background()
	if _, err := n.d.Observe(ctx, observed.Query{}); err != nil {
		t.Fatal(err)
	}
	a, err := n.d.Observe(ctx, observed.Query{})
	if err != nil {
		t.Fatal(err)
	}
	b, err := n.d.Observe(ctx, observed.Query{})
	if err != nil || a.Objects != b.Objects {
		t.Fatalf("another set, %v", err)
	}
	if got := testing.AllocsPerRun(10, func() { n.d.recheck(ctx) }); got > 150 {
		t.Errorf("%v allocations", got)
	}
}

// TestReadBackTells looks at the maps as the watch does.
func TestReadBackTells(t *testing.T) {
	n, _ := serving(t)
	if _, err := n.d.Observe(context.Background(), observed.Query{}); err != nil {
		t.Fatal(err)
	}
	if keys := n.d.recheck(context.Background()); len(keys) > 0 {
		t.Errorf("nothing changed: %v", keys)
	}
	n.poke("lb_rings", uint32(n.vip("www").Seen.Ring), func(v []byte) { v[0] ^= 1 })
	keys := fmt.Sprint(n.d.recheck(context.Background()))
	if !strings.Contains(keys, "lb/vip/www/ipv4") || !strings.Contains(keys, "lb/vip/dns/ipv4") {
		t.Errorf("both VIPs have that ring: %v", keys)
	}
}
