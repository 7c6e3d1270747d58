package health

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// backends are targets in memory: what each answers, and when it was asked.
type backends struct {
	begin time.Time

	mu      sync.Mutex
	answer  func(address netip.Addr, n int) error // n: how often it was asked before
	asked   map[netip.Addr][]time.Duration
	probed  map[Code]int
	turned  []string
	now     int // being asked
	most    int
	waiting func(ctx context.Context) // instead of an answer at once
}

func (b *backends) prepare(address netip.Addr, _ Check, _ *pingers) probe {
	return func(ctx context.Context, deadline time.Time) error {
		b.mu.Lock()
		n := len(b.asked[address])
		b.asked[address] = append(b.asked[address], time.Since(b.begin))
		b.now++
		b.most = max(b.most, b.now)
		wait, answer := b.waiting, b.answer
		b.mu.Unlock()
		if wait != nil {
			wait(ctx)
		}
		b.mu.Lock()
		b.now--
		b.mu.Unlock()
		return answer(address, n)
	}
}

// hang makes them answer nothing from now on.
func (b *backends) hang() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waiting = func(ctx context.Context) { <-ctx.Done() }
	b.answer = scripted("-")
}

func (b *backends) Probed(_ Type, c Code, _ time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.probed[c]++
}

func (b *backends) Turned(id string, from, to State) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.turned = append(b.turned, fmt.Sprintf("%s %v>%v", id, from, to))
}

// times is when a target was asked, in milliseconds.
func (b *backends) times(address netip.Addr) (at []int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, d := range b.asked[address] {
		at = append(at, int(d/time.Millisecond))
	}
	return at
}

// scripted answers + as a success, - as a failure and ? as a fault of this host,
// and the last one for ever.
func scripted(script string) func(netip.Addr, int) error {
	return func(_ netip.Addr, n int) error {
		switch script[min(n, len(script)-1)] {
		case '-':
			return &failure{Refused, errors.New("no")}
		case '?':
			return local(errors.New("no socket"))
		}
		return nil
	}
}

// watch runs a Monitor of backends in memory, in a time of its own, and ends it
// after f.
func watch(t *testing.T, c Config, f func(*Monitor, *backends)) {
	synctest.Test(t, func(t *testing.T) {
		b := &backends{begin: time.Now(), answer: scripted("+"), asked: make(map[netip.Addr][]time.Duration), probed: make(map[Code]int)}
		c.Observer = b
		m := New(c)
		m.prepare = b.prepare
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- m.Run(ctx) }()
		f(m, b)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// pass lets time pass, and all that happens meanwhile happen.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func host(i int) netip.Addr { return netip.AddrFrom4([4]byte{192, 0, byte(i / 250), byte(i%250 + 1)}) }

var timed = Check{Type: TCP, Port: 80, Interval: calm, FastInterval: fast, DownInterval: down}

func many(n int, c Check) (all []Target) {
	for i := range n {
		all = append(all, Target{ID: fmt.Sprintf("web%04d", i), Address: host(i), Check: c})
	}
	return all
}

func one(t *testing.T, m *Monitor) Status {
	t.Helper()
	all := m.Snapshot()
	if len(all) != 1 {
		t.Fatalf("%d targets, want 1", len(all))
	}
	return all[0]
}
