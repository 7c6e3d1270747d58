package engine

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"reconciler/internal/desired"
	"reconciler/internal/diff"
	"reconciler/internal/resource"
	"reconciler/internal/source"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The trees that the tests push.
const (
	oneAddress   = "interfaces: {eth0: {addresses: [192.0.2.1/24]}}\n"
	twoAddresses = "interfaces: {eth0: {addresses: [192.0.2.1/24, 198.51.100.1/24]}}\n"
	// What the language allows and a driver does not.
	refusedByDriver = "interfaces: {eth0: {mtu: 9001, addresses: [198.51.100.1/24]}}\n"

	withFault = "interfaces: {eth0: {addresses: [192.0.2.256/24]}}\n"
)

var (
	first  = resource.AddressKey("eth0", netip.MustParsePrefix("192.0.2.1/24"))
	second = resource.AddressKey("eth0", netip.MustParsePrefix("198.51.100.1/24"))
)

func TestAppliesAndAdopts(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.start()
		r.raised(CondNoTree)
		r.push("rev-one", oneAddress)
		r.has(first)
		r.inSync("rev-one")
		h := r.engine.History()
		if len(h) != 1 || h[0].Ops.Create != 1 || h[0].Outcome != OutcomeApplied || h[0].Confirmed != byNoProbe {
			t.Fatalf("history %+v, want one create, applied, final without a probe", h)
		}
		r.end()

		done := r.host.done()
		r.start()
		r.inSync("rev-one")
		if got := r.host.done(); got != done {
			t.Errorf("a restart changed %d things, want none", got-done)
		}
		if got := r.engine.History(); len(got) != 1 {
			t.Errorf("after a restart history has %d entries, want 1", len(got))
		}
	})
}

func TestRepairsDrift(t *testing.T) {
	for name, told := range map[string]bool{"event": true, "resync": false} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				r.start()
				r.push("rev-one", oneAddress)
				r.host.remove(first, told)
				r.hasNot(first)
				took := 2 * settle
				if !told {
					took = defaultResync
				}
				r.wait(took)
				r.has(first)
				r.inSync("rev-one")
				if got := r.metric("drift_total"); got != 1 {
					t.Errorf("drift_total is %v, want 1", got)
				}
				last := r.engine.History()[0]
				if !last.Drift || string(last.Cause) != name {
					t.Errorf("last entry %+v, want drift noticed by %s", last, name)
				}
				if !strings.Contains(eventText(r, EventDrift), "DRIFT since") {
					t.Errorf("events %q do not tell since when", eventText(r, EventDrift))
				}
			})
		})
	}
}

func TestBootIsNoDrift(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.start()
		r.push("rev-one", oneAddress)
		r.end()
		r.host, r.boot = newHost(), "boot-2"
		r.start() // no network, no source: the snapshot will do
		r.has(first)
		r.inSync("rev-one")
		if got := r.metric("drift_total"); got != 0 {
			t.Errorf("drift_total is %v after a boot", got)
		}
		r.wait(time.Minute)
		r.host.remove(first, true)
		r.wait(time.Second)
		r.has(first)
		if got := r.metric("drift_total"); got != 1 {
			t.Errorf("drift_total is %v, want 1", got)
		}
	})
}

func TestForeignIsLeftAlone(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		foreign := resource.Address{Link: "eth0", Prefix: netip.MustParsePrefix("203.0.113.9/24"), Scope: "global"}
		if err := r.host.fake.Create(foreign); err != nil {
			t.Fatal(err)
		}
		r.start()
		r.push("rev-one", oneAddress)
		r.push("rev-two", "interfaces: {eth0: {mtu: 1400}}\n")
		r.wait(time.Minute)
		r.has(foreign.Key())
	})
}

func TestBadCommitLeavesLastGood(t *testing.T) {
	for what, bad := range map[string]string{"language": withFault, "driver": refusedByDriver} {
		t.Run(what, func(t *testing.T) { badCommit(t, bad) })
	}
}

func badCommit(t *testing.T, bad string) {
	bubble(t, func(t *testing.T, r *rig) {
		r.start()
		r.push("rev-one", oneAddress)
		r.push("rev-bad", bad)
		c := r.raised(CondInvalid)
		if !strings.Contains(c.Message, "net.yaml:2:") {
			t.Errorf("condition %q does not say where", c.Message)
		}
		s := r.engine.Status()
		if s.InSync || s.Seen.Revision != "rev-bad" || s.Wanted.Revision != "rev-one" {
			t.Errorf("in sync %v, seen %s, wanted %s", s.InSync, s.Seen.Revision, s.Wanted.Revision)
		}
		r.host.remove(first, true)
		r.wait(time.Second)
		r.has(first)
		r.push("rev-two", twoAddresses)
		r.cleared(CondInvalid)
		r.inSync("rev-two")
	})
}

// unreachableWith is a probe that answers unless an object is on the host.
func (r *rig) unreachableWith(k resource.Key) Probe {
	return switchProbe{"source", func() bool {
		return !r.host.holds(k)
	}}
}

func TestConfirmedByProbes(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.settings.Confirm.Probes = []Probe{switchProbe{"source", func() bool { return true }}, switchProbe{"ping", func() bool { return false }}}
		r.start()
		r.push("rev-one", oneAddress)
		r.inSync("rev-one")
		if h := r.engine.History()[0]; h.Confirmed != byProbes {
			t.Errorf("final by %q, want probes", h.Confirmed)
		}
	})
}

func TestRevertsWhatCutsTheProbe(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.settings.Confirm = Confirm{Timeout: 10 * time.Second, Probes: []Probe{r.unreachableWith(second)}}
		r.start()
		r.push("rev-one", oneAddress)
		r.push("rev-two", twoAddresses)
		r.has(second)
		r.raised(CondUnconfirmed)
		if p := r.engine.Status().Pending; p == nil || p.Revision != "rev-two" || len(p.Probes) != 1 || p.Probes[0].OK {
			t.Fatalf("pending %+v", p)
		}
		r.host.remove(first, true) // drift goes on being repaired meanwhile
		r.wait(time.Second)
		r.has(first)
		r.wait(10 * time.Second)
		r.hasNot(second)
		r.has(first)
		r.raised(CondQuarantined)
		s := r.engine.Status()
		if s.Wanted.Revision != "rev-one" || s.InSync || s.Pending != nil {
			t.Errorf("wanted %s, in sync %v, pending %v", s.Wanted.Revision, s.InSync, s.Pending)
		}
		if got := r.metric("undo_total"); got != 1 {
			t.Errorf("undo_total is %v", got)
		}
		r.wait(time.Minute)
		r.hasNot(second)
		r.end()
		r.start() // a quarantine outlives the process
		r.push("rev-two", twoAddresses)
		r.hasNot(second)
		r.raised(CondQuarantined)

		if _, err := r.engine.Retry(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.hasNot(second) // tried, and undone again
		r.raised(CondQuarantined)
		r.push("rev-three", oneAddress)
		r.inSync("rev-three")
		r.cleared(CondQuarantined)
	})
}

func TestPersonConfirms(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.settings.Confirm.Probes = []Probe{r.unreachableWith(first)}
		r.start()
		r.push("rev-one", oneAddress)
		r.raised(CondUnconfirmed)
		if err := r.engine.Confirm(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.inSync("rev-one")
		if err := r.engine.Confirm(t.Context()); !errors.Is(err, ErrNothing) {
			t.Errorf("a second confirm says %v, want ErrNothing", err)
		}
		r.wait(2 * defaultConfirm)
		r.has(first)
	})
}

func TestGoesOnToWhatArrivedMeanwhile(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.settings.Confirm.Probes = []Probe{r.unreachableWith(first)}
		r.start()
		r.push("rev-one", oneAddress)
		r.push("rev-two", twoAddresses)
		r.hasNot(second) // one verdict at a time
		if got := r.engine.Status(); got.Wanted.Revision != "rev-one" || got.Seen.Revision != "rev-two" {
			t.Errorf("wanted %s, seen %s", got.Wanted.Revision, got.Seen.Revision)
		}
		if _, err := r.engine.Apply(t.Context(), source.Tree{Revision: "rev-three"}); !errors.Is(err, ErrBusy) {
			t.Errorf("an apply meanwhile says %v, want ErrBusy", err)
		}
		if err := r.engine.Confirm(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.wait(probePatience + time.Second)
		r.has(second)
		r.inSync("rev-two")
	})
}

// manyAddresses are 12 addresses on a link, and an MTU that changes.
func manyAddresses(n int) string {
	var b strings.Builder
	b.WriteString("interfaces:\n  eth0:\n    mtu: 1400\n    addresses:\n      - 192.0.2.1/24\n")
	for i := range n {
		b.WriteString("      - 10." + string(rune('0'+i/10)) + "." + string(rune('0'+i%10)) + ".1/24\n")
	}
	return b.String()
}

func TestHoldsAndApproves(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.start()
		r.push("rev-many", manyAddresses(20))
		r.push("rev-few-of-them", twoAddresses)
		r.has(second) // the rest goes on
		r.raised(CondHeld)
		if got := r.metric("held_deletions"); got != 20 {
			t.Errorf("%v deletions are held, want 20", got)
		}
		if _, err := r.engine.Approve(t.Context(), "another-revision"); !errors.Is(err, ErrUnknown) {
			t.Errorf("approval of another revision says %v", err)
		}
		p, err := r.engine.Approve(t.Context(), "rev-few")
		if err != nil || p.Ops.Delete != 20 || p.Outcome != OutcomeApplied {
			t.Fatalf("approve: %+v, %v", p, err)
		}
		r.cleared(CondHeld)
		r.inSync("rev-few-of-them")
		if s := r.engine.Status(); s.LastGood.Revision != "rev-few-of-them" {
			t.Errorf("last good is %s", s.LastGood.Revision)
		}
	})
}

func TestEmptyTreeIsHeld(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.start()
		r.push("rev-one", oneAddress)
		r.push("rev-empty", "")
		r.has(first)
		r.raised(CondHeld)
		r.wait(time.Hour) // looked at again and again, it says the same
		if c := r.raised(CondHeld); !strings.Contains(c.Message, "everything that is ours would go (1 objects)") {
			t.Errorf("the condition does not say what would go: %s", c.Message)
		}
	})
}

func TestRollbackIsAPinWithADeadline(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.start()
		r.push("rev-one", oneAddress)
		r.push("rev-two", twoAddresses)
		p, err := r.engine.Rollback(t.Context(), "", time.Hour)
		if err != nil || p.Outcome != OutcomeApplied || p.Revision != "rev-one" {
			t.Fatalf("roll back: %+v, %v", p, err)
		}
		r.hasNot(second)
		r.raised(CondPinned)
		r.push("rev-three", manyAddresses(3)) // does not move a pinned host
		if got := r.engine.Status(); got.Wanted.Revision != "rev-one" || got.Pin == nil || !got.InSync {
			t.Fatalf("wanted %s, pin %v, in sync %v", got.Wanted.Revision, got.Pin, got.InSync)
		}
		r.end()
		r.start() // a pin outlives the process
		r.raised(CondPinned)
		r.wait(time.Hour)
		r.cleared(CondPinned)
		r.inSync("rev-three")
		if _, err := r.engine.Rollback(t.Context(), "no-such-revision", time.Hour); !errors.Is(err, ErrUnknown) {
			t.Errorf("roll back to nowhere says %v", err)
		}
		if _, err := r.engine.Rollback(t.Context(), "", 2*MaxPin); !errors.Is(err, ErrRange) {
			t.Errorf("a pin for ever says %v", err)
		}
	})
}

func TestSuspends(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.start()
		r.push("rev-one", oneAddress)
		if err := r.engine.Suspend(t.Context(), time.Hour, "maintenance"); err != nil {
			t.Fatal(err)
		}
		r.host.remove(first, true)
		r.wait(10 * time.Minute)
		r.hasNot(first)
		if c := r.raised(CondSuspended); !strings.Contains(c.Message, "maintenance") {
			t.Errorf("condition %q does not say why", c.Message)
		}
		if r.engine.Status().InSync {
			t.Error("in sync with an address missing")
		}
		r.wait(time.Hour)
		r.has(first)
		r.cleared(CondSuspended)

		if err := r.engine.Suspend(t.Context(), time.Hour, ""); err != nil {
			t.Fatal(err)
		}
		if err := r.engine.Resume(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.cleared(CondSuspended)
		if err := r.engine.Resume(t.Context()); !errors.Is(err, ErrNothing) {
			t.Errorf("resume of nothing says %v", err)
		}
	})
}

func TestObserveModeNeverWrites(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.settings.Mode = ObserveOnly
		r.start()
		r.push("rev-one", oneAddress)
		r.wait(time.Minute)
		if got := r.host.done(); got != 0 {
			t.Fatalf("%d changes in observe mode", got)
		}
		p, err := r.engine.Sync(t.Context())
		if err != nil || p.Outcome != OutcomePlanned {
			t.Errorf("sync: %+v, %v", p, err)
		}
		plan, err := r.engine.Plan(t.Context())
		if err != nil || len(plan.Plan.Ops) != 1 {
			t.Errorf("plan %+v, %v, want one operation", plan.Plan, err)
		}
	})
}

func TestObserveModeUndoesNothing(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.settings.Confirm.Probes = []Probe{r.unreachableWith(first)}
		r.start()
		r.push("rev-one", oneAddress)
		r.raised(CondUnconfirmed)
		r.kill()
		r.settings.Mode = ObserveOnly
		r.start()
		r.has(first)
		r.raised(CondUnconfirmed)
		r.end()
		r.settings.Mode = Enforce
		r.start()
		r.hasNot(first)
		r.cleared(CondUnconfirmed)
	})
}

func TestBacksOffAndConverges(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		tries := 0
		r.host.fail(func(op diff.Op) error {
			if op.Key == second {
				tries++
				return errors.New("no buffer space")
			}
			return nil
		})
		r.start()
		r.push("rev-two", twoAddresses)
		r.has(first) // what is independent is done
		r.raised(CondFailing)
		r.wait(10 * time.Minute)
		if tries < 10 || tries > 40 {
			t.Errorf("%d tries in 10 minutes, want a back-off up to the resync of 30 s", tries)
		}
		f := r.engine.Status().Failing
		if len(f) != 1 || f[0].Key != second || !strings.Contains(f[0].Error, "no buffer space") {
			t.Errorf("failing %+v", f)
		}
		if s := r.engine.Status(); s.LastGood.Revision != "" {
			t.Errorf("%s is called good", s.LastGood.Revision)
		}
		r.host.fail(nil)
		r.wait(time.Minute)
		r.has(second)
		r.cleared(CondFailing)
		r.inSync("rev-two")
		if got := r.metric("drift_total"); got != 0 {
			t.Errorf("drift_total is %v: what came late is no drift", got)
		}
		if s := r.engine.Status(); s.LastGood.Revision != "rev-two" {
			t.Errorf("last good is %q", s.LastGood.Revision)
		}
	})
}

func TestNothingAppliedIsNotConfirmed(t *testing.T) {
	for _, off := range []bool{false, true} {
		bubble(t, func(t *testing.T, r *rig) {
			r.settings.Confirm.Off = off
			r.host.fail(func(diff.Op) error { return errors.New("no buffer space") })
			r.start()
			r.push("rev-one", oneAddress)
			r.raised(CondFailing)
			if got := r.metric("confirmed_total"); got != 0 {
				t.Errorf("confirmation off %v: %v applies are called confirmed, and none did anything", off, got)
			}
			r.host.fail(nil)
			r.wait(time.Minute)
			r.inSync("rev-one")
		})
	}
}

func TestFailureGoesWithItsKey(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.host.fail(func(op diff.Op) error {
			if op.Key == second {
				return errors.New("no buffer space")
			}
			return nil
		})
		r.start()
		r.push("rev-two", twoAddresses)
		r.wait(10 * time.Minute) // the next try is half a minute away
		since := r.raised(CondFailing).Since
		if d := time.Since(since); d < 9*time.Minute {
			t.Errorf("raised again %s ago, and it never stopped failing", d)
		}
		r.push("rev-one", oneAddress)
		r.cleared(CondFailing)
		r.inSync("rev-one")
		if s := r.engine.Status(); s.LastGood.Revision != "rev-one" {
			t.Errorf("last good is %q", s.LastGood.Revision)
		}
	})
}

func TestTwoManagers(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.start()
		r.push("rev-one", oneAddress)
		for range 5 {
			r.host.remove(first, true)
			r.wait(time.Second)
		}
		r.has(first)
		r.host.remove(first, true)
		r.wait(10 * time.Second)
		r.hasNot(first) // left to the other one
		c := r.raised(CondTwoManagers)
		if !strings.Contains(c.Message, "192.0.2.1/24") {
			t.Errorf("condition %q does not name the object", c.Message)
		}
		r.wait(2 * time.Minute)
		r.has(first)
		r.cleared(CondTwoManagers)
	})
}

func TestFullDiskHoldsChangesAndRepairs(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.settings.Confirm.Probes = []Probe{switchProbe{"source", func() bool { return true }}}
		r.start()
		r.push("rev-one", oneAddress)
		r.records.full(syscall.ENOSPC)
		r.push("rev-two", twoAddresses)
		r.hasNot(second) // there is no way back, so no way forward
		r.raised(CondStateDir)
		r.host.remove(first, true)
		r.wait(time.Second)
		r.has(first)
		if r.engine.Status().InSync {
			t.Error("in sync, and the newest revision is not applied")
		}
		r.records.full(nil)
		if p, err := r.engine.Sync(t.Context()); err != nil || p.Outcome != OutcomeApplied {
			t.Errorf("sync with room on the disk: %+v, %v", p, err)
		}
		r.inSync("rev-two")
		r.cleared(CondStateDir)
	})
}

func TestNoDeletionBeforeAllCouldBeRead(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.start()
		r.push("rev-one", oneAddress)
		r.host.mu.Lock()
		r.host.blind = "no permission"
		r.host.mu.Unlock()
		r.push("rev-two", "interfaces: {eth0: {mtu: 1400}}\n")
		r.has(first)
		r.raised(CondBlind)
		if r.engine.Status().InSync {
			t.Error("in sync, and nothing can be read")
		}
	})
}

func TestLostEventsAreAnswered(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.start()
		r.push("rev-one", oneAddress)
		r.host.remove(first, false)
		r.host.events <- nil
		r.wait(time.Second)
		r.has(first)
		if got := r.metric("events_overrun_total"); got != 1 {
			t.Errorf("events_overrun_total is %v", got)
		}
	})
}

func TestForeignRoutesDoNotWake(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.start()
		r.push("rev-one", oneAddress)
		before := r.metric("passes_total")
		for range 100 {
			r.host.events <- []resource.Key{resource.RouteKey(netip.MustParsePrefix("10.0.0.0/8"), 254, 20)}
			synctest.Wait()
		}
		r.wait(time.Second)
		if got := r.metric("passes_total"); got != before {
			t.Errorf("%v passes for somebody else's routes", got-before)
		}
	})
}

func TestLabelsThatDifferRefuseTheTree(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.settings.Labels = map[string]string{"role": "lb"}
		r.start()
		r.push("rev-fleet", "fleet: {edge1: {role: edge}}\nlayers: [\"roles/{role}\"]\n")
		r.raised(CondInvalid)
		if got := r.host.done(); got != 0 {
			t.Errorf("%d changes", got)
		}
	})
}

func TestRescueAlone(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.settings.Rescue = &desired.File{Path: "/etc/reconciler/rescue.yaml", Content: []byte("version: 1\n" + oneAddress)}
		r.start()
		r.has(first)
		if c := r.raised(CondNoTree); c.Reason != "Rescue" {
			t.Errorf("condition %+v", c)
		}
	})
}

func TestUnsupportedIsTold(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.start()
		r.push("rev-fdb", "interfaces: {eth0: {addresses: [192.0.2.1/24], offload: {gro: false}}}\n")
		r.has(first)
		r.raised(CondUnsupported)
		if r.engine.Status().InSync {
			t.Error("in sync, and something cannot be applied")
		}
	})
}

func TestSourceHealth(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.start()
		r.push("rev-one", oneAddress)
		r.feed.health <- errors.New("unreachable: connection refused")
		synctest.Wait()
		r.raised(CondSource)
		r.has(first)
		r.inSync("rev-one") // as was last declared
		r.feed.health <- nil
		synctest.Wait()
		r.cleared(CondSource)
		if got := r.metric("source_healthy"); got != 1 {
			t.Errorf("source_healthy is %v", got)
		}
	})
}

// TestSourceRefused: what is newer and cannot be used keeps a pipeline from
// being told that all is done.
func TestSourceRefused(t *testing.T) {
	for _, why := range []error{source.ErrRewritten, source.ErrEmpty, source.ErrTooLarge, source.ErrUnreadable} {
		bubble(t, func(t *testing.T, r *rig) {
			r.start()
			r.push("rev-one", oneAddress)
			r.inSync("rev-one")
			r.feed.health <- fmt.Errorf("take commit rev-two: %w", why)
			synctest.Wait()
			r.raised(CondSource)
			r.has(first)
			if r.engine.Status().InSync {
				t.Errorf("in sync, and the newest is %v", why)
			}
			r.feed.health <- nil
			synctest.Wait()
			r.inSync("rev-one")
		})
	}
}

func TestNamespaceGoneAndReplaced(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var became atomic.Pointer[error]
		r.namespace = func() error {
			if err := became.Load(); err != nil {
				return *err
			}
			return nil
		}
		r.start()
		r.push("rev-one", oneAddress)
		gone := fmt.Errorf("%w: a test", ErrNamespaceGone)
		became.Store(&gone)
		r.wait(time.Minute)
		r.raised(CondNamespace)
		r.host.remove(first, true)
		r.wait(time.Minute)
		r.hasNot(first)
		if r.engine.Status().InSync {
			t.Error("in sync in a namespace that is gone")
		}
		replaced := fmt.Errorf("%w: a test", ErrNamespaceReplaced)
		became.Store(&replaced)
		r.wait(time.Minute)
		stop := r.stop
		r.stop = nil
		if err := stop(); !errors.Is(err, ErrNamespaceReplaced) {
			t.Errorf("run ended with %v", err)
		}
	})
}

func TestPanicIsAnError(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.start()
		r.host.fail(func(diff.Op) error { panic("boom") })
		r.push("rev-one", oneAddress)
		err := r.stop()
		r.stop = nil
		var p *PanicError
		if !errors.As(err, &p) || p.Task != "loop" || p.Value != "boom" {
			t.Fatalf("run: %v, want the panic of the loop", err)
		}
		if _, err := r.engine.Sync(context.Background()); !errors.Is(err, ErrStopped) {
			t.Errorf("sync after the end says %v", err)
		}
	})
}

func eventText(r *rig, of EventType) string {
	ctx, cancel := context.WithCancel(r.t.Context())
	var out []string
	stream := r.engine.Events(ctx, 0)
	synctest.Wait()
	for {
		select {
		case e := <-stream:
			if e.Type == of {
				out = append(out, e.Message)
			}
			synctest.Wait()
			continue
		default:
		}
		cancel()
		for range stream {
		}
		return strings.Join(out, "\n")
	}
}
