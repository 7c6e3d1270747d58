package netlink

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"reconciler/internal/observed"
	"reconciler/internal/resource"
)

// heard collects what a Watch tells.
type heard struct {
	sync.Mutex
	keys map[resource.Key]bool
	all  int
	news chan struct{}
	hold chan struct{} // while open, the read loop waits
}

func (h *heard) changed(keys ...resource.Key) {
	<-h.hold
	h.Lock()
	defer h.Unlock()
	if len(keys) == 0 {
		h.all++
	}
	for _, k := range keys {
		h.keys[k] = true
	}
	select {
	case h.news <- struct{}{}:
	default:
	}
}

func (h *heard) wait(t *testing.T, what string, ok func() bool) {
	t.Helper()
	end := time.After(5 * time.Second)
	for {
		h.Lock()
		done := ok()
		h.Unlock()
		if done {
			return
		}
		select {
		case <-h.news:
		case <-end:
			t.Fatalf("did not hear of %s within 5 s; heard %v", what, h.keys)
		}
	}
}

// watching starts a Watch that ends with the test.
func (b *bench) watching() *heard {
	h := &heard{keys: map[resource.Key]bool{}, news: make(chan struct{}, 1), hold: make(chan struct{})}
	close(h.hold)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.Watch(ctx, h.changed) }()
	b.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			b.t.Errorf("a cancelled watch returns %v", err)
		}
	})
	return h
}

func TestWatchHearsOfEachKind(t *testing.T) {
	b := newBench(t)
	ground(b)
	h := b.watching()
	// The watch begins when it hears of the first of these.
	for i := 0; i < 100 && len(h.seen()) == 0; i++ {
		b.IP("link", "add", fmt.Sprintf("start%d", i), "type", "bridge")
		time.Sleep(10 * time.Millisecond)
	}
	for _, c := range []struct {
		key resource.Key
		do  string
	}{
		{resource.LinkKey("n0"), "link add n0 type bridge"},
		{resource.AddressKey("n0", pfx("10.5.0.1/24")), "addr add 10.5.0.1/24 dev n0"},
		{resource.LinkKey("n0"), "link set n0 up"},
		{resource.PortKey("a0"), "link set a0 master n0"},
		{resource.RouteKey(pfx("192.0.2.0/24"), 254, 0), "route add 192.0.2.0/24 dev n0"},
		{resource.RouteKey(pfx("2001:db8:5::/48"), 254, 1024), "-6 route add 2001:db8:5::/48 dev b0"},
		{resource.RuleKey(resource.IPv4, 77), "rule add priority 77 lookup 7"},
		{resource.RuleKey(resource.IPv6, 78), "-6 rule add priority 78 lookup 7"},
		{resource.NeighbourKey("b0", ip("10.1.0.9")), "neigh add 10.1.0.9 lladdr 02:00:00:00:00:09 dev b0"},
		{resource.AddressKey("a0", pfx("2001:db8::1/64")), "addr del 2001:db8::1/64 dev a0"},
	} {
		h.forget()
		b.IP(strings.Fields(c.do)...)
		h.wait(t, c.do, func() bool { return h.keys[c.key] })
	}
}

// TestWatchHearsOfNeighbours removes and changes kept ones, which have failed by
// the time their event comes, and lets others go through their states.
func TestWatchHearsOfNeighbours(t *testing.T) {
	b := newBench(t)
	ground(b)
	b.IP(strings.Fields("neigh add 10.0.0.9 lladdr 02:00:00:00:00:09 dev a0 nud permanent")...) // before the watch
	h := b.watching()
	for i := 0; i < 100 && len(h.seen()) == 0; i++ {
		b.IP("link", "add", fmt.Sprintf("start%d", i), "type", "bridge")
		time.Sleep(10 * time.Millisecond)
	}
	for _, c := range []struct{ to, do string }{
		{"10.0.0.9", "neigh del 10.0.0.9 dev a0"},
		{"10.0.0.10", "neigh add 10.0.0.10 lladdr 02:00:00:00:00:0a dev a0 nud permanent"},
		{"10.0.0.10", "neigh change 10.0.0.10 lladdr 02:00:00:00:00:0a dev a0 nud stale"},
		{"2001:db8::9", "neigh add 2001:db8::9 lladdr 02:00:00:00:00:09 dev a0 nud permanent"},
		{"2001:db8::9", "neigh del 2001:db8::9 dev a0"},
	} {
		h.forget()
		b.IP(strings.Fields(c.do)...)
		h.wait(t, c.do, func() bool { return h.keys[resource.NeighbourKey("a0", ip(c.to))] })
	}

	h.forget()
	b.batch(`neigh change 10.0.0.10 lladdr 02:00:00:00:00:0a dev a0 nud reachable
neigh add 10.0.0.11 lladdr 02:00:00:00:00:0b dev a0 nud stale
neigh change 10.0.0.11 lladdr 02:00:00:00:00:0c dev a0 nud reachable
neigh del 10.0.0.11 dev a0
neigh add 10.0.0.12 dev a0 nud failed
neigh del 10.0.0.10 dev a0
link add last type bridge`)
	h.wait(t, "the link after them", func() bool { return h.keys[resource.LinkKey("last")] })
	for k := range h.seen() {
		if k.Kind == resource.KindNeighbour {
			t.Errorf("heard of %s, which was never kept", k)
		}
	}
}

func (h *heard) forget() {
	h.Lock()
	defer h.Unlock()
	clear(h.keys)
}

func (h *heard) seen() map[resource.Key]bool {
	h.Lock()
	defer h.Unlock()
	out := map[resource.Key]bool{}
	for k := range h.keys {
		out[k] = true
	}
	return out
}

func TestWatchSurvivesAnOverrun(t *testing.T) {
	b := newBench(t)
	ground(b)
	h := &heard{keys: map[resource.Key]bool{}, news: make(chan struct{}, 1), hold: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- b.Watch(ctx, h.changed) }()
	// While the first report waits, more events come than the buffer holds.
	time.Sleep(100 * time.Millisecond)
	b.IP("link", "add", "start", "type", "bridge")
	time.Sleep(50 * time.Millisecond)
	b.many(30000)
	close(h.hold)
	h.wait(t, "lost events", func() bool { return h.all > 0 })
	for quiet := false; !quiet; { // what is still in the buffer comes first
		select {
		case <-h.news:
		case <-time.After(200 * time.Millisecond):
			quiet = true
		}
	}
	b.IP("route", "add", "198.51.100.0/24", "via", "10.0.0.254")
	key := resource.RouteKey(pfx("198.51.100.0/24"), 254, 0)
	h.wait(t, "a route after the overrun", func() bool { return h.keys[key] })
	cancel()
	if err := <-done; err != nil {
		t.Errorf("a cancelled watch returns %v", err)
	}
}

func TestNamespaceGone(t *testing.T) {
	b := newBench(t)
	b.Remove()
	if _, err := b.Observe(context.Background(), observed.Query{}); !errors.Is(err, ErrGone) {
		t.Errorf("without its namespace Observe returns %v", err)
	}
	if _, err := Open(Config{Netns: b.Path()}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("opening it returns %v", err)
	}
}

func TestCancelledCallsSaySoAndLeaveTheDriverUsable(t *testing.T) {
	b := newBench(t)
	ground(b)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := b.Observe(ctx, observed.Query{}); !errors.Is(err, context.Canceled) {
		t.Errorf("Observe returns %v", err)
	}
	ops := manyRoutes(10)
	for _, err := range b.Apply(ctx, ops) {
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("Apply returns %v", err)
		}
	}
	b.do(ops...)
	b.isSo(ops[3].To)
}

func TestBlindIsNotEmpty(t *testing.T) {
	b := newBench(t)
	ground(b)
	s := resource.Sysctl{Path: "net/ipv4/ip_forward", Value: "1"}
	b.do(update(s, s))
	if err := os.WriteFile(b.cfg.State+"/"+recordName, []byte("{half"), 0o600); err != nil {
		t.Fatal(err)
	}
	have, err := b.Observe(context.Background(), observed.Query{})
	if err != nil {
		t.Fatal(err)
	}
	if _, blind := have.IsBlind(s); !blind {
		t.Errorf("a damaged record leaves %v not blind: %v", s, have.Blind)
	}
	if _, blind := have.IsBlind(addr("a0", "10.0.0.1/24")); blind || !have.Objects.Has(addr("a0", "10.0.0.1/24").Key()) {
		t.Error("what can be read is blind too")
	}
}

func TestInterruptedDumpsAreReadAgain(t *testing.T) {
	b := newBench(t)
	const n = 200
	var makes []string
	for i := range n {
		makes = append(makes, fmt.Sprintf("link add k%d type bridge", i))
	}
	b.batch(strings.Join(makes, "\n"))
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
				b.TryIP("link", "add", "churn", "type", "bridge")
				b.TryIP("link", "del", "churn")
			}
		}
	}()
	for range 60 {
		have := b.look(observed.Query{})
		for i := range n {
			if !have.Objects.Has(resource.LinkKey(fmt.Sprintf("k%d", i))) {
				t.Errorf("k%d is missing from a dump", i)
			}
		}
	}
	close(stop)
	<-done
}
