package engine

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestRollbackIsAPinWithADeadline(t *testing.T) {
	inForce(t, func(t *testing.T, r *rig) {
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
	inForce(t, func(t *testing.T, r *rig) {
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
