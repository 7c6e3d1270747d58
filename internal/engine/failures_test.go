package engine

import (
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	"reconciler/internal/diff"
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
