package engine

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"reconciler/internal/diff"
	"reconciler/internal/driver"
	"reconciler/internal/resource"
)

// made is a dataplane whose links are made of what has to be fetched: those
// whose names begin with f. A server may stall or fail.
type made struct {
	*host
	mu       sync.Mutex
	have     map[string]bool
	why      string // the last failure
	stall    map[string]bool
	fault    error
	tries    int
	forgiven int
}

func (m *made) Forgive() { m.set(func() { m.forgiven++ }) }

func newMade(h *host) *made { return &made{host: h, have: map[string]bool{}, stall: map[string]bool{}} }

func (m *made) needs(o resource.Object) (string, bool) {
	l, ok := o.Resource.(resource.Link)
	return l.Name, ok && strings.HasPrefix(l.Name, "f")
}

// Fetch stalls until its context ends where the test says so.
func (m *made) Fetch(ctx context.Context, want *resource.Set) error {
	for _, o := range want.All() {
		name, ok := m.needs(o)
		if !ok {
			continue
		}
		m.mu.Lock()
		m.tries++
		stall, fault := m.stall[name], m.fault
		m.mu.Unlock()
		if stall {
			<-ctx.Done()
			return context.Cause(ctx)
		}
		if fault != nil {
			m.set(func() { m.why = fault.Error() })
			return fault
		}
		m.mu.Lock()
		m.have[name] = true
		m.mu.Unlock()
	}
	return nil
}

func (m *made) Resolve(_ context.Context, want *resource.Set) (*resource.Set, []diff.Note) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var notes []diff.Note
	for _, o := range want.All() {
		if name, ok := m.needs(o); ok && !m.have[name] {
			notes = append(notes, diff.Note{Code: diff.NotReady, Key: o.Key(), Text: "not fetched: " + m.why})
		}
	}
	return want, notes
}

func (m *made) tried() (n int) {
	m.set(func() { n = m.tries })
	return n
}

func (m *made) set(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f()
}

const (
	plainTree = "interfaces:\n  d0: {kind: bridge}\n"
	madeTree  = plainTree + "  f0: {kind: bridge}\n"
	otherTree = plainTree + "  f1: {kind: bridge}\n"
)

// TestStalledFetch is that a server which stalls holds up neither the repair of
// drift nor another revision, and that what is no longer asked for is no fault.
func TestStalledFetch(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		m := newMade(r.host)
		m.stall["f0"] = true
		r.drivers = []driver.Driver{m}
		r.start()
		r.push("r1", plainTree)
		r.wait(time.Minute)
		r.inSync("r1")
		r.push("r2", madeTree)
		r.wait(time.Minute)
		r.raised(CondFetching)
		r.host.remove(resource.LinkKey("d0"), true)
		r.wait(2 * time.Second)
		r.has(resource.LinkKey("d0"))
		r.hasNot(resource.LinkKey("f0"))
		r.push("r3", otherTree)
		r.wait(2 * time.Second)
		r.has(resource.LinkKey("f1"))
		r.wait(time.Minute)
		r.cleared(CondFetching)
	})
}

// TestFailedFetch is that a failure is told and tried again, less and less
// often, and over with the revision that it is of.
func TestFailedFetch(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		m := newMade(r.host)
		m.fault = errors.New("404 Not Found")
		r.drivers = []driver.Driver{m}
		r.start()
		r.push("r1", plainTree)
		r.wait(time.Minute)
		r.push("r2", madeTree)
		r.wait(10 * time.Minute)
		if c := r.raised(CondFetching); !strings.Contains(c.Message, "404") {
			t.Errorf("the condition says %q", c.Message)
		}
		if m.tried() < 5 || m.tried() > 15 {
			t.Errorf("%d tries within 10 minutes", m.tried())
		}
		before := m.tried()
		for m.set(func() { m.fault = errors.New("410 Gone") }); m.tried() == before; {
			r.wait(time.Second)
		}
		if c := r.raised(CondNotReady); !strings.Contains(c.Message, "410") {
			t.Errorf("after another failure the condition says %q", c.Message)
		}
		r.push("r3", plainTree)
		r.wait(time.Minute)
		r.cleared(CondFetching)
		before = m.tried()
		r.wait(10 * time.Minute)
		if m.tried() != before {
			t.Error("what is not asked for any more is tried again")
		}
		r.push("r4", madeTree)
		r.wait(time.Second)
		m.set(func() { m.fault = nil })
		r.wait(5 * time.Minute)
		r.has(resource.LinkKey("f0"))
		r.cleared(CondFetching)
	})
}

// TestRetryFetch is that who says retry waits for no next try, that a driver is
// asked to forgive, and that the same failure is told once.
func TestRetryFetch(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		m := newMade(r.host)
		m.fault = errors.New("unfit")
		r.drivers = []driver.Driver{m}
		r.start()
		r.push("r1", madeTree)
		r.wait(10 * time.Minute)
		r.raised(CondFetching)
		if told := eventText(r, EventFailed); told != "unfit" {
			t.Errorf("told: %q", told)
		}
		m.set(func() { m.fault = nil })
		if _, err := r.engine.Retry(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.wait(time.Second)
		r.has(resource.LinkKey("f0"))
		r.cleared(CondFetching)
		if m.forgiven != 1 {
			t.Errorf("forgiven %d times", m.forgiven)
		}
	})
}

// TestFetchAfterFailure is that a revision whose objects cannot be had, and that
// is tried again and again, does not keep a newer one from being fetched.
func TestFetchAfterFailure(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		m := newMade(r.host)
		m.fault = errors.New("404 Not Found")
		r.drivers = []driver.Driver{m}
		r.start()
		r.push("r1", madeTree)
		r.wait(time.Minute)
		m.set(func() { m.fault = nil; m.stall["f0"] = true })
		r.push("r2", otherTree)
		r.wait(2 * time.Second)
		r.has(resource.LinkKey("f1"))
		r.cleared(CondFetching)
	})
}
