package engine

import (
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"reconciler/internal/resource"
)

func TestRepairsDrift(t *testing.T) {
	for name, told := range map[string]bool{"event": true, "resync": false} {
		t.Run(name, func(t *testing.T) {
			inForce(t, func(t *testing.T, r *rig) {
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
	inForce(t, func(t *testing.T, r *rig) {
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

// TestStartIsNoDrift is a host that was changed while no daemon ran: the first
// apply of the next one is none of the repairs that metrics count.
func TestStartIsNoDrift(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.start()
		r.push("rev-one", oneAddress)
		r.wait(time.Minute)
		r.end()
		r.host.remove(first, false)
		r.start()
		r.has(first)
		r.inSync("rev-one")
		if got := r.metric("drift_total"); got != 0 {
			t.Errorf("drift_total is %v after a start", got)
		}
		if last := r.engine.History()[0]; last.Drift || last.Cause != CauseStart {
			t.Errorf("last entry %+v, want an apply of the start", last)
		}
		r.host.remove(first, true)
		r.wait(time.Second)
		r.has(first)
		if got := r.metric("drift_total"); got != 1 {
			t.Errorf("drift_total is %v, want 1", got)
		}
	})
}

func TestTwoManagers(t *testing.T) {
	inForce(t, func(t *testing.T, r *rig) {
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

func TestLostEventsAreAnswered(t *testing.T) {
	inForce(t, func(t *testing.T, r *rig) {
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
	inForce(t, func(t *testing.T, r *rig) {
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
