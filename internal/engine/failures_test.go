package engine

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"reconciler/internal/diff"
	"reconciler/internal/resource"
)

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

// TestWhatWaitsForAFailureIsLeftAlone: a route is not tried without the address
// that makes its gateway reachable, though the plan without the address would.
func TestWhatWaitsForAFailureIsLeftAlone(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		route := resource.RouteKey(netip.MustParsePrefix("203.0.113.0/24"), resource.MainTable, 0)
		r.host.fail(func(op diff.Op) error {
			if op.Key == second {
				return errors.New("no buffer space")
			}
			if op.Key == route {
				t.Errorf("the route is tried %s after the start, without its address", time.Since(r.began))
				return syscall.ENETUNREACH
			}
			return nil
		})
		r.start()
		r.push("rev-two", twoAddresses+"routes: [{to: 203.0.113.0/24, via: 198.51.100.254, dev: eth0}]\n")
		r.has(first)
		r.wait(10 * time.Minute)
		if f := r.engine.Status().Failing; len(f) != 1 || f[0].Key != second {
			t.Errorf("failing %+v, want the address alone", f)
		}
		waits := func(n diff.Note) bool {
			return n.Code == diff.BackedOff && n.Key == route && strings.Contains(n.Text, "198.51.100.1/24")
		}
		if notes := r.engine.Status().Notes; !slices.ContainsFunc(notes, waits) {
			t.Errorf("notes %+v do not tell what the route waits for", notes)
		}
		r.host.fail(nil)
		r.wait(time.Minute)
		r.has(second)
		r.has(route)
		r.inSync("rev-two")
		if got := r.metric("drift_total"); got != 0 {
			t.Errorf("drift_total is %v: what came late is no drift", got)
		}
	})
}
