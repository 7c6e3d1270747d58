package chain

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"reconciler/internal/resource"
	"reconciler/test/traffic"
)

// flood sends frames through the pair as fast as it can, in the direction of a
// hook, until it is stopped.
type flood struct {
	stop chan struct{}
	done chan error
	sent atomic.Uint64
	rate int // frames a second; 0 for as many as it can
}

// startFlood floods towards p0: out of p1 for ingress, out of p0 for egress.
func (b *bench) startFlood(hook resource.Hook) *flood {
	b.t.Helper()
	out := "p1"
	if hook == resource.TCEgress {
		out = "p0"
	}
	f := &flood{stop: make(chan struct{}), done: make(chan error, 1)}
	if inGuest() {
		f.rate = guestFlood
	}
	go func() { f.done <- f.run(b.Path(), out) }()
	for start := time.Now(); f.sent.Load() < 1000; time.Sleep(time.Millisecond) {
		select {
		case err := <-f.done:
			b.t.Fatalf("flood: %v", err)
		default:
		}
		if time.Since(start) > 10*time.Second {
			b.t.Fatal("the flood does not begin")
		}
	}
	return f
}

// end stops it and lets what is on its way arrive.
func (f *flood) end(t *testing.T) uint64 {
	t.Helper()
	close(f.stop)
	if err := <-f.done; err != nil {
		t.Fatalf("flood: %v", err)
	}
	time.Sleep(200 * time.Millisecond)
	return f.sent.Load()
}

// A bound of the frames sent, never reached.
const floodAtMost = 200_000_000

func (f *flood) run(ns, out string) error {
	runtime.LockOSThread() // never given back: it is in another namespace
	file, err := os.Open(ns)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := unix.Setns(int(file.Fd()), unix.CLONE_NEWNET); err != nil {
		return err
	}
	s, err := traffic.Open(out, traffic.UDP())
	if err != nil {
		return err
	}
	defer s.Close()
	if out == "p1" { // the queueing discipline is not what is tested
		if err := s.Direct(); err != nil {
			return err
		}
	}
	return f.send(s)
}

func (f *flood) send(s *traffic.Sender) error {
	for began := time.Now(); f.sent.Load() < floodAtMost; pace(began, f.sent.Load(), f.rate) {
		select {
		case <-f.stop:
			return nil
		default:
		}
		n, err := s.Send(traffic.Batch)
		if err != nil {
			return err
		}
		if n == 0 {
			runtime.Gosched()
		}
		f.sent.Add(uint64(n))
	}
	return nil
}

// seen sums the packets that an instance has counted.
func (b *bench) seen(p resource.Program) uint64 {
	b.t.Helper()
	m := resource.Map{Program: p.Name, Link: p.Link, Digest: b.digest(p), Name: "seen"}
	open, err := b.d.openMap(m)
	if err != nil {
		b.t.Fatal(err)
	}
	defer open.Close()
	return sum(b.t, open, 0)
}

func sum(t testing.TB, m *ebpf.Map, key uint32) uint64 {
	t.Helper()
	var perCPU []uint64
	if err := m.Lookup(key, &perCPU); err != nil {
		t.Fatal(err)
	}
	n := uint64(0)
	for _, v := range perCPU {
		n += v
	}
	return n
}

// digest is what an instance resolves to.
func (b *bench) digest(p resource.Program) string {
	b.t.Helper()
	o, err := b.d.object(p)
	if err != nil {
		b.t.Fatal(err)
	}
	if p.Functions, err = functions(o, p); err != nil {
		b.t.Fatal(err)
	}
	return o.digest(p)
}

// TestSwapsUnderFlood changes chains while packets come as fast as they can.
// Each packet must meet each program of a chain exactly once: a program that
// is in all of them has counted as many at the end as any other such, and of
// two programs that take turns one has.
func TestSwapsUnderFlood(t *testing.T) {
	for _, way := range []struct {
		name   string
		hook   resource.Hook
		change func(*Config)
	}{
		{"xdp", resource.XDPIngress, nil},
		{"tcx ingress", resource.TCIngress, nil},
		{"tcx egress", resource.TCEgress, nil},
		{"clsact ingress", resource.TCIngress, func(c *Config) { c.NoTCX = true }},
		{"clsact egress", resource.TCEgress, func(c *Config) { c.NoTCX = true }},
	} {
		t.Run(way.name, func(t *testing.T) {
			var changes []func(*Config)
			if way.change != nil {
				changes = append(changes, way.change)
			}
			b := newBench(t, changes...)
			for _, size := range []int{1, 3, 10, 16} {
				b.swaps(way.hook, size, swapsOf(t))
			}
		})
	}
}

// leastRate is how many frames a second must be sent, from the first swap to
// the end of the last, for these to be swaps under traffic.
const leastRate = 5000

// patience is how long swaps may wait for the flood, all together.
const patience = time.Minute

// starvedSwap is what a swap takes, on the average, only where this test has
// next to nothing of a processor: about three times as long as in a quiet guest.
// The sender has nothing then, either, and its rate is not judged.
const starvedSwap = 1500 * time.Millisecond

// since is how many frames a second were sent from a moment on.
func (f *flood) since(began time.Time, sent uint64) float64 {
	return float64(f.sent.Load()-sent) / time.Since(began).Seconds()
}

// catchUp lets the flood have leastRate again: where there is one processor, as
// in a guest, a swap takes it from the flood.
func (f *flood) catchUp(began time.Time, sent uint64) {
	for f.since(began, sent) < leastRate && time.Since(began) < patience {
		time.Sleep(time.Millisecond)
	}
}

// swapsOf is how many swaps are made of each size of chain; soak makes more.
func swapsOf(t *testing.T) int {
	n, err := strconv.Atoi(os.Getenv("RECONCILER_SWAPS"))
	if err != nil {
		return 50
	}
	return n
}

// swaps shuffles a chain, takes turns with one of its programs, puts another in
// and takes it out, and loads one in another version, whose counter goes on.
func (b *bench) swaps(hook resource.Hook, size, times int) {
	b.t.Helper()
	entry := "plain"
	if !hook.IsXDP() {
		entry = "traffic"
	}
	var always []resource.Program
	for i := range size {
		always = append(always, b.object(fmt.Sprintf("p%02d", i), "p0", verdictObject, entry, hook))
	}
	if !hook.IsXDP() {
		for i := range always {
			always[i].Constants = []resource.NamedValue{{Name: "verdict", Value: resource.Scalar("-1")}}
		}
	}
	turns := []resource.Program{always[size-1], always[size-1]}
	turns[1].Name = "turn"
	always = always[:size-1]
	extra := turns[0]
	extra.Name = "extra"
	want := func(i int) *resource.Set {
		always := versions(always, i)
		chain := append(slices.Clone(always), turns[i%2])
		if i%3 == 1 && len(chain) < resource.MaxSlots {
			chain = append(chain, extra)
		}
		rand.Shuffle(len(chain), func(i, j int) { chain[i], chain[j] = chain[j], chain[i] })
		s := set(b.chain(hook, chain...))
		for _, p := range append(chain, turns...) { // both stay loaded, and keep their count
			s.Put(resource.Object{Resource: p})
		}
		return s
	}
	b.make(want(0))
	before := b.total(turns)
	counts := map[string]uint64{}
	for _, p := range always {
		counts[p.Name] = b.seen(p)
	}
	f := b.startFlood(hook)
	began, first := time.Now(), f.sent.Load()
	swapping := time.Duration(0)
	for i := range times {
		at := time.Now()
		b.make(want(i + 1))
		swapping += time.Since(at)
		f.catchUp(began, first)
	}
	rate := f.since(began, first)
	sent := f.end(b.t)
	total := b.total(turns) - before
	b.t.Logf("%d programs: %d swaps of %v, %.0f frames a second, %d sent and %d seen",
		size, times, (swapping / time.Duration(times)).Round(time.Millisecond), rate, sent, total)
	switch each := swapping / time.Duration(times); {
	case rate >= leastRate:
	case each > starvedSwap:
		b.t.Logf("the machine is too busy to ask for %d frames a second", leastRate)
	default:
		b.t.Errorf("only %.0f frames a second were sent", rate)
	}
	if total < sent/2 {
		b.t.Errorf("only %d packets were seen of %d", total, sent)
	}
	for _, p := range versions(always, times) {
		if got := b.seen(p) - counts[p.Name]; got != total {
			b.t.Errorf("%d programs: %s has seen %d packets, those that take turns %d", size, p.Name, got, total)
		}
	}
	b.make(set())
}

// versions gives the first program another version at every second step: a map
// of it has another size, and the one that counts is taken over.
func versions(all []resource.Program, i int) []resource.Program {
	out := slices.Clone(all)
	if len(out) > 0 && i%4 > 1 {
		out[0].Version = "v2"
		out[0].Maps = []resource.MapSettings{{Name: "settings_of_the_program", MaxEntries: 65}}
	}
	return out
}

func (b *bench) total(all []resource.Program) uint64 {
	n := uint64(0)
	for _, p := range all {
		n += b.seen(p)
	}
	return n
}
