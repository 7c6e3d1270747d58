package engine

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestUndoesAtStart(t *testing.T) {
	for name, boot := range map[string]string{"same boot": "boot-1", "after a reboot": "boot-0"} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				r.settings.Confirm.Probes = []Probe{r.unreachableWith(second)}
				r.start()
				r.push("rev-one", oneAddress)
				r.push("rev-two", twoAddresses)
				r.raised(CondUnconfirmed)
				r.kill()
				var u undoRecord
				if err := read(r.records, undoFile, &u); err != nil || u.ID == "" {
					t.Fatalf("no record of the way back: %v", err)
				}
				u.Boot = boot
				if err := write(r.records, undoFile, u); err != nil {
					t.Fatal(err)
				}
				r.start()
				r.hasNot(second) // reverted, or removed as no longer wanted
				r.raised(CondQuarantined)
				if got := r.engine.Status().Wanted.Revision; got != "rev-one" {
					t.Errorf("wanted %s, want rev-one", got)
				}
				if _, err := r.records.ReadFile(undoFile); err == nil {
					t.Error("the record is still there")
				}
			})
		})
	}
}

// stopped is a rig that was stopped in order 3 s before the deadline of rev-two,
// whose probe answers by ok.
func (r *rig) stopped(ok func() bool) {
	r.t.Helper()
	r.settings.Confirm = Confirm{Timeout: 10 * time.Second, Probes: []Probe{switchProbe{"source", ok}}}
	r.start()
	r.push("rev-one", oneAddress)
	r.push("rev-two", twoAddresses)
	r.raised(CondUnconfirmed)
	r.wait(7 * time.Second)
	r.end()
	r.has(second)
}

func TestAnOrderlyStopLeavesTheVerdict(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var well atomic.Bool
		r.stopped(func() bool { return well.Load() || !r.host.holds(second) })
		r.wait(time.Second)
		r.start()
		r.has(second)
		r.raised(CondUnconfirmed)
		r.cleared(CondQuarantined)
		if p := r.engine.Status().Pending; p == nil || p.Revision != "rev-two" || time.Until(p.Deadline) != 2*time.Second {
			t.Fatalf("pending %+v, want rev-two with 2 s left", p)
		}
		r.host.remove(first, true) // what waits is kept up, as before the stop
		r.wait(time.Second)
		r.has(first)
		well.Store(true)
		r.wait(probeAgain)
		r.inSync("rev-two")
		if h := r.engine.History(); h[0].Revision != "rev-two" && h[1].Revision != "rev-two" {
			t.Errorf("history %+v", h)
		}
		if _, err := r.records.ReadFile(undoFile); err == nil {
			t.Error("the record is still there")
		}
	})
}

func TestAVerdictThatWasLeftHasItsDeadline(t *testing.T) {
	for name, tt := range map[string]struct {
		away time.Duration
		next func(*rig)
	}{
		"within it":      {time.Second, func(r *rig) { r.has(second); r.wait(2 * time.Second) }},
		"after it":       {3 * time.Second, func(*rig) {}},
		"stopped twice":  {time.Second, func(r *rig) { r.end(); r.start(); r.has(second); r.wait(2 * time.Second) }},
		"killed at last": {time.Second, func(r *rig) { r.kill(); r.start() }},
		"after a reboot": {time.Second, func(r *rig) { r.kill(); r.boot = "boot-2"; r.start() }},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				r.stopped(func() bool { return !r.host.holds(second) })
				r.wait(tt.away)
				r.start()
				tt.next(r)
				r.hasNot(second)
				r.has(first)
				r.raised(CondQuarantined)
				if got := r.engine.Status(); got.Wanted.Revision != "rev-one" || got.Pending != nil {
					t.Errorf("wanted %s, pending %+v", got.Wanted.Revision, got.Pending)
				}
			})
		})
	}
}

func TestCorruptLedgerIsSetAside(t *testing.T) {
	for name, text := range map[string]string{"cut off": `{"boot":"boot-1","app`, "empty": "", "of another kind": `{"applied":7,"pin":{"revision":"rev-one"}}`} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				r.settings.Confirm = Confirm{Timeout: 10 * time.Second, Probes: []Probe{r.unreachableWith(second)}}
				r.start()
				r.push("rev-one", oneAddress)
				r.push("rev-two", twoAddresses)
				r.wait(11 * time.Second)
				r.raised(CondQuarantined)
				r.end()
				if err := r.records.WriteFile(ledgerFile, []byte(text)); err != nil {
					t.Fatal(err)
				}
				done := r.host.done()
				r.start()
				c := r.raised(CondStateLost)
				for _, want := range []string{"engine.json.corrupt", "a pin, a suspension", "quarantine is kept with the snapshots: 1"} {
					if !strings.Contains(c.Message, want) {
						t.Errorf("the condition does not say %q: %s", want, c.Message)
					}
				}
				r.raised(CondQuarantined)
				s := r.engine.Status()
				if s.Wanted.Revision != "rev-one" || s.LastGood.Revision != "rev-one" || r.host.done() != done {
					t.Errorf("wanted %s, last good %s, %d operations", s.Wanted.Revision, s.LastGood.Revision, r.host.done()-done)
				}
				kept, err := r.records.ReadFile(ledgerFile + corruptSuffix)
				if err != nil || string(kept) != text {
					t.Errorf("set aside is %q, %v", kept, err)
				}
				r.end()
				r.start()
				r.raised(CondStateLost) // until somebody has seen it
				if err := r.records.Remove(ledgerFile + corruptSuffix); err != nil {
					t.Fatal(err)
				}
				r.wait(defaultResync)
				r.cleared(CondStateLost)
			})
		})
	}
}

func TestCorruptWayBackIsTold(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.stopped(func() bool { return !r.host.holds(second) })
		if err := r.records.WriteFile(undoFile, []byte("{")); err != nil {
			t.Fatal(err)
		}
		r.start()
		if c := r.raised(CondStateLost); !strings.Contains(c.Message, "the way back") {
			t.Errorf("the condition says %s", c.Message)
		}
	})
}
