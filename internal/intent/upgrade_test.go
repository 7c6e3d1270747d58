package intent

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"reconciler/internal/diff"
	"reconciler/internal/resource"
)

func TestUpgradeOfADaemonStopsTheFormerFirst(t *testing.T) {
	s := newSite(t, resource.StartDaemon)
	s.rests()
	s.wanted = newDir
	s.pass()
	s.did("update journal trying v1.0.0->v1.1.0", "update current v1.1.0", "delete daemon v1.0.0 running")
	s.pass()
	s.did() // it has until its deadline
	s.ends(oldDir, "signal: terminated")
	s.pass()
	s.did("create daemon v1.1.0", "delete daemon v1.0.0 exited")
	s.later(30 * time.Second)
	s.pass()
	s.did() // it soaks
	s.later(30 * time.Second)
	s.pass()
	s.did("update journal idle ->")
	if j := s.journal(); j.Previous != oldDir || len(j.Bad) != 0 {
		t.Fatalf("journal %+v", j)
	}
	s.pass()
	s.did()
}

func TestUpgradeWithSocketsStartsTheNewFirst(t *testing.T) {
	s := newSite(t, resource.StartDaemon)
	s.sockets = true
	s.rests()
	s.wanted = newDir
	s.start[newDir] = resource.DaemonSeen{State: resource.DaemonRunning}
	s.pass()
	s.did("update journal trying v1.0.0->v1.1.0", "update current v1.1.0", "create daemon v1.1.0")
	s.later(time.Second)
	s.pass()
	s.did() // the former one serves until it is ready
	d, _ := s.daemon(newDir)
	d.Seen.Ready = time.Duration(s.facts.Now.At)
	s.put(d)
	s.pass()
	s.did("delete daemon v1.0.0 running")
}

func TestUpgradeThatFailsGoesBack(t *testing.T) {
	for name, fail := range map[string]struct {
		start resource.DaemonSeen
		then  func(*site)
		want  string
	}{
		"exits at once":    {resource.DaemonSeen{State: resource.DaemonExited, Failed: true, Reason: "exit status 3"}, nil, "exit status 3"},
		"never ready":      {resource.DaemonSeen{State: resource.DaemonRunning}, func(s *site) { s.later(31 * time.Second) }, "not ready within 30s"},
		"ends in its soak": {resource.DaemonSeen{State: resource.DaemonRunning, Ready: time.Duration(time.Hour)}, func(s *site) { s.ends(newDir, "signal: killed") }, "signal: killed"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, resource.StartDaemon)
			s.sockets = true
			s.rests()
			s.wanted, s.start[newDir] = newDir, fail.start
			s.pass()
			if fail.then != nil {
				s.pass()
				fail.then(s)
			}
			for range 8 {
				s.pass()
				s.later(3 * time.Second)
			}
			j := s.journal()
			if s.current() != oldDir || j.State != resource.JournalIdle || !strings.Contains(j.Fault(newDir), fail.want) {
				t.Fatalf("current %s, journal %+v", s.current(), j)
			}
			if d, ok := s.daemon(oldDir); !ok || d.Seen.State != resource.DaemonRunning {
				t.Fatalf("the former process is %+v", d)
			}
			s.log = nil
			u := s.pass()
			s.did() // it is not tried again
			if len(u.Notes) != 1 || u.Notes[0].Code != diff.Unfit {
				t.Fatalf("notes %+v", u.Notes)
			}
			s.facts.Again = true
			s.pass()
			if got := s.journal(); got.To != newDir {
				t.Fatalf("retry left the journal at %+v", got)
			}
		})
	}
}

func TestUpgradeOfItself(t *testing.T) {
	s := newSite(t, resource.StartHandover)
	s.put(resource.Self{Upgrade: "u", Root: "/r"}) // runs from elsewhere
	s.rests()
	s.wanted = newDir
	s.pass()
	s.did("update journal trying v1.0.0->v1.1.0", "update current v1.1.0", "update self v1.1.0")
	s.pass()
	s.did() // the next one starts
	s.takeOver(newDir)
	s.pass()
	s.did("update journal trying v1.0.0->v1.1.0") // its attempt
	s.later(time.Minute)
	s.pass()
	s.did("update journal idle ->", "update self v1.1.0") // the former one may go
	if j := s.journal(); j.Previous != oldDir {
		t.Fatalf("journal %+v", j)
	}
}

func TestUpgradeOfItselfThatFails(t *testing.T) {
	s := newSite(t, resource.StartHandover)
	s.put(resource.Self{Upgrade: "u", Root: "/r"})
	s.rests()
	s.wanted = newDir
	s.pass()
	o, _ := s.have.Get(resource.SelfKey("u"))
	self := o.Resource.(resource.Self)
	self.Seen.Next, self.Seen.Failed, self.Seen.Reason = "", newDir, "it would change 3 things"
	s.put(self)
	s.log = nil
	s.pass()
	s.did("update journal rolling-back v1.0.0->v1.1.0", "update current v1.0.0")
	s.pass()
	s.did("update journal idle ->")
	if j := s.journal(); j.Fault(newDir) != "it would change 3 things" {
		t.Fatalf("journal %+v", j)
	}
	s.pass()
	s.did()
}

func TestUpgradeWaitsForTheRest(t *testing.T) {
	s := newSite(t, resource.StartNone)
	s.rests()
	s.wanted, s.facts.Settled = newDir, false
	u := s.pass()
	s.did()
	if !u.Stalled {
		t.Fatal("nothing waits")
	}
	s.facts.Settled = true
	s.pass()
	s.did("update journal trying v1.0.0->v1.1.0", "update current v1.1.0")
}

func TestUpgradeHolds(t *testing.T) {
	s := newSite(t, resource.StartNone)
	s.wanted = newDir
	for range 3 {
		s.pass()
		s.later(2 * time.Minute)
	}
	s.wanted, s.log = oldDir, nil
	u := s.pass()
	s.did()
	if len(u.Notes) != 1 || u.Notes[0].Code != diff.Held {
		t.Fatalf("a downgrade: %+v", u.Notes)
	}
}

func TestUpgradeCountsStarts(t *testing.T) {
	s := newSite(t, resource.StartNone)
	s.rests()
	s.wanted = newDir
	s.pass()
	for i := range resource.MaxReleaseStarts {
		s.later(time.Second)
		s.facts.Started = s.facts.Now.At
		s.pass()
		if got := s.journal(); got.Attempt != uint32(i+1) {
			t.Fatalf("start %d: %+v", i, got)
		}
	}
	s.later(time.Second)
	s.facts.Started = s.facts.Now.At
	s.pass()
	if got := s.journal(); got.State != resource.JournalRollback || got.Fault(newDir) == "" || s.current() != oldDir {
		t.Fatalf("current %s, journal %+v", s.current(), got)
	}
}

func TestUpgradeWhoseVersionChangesMidway(t *testing.T) {
	s := newSite(t, resource.StartDaemon)
	s.rests()
	s.wanted = newDir
	s.pass()
	s.wanted = oldDir
	for range 8 {
		s.pass()
		if d, ok := s.daemon(oldDir); ok && d.Seen.State == resource.DaemonStopping {
			s.ends(oldDir, "signal: terminated")
		}
		s.later(11 * time.Second)
	}
	j := s.journal()
	if s.current() != oldDir || j.State != resource.JournalIdle || j.Fault(newDir) != "" {
		t.Fatalf("current %s, journal %+v", s.current(), j)
	}
	if d, ok := s.daemon(oldDir); !ok || d.Seen.State != resource.DaemonRunning {
		t.Fatalf("the process is %+v", d)
	}
}

func TestUpgradeRolledBackByAPerson(t *testing.T) {
	s := newSite(t, resource.StartNone)
	s.rests()
	s.wanted = newDir
	for range 3 {
		s.pass()
		s.later(2 * time.Minute)
	}
	s.facts.Back = map[string]bool{"u": true}
	s.pass()
	s.facts.Back = nil
	for range 3 {
		s.pass()
	}
	if j := s.journal(); s.current() != oldDir || j.State != resource.JournalIdle || j.Fault(newDir) != "rolled back by a person" || j.Previous != "" {
		t.Fatalf("current %s, journal %+v", s.current(), j)
	}
}

func TestUpgradeKeepsAFewVersions(t *testing.T) {
	s := newSite(t, resource.StartNone)
	for i := range 5 {
		dir := fmt.Sprintf("v0.%d.0-cccccccccccc", i)
		s.put(resource.Release{Upgrade: "u", Root: "/r", Dir: dir, Version: resource.ReleaseVersion(dir)})
	}
	s.rests()
	s.wanted = newDir
	for range 4 {
		s.pass()
		s.later(2 * time.Minute)
	}
	var left []string
	s.have.Each(func(_ resource.Key, o resource.Object) bool {
		if r, ok := o.Resource.(resource.Release); ok {
			left = append(left, r.Version)
		}
		return true
	})
	slices.Sort(left)
	if !slices.Equal(left, []string{"v1.0.0", "v1.1.0"}) {
		t.Fatalf("left %v", left)
	}
}

// TestUpgradeWhileTheTimeOfDayJumps is that only the clock since the boot counts,
// and that after a boot starts do.
func TestUpgradeWhileTheTimeOfDayJumps(t *testing.T) {
	for _, jump := range []time.Duration{-20 * 365 * 24 * time.Hour, 20 * 365 * 24 * time.Hour} {
		s := newSite(t, resource.StartNone)
		s.rests()
		s.wanted = newDir
		s.pass()
		s.facts.Now.Wall = s.facts.Now.Wall.Add(jump)
		s.log = nil
		s.pass()
		s.did() // it soaks, by its own clock
		s.later(time.Minute)
		s.pass()
		s.did("update journal idle ->")
	}
	s := newSite(t, resource.StartNone)
	s.rests()
	s.wanted = newDir
	s.pass()
	s.facts.Now.Boot, s.facts.Now.At, s.facts.Started = "another", Instant(time.Second), Instant(time.Second)
	s.pass()
	if j := s.journal(); j.Attempt != 1 || j.Boot != "another" || j.Since != time.Second {
		t.Fatalf("after a boot: %+v", j)
	}
	s.later(30 * time.Second)
	s.pass()
	if j := s.journal(); j.State != resource.JournalTrying {
		t.Fatalf("after half its time: %+v", j)
	}
	s.later(30 * time.Second)
	s.pass()
	if j := s.journal(); j.State != resource.JournalIdle || s.current() != newDir {
		t.Fatalf("after its time: %+v, current %s", j, s.current())
	}
}
