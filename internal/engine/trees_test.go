package engine

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"reconciler/internal/desired"
	"reconciler/internal/source"
)

func TestBadCommitLeavesLastGood(t *testing.T) {
	for what, bad := range map[string]string{"language": withFault, "driver": refusedByDriver} {
		t.Run(what, func(t *testing.T) { badCommit(t, bad) })
	}
}

func badCommit(t *testing.T, bad string) {
	inForce(t, func(t *testing.T, r *rig) {
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
	inForce(t, func(t *testing.T, r *rig) {
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
		inForce(t, func(t *testing.T, r *rig) {
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
