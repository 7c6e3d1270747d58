package engine

import (
	"errors"
	"strings"
	"testing"
	"time"
)

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
	inForce(t, func(t *testing.T, r *rig) {
		r.push("rev-empty", "")
		r.has(first)
		r.raised(CondHeld)
		r.wait(time.Hour) // looked at again and again, it says the same
		if c := r.raised(CondHeld); !strings.Contains(c.Message, "everything that is ours would go (1 objects)") {
			t.Errorf("the condition does not say what would go: %s", c.Message)
		}
	})
}

func TestNoDeletionBeforeAllCouldBeRead(t *testing.T) {
	inForce(t, func(t *testing.T, r *rig) {
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
