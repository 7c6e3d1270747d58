package netlink

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"reconciler/internal/diff"
	"reconciler/internal/driver/netlink/wire"
	"reconciler/internal/observed"
	"reconciler/internal/resource"
)

// manyRoutes creates n routes by way of a0.
func manyRoutes(n int) []diff.Op {
	ops := make([]diff.Op, n)
	for i := range ops {
		to := netip.PrefixFrom(netip.AddrFrom4([4]byte{100, byte(i >> 16), byte(i >> 8), byte(i)}), 32)
		r := via("100.0.0.0/32", "10.0.0.254", "a0")
		r.To = to
		ops[i] = create(r)
	}
	return ops
}

// many makes n routes of somebody else's.
func (b *bench) many(n int) {
	b.t.Helper()
	lines := make([]string, n)
	for i := range lines {
		lines[i] = fmt.Sprintf("route add 101.%d.%d.%d via 10.0.0.254 proto bird", i>>16, i>>8&255, i&255)
	}
	b.batch(strings.Join(lines, "\n"))
}

func (b *bench) batch(lines string) {
	b.t.Helper()
	name := filepath.Join(b.t.TempDir(), "batch")
	if err := os.WriteFile(name, []byte(lines+"\n"), 0o600); err != nil {
		b.t.Fatal(err)
	}
	b.IP("-batch", name)
}

func TestOneFailureInALargeBatchIsFound(t *testing.T) {
	b := newBench(t)
	ground(b)
	ops := manyRoutes(10000)
	bad := ops[7777].To.(resource.Route)
	bad.Hops = []resource.NextHop{{Via: ip("172.16.0.1"), Dev: "a0", Weight: 1}}
	ops[7777] = create(bad)
	for i, err := range b.Apply(context.Background(), ops) {
		if (err != nil) != (i == 7777) {
			t.Fatalf("operation %d: %v", i, err)
		}
	}
}

func TestAllFailuresOfALargeBatchAreFound(t *testing.T) {
	b := newBench(t)
	ground(b)
	ops := manyRoutes(10000)
	for i := range ops {
		bad := ops[i].To.(resource.Route)
		bad.Hops = []resource.NextHop{{Via: ip("172.16.0.1"), Dev: "a0", Weight: 1}}
		ops[i].To = bad
	}
	for i, err := range b.Apply(context.Background(), ops) {
		if err == nil {
			t.Fatalf("operation %d failed in silence", i)
		}
	}
}

func TestForeignRoutesAreNotReadForOurs(t *testing.T) {
	b := newBench(t)
	ground(b)
	b.many(5000)
	ours := via("192.0.2.0/24", "10.0.0.254", "a0")
	b.do(create(ours))
	have := b.look(observed.Query{Want: setOf(ours)})
	if n := countRoutes(have); n != 1 {
		t.Errorf("%d routes are read, want ours alone", n)
	}
	all := b.look(observed.Query{All: true})
	want := observed.Tally{Kind: resource.KindRoute, Origin: "bird", Count: 5000}
	found := false
	for _, tally := range all.Tallies {
		found = found || tally == want
	}
	if !found {
		t.Errorf("tallies are %v, want %v among them", all.Tallies, want)
	}
	declared := via("101.0.0.7/32", "10.0.0.254", "a0")
	for range 2 { // the second time by the hint
		have = b.look(observed.Query{Want: setOf(ours, declared)})
		if o, ok := have.Objects.Get(declared.Key()); !ok || o.Owner != resource.Foreign || o.Origin != "bird" {
			t.Fatalf("a declared route of somebody else's is %v", o)
		}
	}
}

func countRoutes(s observed.State) (n int) {
	for _, o := range s.Objects.All() {
		if o.Key().Kind == resource.KindRoute {
			n++
		}
	}
	return n
}

// BenchmarkObserve reads 100,000 routes of ours, with their keys; BenchmarkDump
// is the same dump with nothing done to it.
func BenchmarkObserve(b *testing.B) {
	d, want := loaded(b)
	for b.Loop() {
		d.look(observed.Query{Want: want})
	}
}

func BenchmarkDump(b *testing.B) {
	d, _ := loaded(b)
	for b.Loop() {
		err := d.dump(context.Background(), wire.Query{
			Type: unix.RTM_GETROUTE,
			Head: routeFilter{family: unix.AF_INET, protocol: resource.Protocol}.write,
			See:  func(wire.Message) {},
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkApply(b *testing.B) {
	d := newBench(b)
	ground(d)
	ops := manyRoutes(100000)
	for b.Loop() {
		d.do(ops...)
		b.StopTimer()
		d.IP("route", "flush", "proto", "210")
		b.StartTimer()
	}
}

func loaded(b *testing.B) (*bench, *resource.Set) {
	d := newBench(b)
	ground(d)
	ops := manyRoutes(100000)
	d.do(ops...)
	want := resource.NewSet(len(ops))
	for _, op := range ops {
		want.Put(resource.Object{Resource: op.To})
	}
	b.ResetTimer()
	return d, want
}
