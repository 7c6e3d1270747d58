package engine

import (
	"errors"
	"testing"
	"time"

	"reconciler/internal/diff"
	"reconciler/internal/resource"
	"reconciler/internal/source"
)

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
