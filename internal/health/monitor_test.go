package health

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestStates(t *testing.T) {
	watch(t, Config{}, func(m *Monitor, b *backends) {
		b.answer = scripted("++----++")
		m.Set(many(1, timed))
		pass(time.Millisecond)
		s := one(t, m)
		if s.State != Up || s.Last.Code != OK || s.Since.Mono != 0 {
			t.Errorf("after the first probe: %+v", s)
		}
		pass(5 * time.Second) // failures at 4.0, 4.5 and 5.0 s
		s = one(t, m)
		wall := b.begin.Add(5 * time.Second)
		if s.State != Down || s.Last.Code != Refused || s.Last.Detail != "no" || s.Since.Mono != 5*time.Second || !s.Since.Wall.Equal(wall) {
			t.Errorf("after three failures: %+v", s)
		}
		pass(10500 * time.Millisecond)
		if s = one(t, m); s.State != Up || s.Since.Mono != 15500*time.Millisecond {
			t.Errorf("after two successes: %+v", s)
		}
		want := []string{"web0000 unknown>up", "web0000 up>down", "web0000 down>up"}
		if !slices.Equal(b.turned, want) || len(s.History) != 3 || s.History[1].To != Down || s.History[1].Code != Refused {
			t.Errorf("turned %v, history %+v", b.turned, s.History)
		}
		if b.probed[OK] != 4 || b.probed[Refused] != 4 {
			t.Errorf("observed %v", b.probed)
		}
	})
}

func TestStateBeforeTheFirstProbe(t *testing.T) {
	m := New(Config{})
	m.Set(many(1, timed))
	s := one(t, m)
	if s.State != Unknown || s.Last != (Result{}) || s.History != nil || s.ID != "web0000" || s.Address != host(0) || s.Type != TCP {
		t.Errorf("%+v", s)
	}
}

// A state that others remember is as firm as one that was found out here: one
// lost probe after a restart takes nobody out.
func TestARememberedStateIsFirm(t *testing.T) {
	for was, script := range map[State]string{Up: "--", Down: "+"} {
		watch(t, Config{}, func(m *Monitor, b *backends) {
			b.answer = scripted(script + "?")
			targets := many(1, timed)
			targets[0].Was = was
			m.Set(targets)
			pass(time.Minute)
			if s := one(t, m); s.State != was || len(b.turned) > 0 {
				t.Errorf("was %v, is %v after %q: %v", was, s.State, script, b.turned)
			}
			targets[0].Was = Unknown
			before := len(b.asked[targets[0].Address])
			m.Set(targets)
			pass(time.Millisecond)
			if got := len(b.asked[targets[0].Address]); got != before {
				t.Error("what is remembered disturbs a target that is the same")
			}
		})
	}
}

// A host that cannot ask takes nobody out, for however long.
func TestFaultsOfThisHostChangeNothing(t *testing.T) {
	for script, state := range map[string]State{"+?": Up, "-?": Down, "?": Unknown} {
		watch(t, Config{}, func(m *Monitor, b *backends) {
			b.answer = scripted(script)
			m.Set(many(1, timed))
			pass(time.Hour)
			if s := one(t, m); s.State != state || s.Last.Code != Local || s.Last.Detail != "no socket" {
				t.Errorf("after %q for an hour: %v, %+v", script, s.State, s.Last)
			}
		})
	}
}

// Who is woken long after the time was up cannot tell what came meanwhile.
func TestABusyHostTakesNobodyOut(t *testing.T) {
	for takes, want := range map[time.Duration]Code{
		2000 * time.Millisecond: Timeout,
		2500 * time.Millisecond: Timeout,
		2501 * time.Millisecond: Local,
	} {
		watch(t, Config{}, func(m *Monitor, b *backends) {
			b.waiting = func(context.Context) { time.Sleep(takes) }
			b.answer = func(netip.Addr, int) error { return fmt.Errorf("read: %w", os.ErrDeadlineExceeded) }
			m.Set(many(1, timed))
			pass(takes)
			if s := one(t, m); s.Last.Code != want || (s.State == Down) != (want == Timeout) {
				t.Errorf("after %v: %v, %+v", takes, s.State, s.Last)
			}
		})
	}
}

func TestSettingTheSameDisturbsNothing(t *testing.T) {
	var plain []int
	for _, again := range []bool{false, true} {
		watch(t, Config{}, func(m *Monitor, b *backends) {
			b.answer = scripted("++-+---+-++")
			b.waiting = func(context.Context) { time.Sleep(30 * time.Millisecond) }
			m.Set(many(1, timed))
			for i := range 3000 {
				if pass(10 * time.Millisecond); again {
					m.Set(many(1+i%3, timed)) // others come and go
				}
			}
			if got := b.times(host(0)); !again {
				plain = got
			} else if !slices.Equal(got, plain) {
				t.Errorf("asked at %v, undisturbed at %v", got, plain)
			}
			for _, s := range m.Snapshot() {
				if s.ID == "web0000" && len(s.History) != 3 {
					t.Errorf("history %v", s.History)
				}
			}
		})
	}
}

func TestAnotherCheckKeepsTheState(t *testing.T) {
	for script, want := range map[string]State{"+": Up, "+-": Up, "-": Down, "?": Unknown} {
		watch(t, Config{}, func(m *Monitor, b *backends) {
			b.answer = scripted(script)
			m.Set(many(1, timed))
			pass(2100 * time.Millisecond)
			before := one(t, m)
			other := timed
			other.Type, other.Fall, other.Rise = HTTP, 7, 5
			b.hang()
			m.Set(many(1, other))
			s := one(t, m)
			if s.State != want || s.Since != before.Since || len(s.History) != len(before.History) || s.Last != before.Last {
				t.Errorf("%q: before %+v, after %+v", script, before, s)
			}
			if s.Type != HTTP || s.Counter.Top() != 11 {
				t.Errorf("%q: it is not the new check: %+v", script, s)
			}
		})
	}
}

// Failures of the new check do take down, and no sooner than it says.
func TestAnotherCheckIsHeard(t *testing.T) {
	watch(t, Config{}, func(m *Monitor, b *backends) {
		m.Set(many(1, timed))
		pass(time.Millisecond)
		b.mu.Lock()
		b.answer = scripted("-")
		b.mu.Unlock()
		other := timed
		other.Port = 81
		m.Set(many(1, other))
		pass(900 * time.Millisecond) // two failures
		if s := one(t, m); s.State != Up {
			t.Errorf("after two failures: %+v", s)
		}
		pass(200 * time.Millisecond) // three
		if s := one(t, m); s.State != Down {
			t.Errorf("after three failures: %+v", s)
		}
	})
}

func TestAnotherAddressBeginsAnew(t *testing.T) {
	watch(t, Config{}, func(m *Monitor, b *backends) {
		m.Set(many(1, timed))
		pass(time.Second)
		moved := many(1, timed)
		moved[0].Address = host(7)
		b.hang()
		m.Set(moved)
		if s := one(t, m); s.State != Unknown || s.Since.Mono != time.Second || s.History != nil || s.Last != (Result{}) || s.Address != host(7) {
			t.Errorf("%+v", s)
		}
		pass(time.Minute)
		if got := b.times(host(0)); len(got) != 1 {
			t.Errorf("the former address is asked at %v", got)
		}
	})
}

func TestRemovalEndsAProbeOnItsWay(t *testing.T) {
	watch(t, Config{}, func(m *Monitor, b *backends) {
		var ended time.Duration
		b.waiting = func(ctx context.Context) {
			<-ctx.Done()
			ended = time.Since(b.begin)
		}
		m.Set(many(1, timed))
		pass(100 * time.Millisecond)
		before := runtime.NumGoroutine()
		m.Set(nil)
		synctest.Wait()
		if ended != 100*time.Millisecond || runtime.NumGoroutine() != before-1 {
			t.Errorf("the probe ended at %v; %d goroutines before, %d now", ended, before, runtime.NumGoroutine())
		}
		pass(time.Minute)
		if len(b.probed)+len(b.turned)+len(m.Snapshot()) != 0 || len(b.times(host(0))) != 1 {
			t.Errorf("observed %v %v, asked at %v", b.probed, b.turned, b.times(host(0)))
		}
	})
}

func TestProbesAtOnceAreBounded(t *testing.T) {
	watch(t, Config{Parallel: 10}, func(m *Monitor, b *backends) {
		b.waiting = func(context.Context) { time.Sleep(time.Second) }
		m.Set(many(100, timed))
		pass(9900 * time.Millisecond)
		b.mu.Lock()
		if b.most != 10 {
			t.Errorf("%d at once, want 10", b.most)
		}
		b.mu.Unlock()
		pass(1200 * time.Millisecond)
		for i := range 100 {
			if len(b.times(host(i))) == 0 {
				t.Errorf("target %d was never asked", i)
			}
		}
		for _, s := range m.Snapshot() {
			if s.Last.Duration != time.Second { // waiting for its turn is not the target's doing
				t.Errorf("%s took %v", s.ID, s.Last.Duration)
			}
		}
	})
}

func TestChangesAreCoalesced(t *testing.T) {
	watch(t, Config{}, func(m *Monitor, b *backends) {
		m.Set(many(1000, timed))
		pass(2 * time.Second)
		if len(m.Changed()) != 1 || len(b.turned) != 1000 {
			t.Errorf("%d values for %d changes", len(m.Changed()), len(b.turned))
		}
		<-m.Changed()
		pass(5 * time.Second)
		if len(m.Changed()) != 0 {
			t.Error("a value for no change")
		}
	})
}

// However long they flap, the work is what the intervals say, and no more.
func TestAThousandFlap(t *testing.T) {
	quick := timed
	quick.Rise, quick.Fall = 1, 1
	watch(t, Config{}, func(m *Monitor, b *backends) {
		b.answer = func(_ netip.Addr, n int) error { return scripted("+-")(netip.Addr{}, n%2) }
		m.Set(many(1000, quick))
		pass(10 * time.Second)
		before, old := runtime.NumGoroutine(), m.Snapshot()
		kept := slices.Clone(old[0].History)
		pass(time.Minute)
		if n := runtime.NumGoroutine(); n > before {
			t.Errorf("%d goroutines before, %d now", before, n)
		}
		asked := 0
		for i := range 1000 {
			asked += len(b.times(host(i)))
		}
		if most := 1000 * int(70*time.Second/((calm+down)/2)+2); asked > most || len(b.turned) != asked {
			t.Errorf("asked %d times, want at most %d, and turned %d times", asked, most, len(b.turned))
		}
		for _, s := range m.Snapshot() {
			if len(s.History) != maxHistory || s.History[maxHistory-1].At != s.Since {
				t.Fatalf("history of %s: %d, the last at %v, since %v", s.ID, len(s.History), s.History[len(s.History)-1].At, s.Since)
			}
		}
		if !slices.Equal(old[0].History, kept) {
			t.Error("a snapshot has changed")
		}
	})
}

func TestTheTimeOfDayDecidesNothing(t *testing.T) {
	var plain []int
	for _, jump := range []time.Duration{0, 1000 * time.Hour, -100000 * time.Hour} {
		var set atomic.Int64
		wall := func() time.Time { return time.Now().Add(time.Duration(set.Load())).Round(0) }
		watch(t, Config{Wall: wall}, func(m *Monitor, b *backends) {
			b.answer = scripted("++--+---+++")
			m.Set(many(1, timed))
			pass(4 * time.Second)
			set.Store(int64(jump))
			pass(26 * time.Second)
			if jump == 0 {
				plain = b.times(host(0))
			} else if got := b.times(host(0)); !slices.Equal(got, plain) {
				t.Errorf("with a jump of %v asked at %v, else at %v", jump, got, plain)
			}
			s := one(t, m)
			if s.State != Up || s.Since.Mono != s.History[2].At.Mono || !s.Since.Wall.Equal(b.begin.Add(s.Since.Mono).Add(jump)) {
				t.Errorf("%+v", s)
			}
		})
	}
}

func TestWhatWasKnownOutlivesRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &backends{begin: time.Now(), answer: scripted("+"), asked: make(map[netip.Addr][]time.Duration)}
		m := New(Config{})
		m.prepare = b.prepare
		m.Set(many(3, timed)) // before Run is as good
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, func() {
			b.hang()
		})
		time.AfterFunc(3*time.Second, cancel)
		if err := m.Run(ctx); err != nil {
			t.Error(err)
		}
		for _, s := range m.Snapshot() {
			if s.State != Up || s.Last.Code != OK {
				t.Errorf("%+v", s)
			}
		}
		m.Set(many(5, timed)) // and then nothing more is probed
		synctest.Wait()
	})
}

func TestPanicOfAProberIsRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := New(Config{})
		m.prepare = func(netip.Addr, Check, *pingers) probe {
			return func(context.Context, time.Time) error { panic("boom") }
		}
		m.Set(many(100, timed))
		defer func() {
			if v, _ := recover().(string); !strings.HasPrefix(v, "boom") || !strings.Contains(v, "TestPanicOfAProberIsRuns") {
				t.Errorf("Run panics with %q", v)
			}
		}()
		m.Run(t.Context())
		t.Error("Run returns")
	})
}
