package intent

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"reconciler/internal/diff"
	"reconciler/internal/observed"
	"reconciler/internal/resource"
)

const (
	oldDir = "v1.0.0-aaaaaaaaaaaa"
	newDir = "v1.1.0-bbbbbbbbbbbb"
)

// site is a host of versions and processes, which does what it is told.
type site struct {
	t       *testing.T
	have    *resource.Set
	facts   UpgradeFacts
	mode    resource.StartMode
	sockets bool
	wanted  string
	log     []string // what was done, in order
	// start is what becomes of a process of a version that is started.
	start map[string]resource.DaemonSeen
}

func newSite(t *testing.T, mode resource.StartMode) *site {
	s := &site{t: t, have: resource.NewSet(8), mode: mode, wanted: oldDir, start: map[string]resource.DaemonSeen{}}
	s.facts = UpgradeFacts{Now: Moment{At: Instant(time.Hour), Wall: time.Unix(1e9, 0), Boot: "boot"}, Started: Instant(time.Minute), Settled: true}
	for _, dir := range []string{oldDir, newDir} {
		s.put(resource.Release{Upgrade: "u", Root: "/r", Dir: dir, Version: resource.ReleaseVersion(dir)})
	}
	return s
}

func (s *site) put(r resource.Resource) {
	s.have.Put(resource.Object{Resource: r, Owner: resource.Ours})
}

func (s *site) want() *resource.Set {
	want := resource.NewSet(4)
	add := func(r resource.Resource) {
		want.Put(resource.Object{Resource: r, Owner: resource.Ours, Origin: "u.yaml:1"})
	}
	add(resource.Release{Upgrade: "u", Root: "/r", Dir: s.wanted, Version: resource.ReleaseVersion(s.wanted)})
	add(resource.Current{
		Upgrade: "u", Root: "/r", Dir: s.wanted, Version: resource.ReleaseVersion(s.wanted), Mode: s.mode, Daemon: "d", Soak: time.Minute, Keep: 2,
	})
	switch s.mode {
	case resource.StartDaemon:
		d := resource.Daemon{Name: "d", Upgrade: "u", Release: s.wanted, Digest: "0123456789abcdef", Ready: resource.Ready{Timeout: 30 * time.Second}}
		if s.sockets {
			d.Sockets = []resource.DaemonSocket{{Network: "tcp", Address: "127.0.0.1:1"}}
		}
		add(d)
	case resource.StartHandover:
		add(resource.Self{Upgrade: "u", Root: "/r", Dir: s.wanted})
	}
	return want
}

// pass plans and does, as the engine would.
func (s *site) pass() Upgraded {
	s.t.Helper()
	u := Upgrade(s.want(), s.have, s.facts)
	d := KeepDaemons(u.Want, s.have, s.facts.Now.At)
	plan, err := diff.Compute(d.Want, observed.State{Objects: s.have})
	if err != nil {
		s.t.Fatal(err)
	}
	for _, op := range plan.Ops {
		s.do(op)
	}
	u.Notes = append(u.Notes, d.Notes...)
	u.Next = Earliest(u.Next, d.Next)
	return u
}

func (s *site) do(op diff.Op) {
	s.log = append(s.log, fmt.Sprintf("%s %s %s", op.Verb, op.Key.Kind, shortOf(op)))
	switch {
	case op.Key.Kind == resource.KindDaemon && op.Verb == diff.Delete:
		s.stop(op.From.(resource.Daemon))
	case op.Verb == diff.Delete:
		s.have.Remove(op.Key)
	case op.Key.Kind == resource.KindDaemon:
		d := op.To.(resource.Daemon)
		seen, ok := s.start[d.Release]
		if !ok {
			seen = resource.DaemonSeen{State: resource.DaemonRunning, Ready: time.Duration(s.facts.Now.At)}
		}
		seen.Started = time.Duration(s.facts.Now.At)
		d.Seen = seen
		s.put(d)
	case op.Key.Kind == resource.KindSelf:
		self, _ := s.have.Get(op.Key)
		now, _ := self.Resource.(resource.Self)
		to := op.To.(resource.Self)
		if to.Dir != now.Dir {
			now.Upgrade, now.Root, now.Seen.Next, now.Seen.Failed = to.Upgrade, to.Root, to.Dir, ""
		} else {
			now.Seen.Standby = false
		}
		s.put(now)
	default:
		s.put(op.To)
	}
}

func (s *site) stop(d resource.Daemon) {
	if d.Seen.State != resource.DaemonRunning {
		s.have.Remove(d.Key())
		return
	}
	d.Seen.State, d.Seen.Kill = resource.DaemonStopping, time.Duration(s.facts.Now.At.Add(10*time.Second))
	s.put(d)
}

func shortOf(op diff.Op) string {
	switch r := op.To.(type) {
	case resource.Journal:
		return strings.TrimSpace(fmt.Sprintf("%s %s->%s", orIdle(r.State), resource.ReleaseVersion(r.From), resource.ReleaseVersion(r.To)))
	case resource.Current:
		return resource.ReleaseVersion(r.Dir)
	case resource.Daemon:
		return resource.ReleaseVersion(r.Release)
	case resource.Self:
		return resource.ReleaseVersion(r.Dir)
	}
	switch r := op.From.(type) {
	case resource.Daemon:
		return resource.ReleaseVersion(r.Release) + " " + string(r.Seen.State)
	case resource.Release:
		return r.Version
	}
	return op.Key.Name
}

func orIdle(s resource.JournalState) string {
	if s == resource.JournalIdle {
		return "idle"
	}
	return string(s)
}

// later lets time pass.
func (s *site) later(d time.Duration) {
	s.facts.Now.At, s.facts.Now.Wall = s.facts.Now.At.Add(d), s.facts.Now.Wall.Add(d)
}

func (s *site) did(want ...string) {
	s.t.Helper()
	if !slices.Equal(s.log, want) {
		s.t.Fatalf("did:\n  %s\nwant:\n  %s", strings.Join(s.log, "\n  "), strings.Join(want, "\n  "))
	}
	s.log = nil
}

func (s *site) journal() resource.Journal {
	o, _ := s.have.Get(resource.JournalKey("u"))
	j, _ := o.Resource.(resource.Journal)
	return j
}

func (s *site) current() string {
	o, _ := s.have.Get(resource.CurrentKey("u"))
	c, _ := o.Resource.(resource.Current)
	return c.Dir
}

// daemon is the process of a version.
func (s *site) daemon(dir string) (resource.Daemon, bool) {
	for _, d := range daemonsOf(s.have, "u") {
		if d.Release == dir {
			return d, true
		}
	}
	return resource.Daemon{}, false
}

func (s *site) ends(dir, reason string) {
	d, ok := s.daemon(dir)
	if !ok {
		s.t.Fatalf("no process of %s", dir)
	}
	d.Seen = resource.DaemonSeen{State: resource.DaemonExited, Ended: time.Duration(s.facts.Now.At), Failed: true, Reason: reason}
	s.put(d)
}

// rests brings the site to rest at the old version.
func (s *site) rests() {
	s.t.Helper()
	for range 6 {
		s.pass()
		s.takeOver(oldDir)
		s.later(2 * time.Minute)
	}
	s.log = nil
	s.pass()
	s.did()
	if s.current() != oldDir || s.journal().State != resource.JournalIdle {
		s.t.Fatalf("current %q, journal %+v", s.current(), s.journal())
	}
}

// takeOver is what the next reconciler does, if one is to.
func (s *site) takeOver(dir string) {
	o, ok := s.have.Get(resource.SelfKey("u"))
	self, _ := o.Resource.(resource.Self)
	if ok && self.Seen.Next == dir {
		self.Dir, self.Seen.Next, self.Seen.Standby, self.Seen.Started = dir, "", true, time.Duration(s.facts.Now.At)
		s.facts.Started = s.facts.Now.At + 1
		s.later(2)
		s.put(self)
	}
}
