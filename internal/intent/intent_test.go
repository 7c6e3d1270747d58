package intent

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"reconciler/internal/resource"
)

func at(d time.Duration) Instant { return Instant(d) }

func TestChoose(t *testing.T) {
	pin := Pin{Revision: "old", Until: at(time.Hour)}
	for name, c := range map[string]struct {
		r    Revisions
		now  time.Duration
		want string
		next Instant
	}{
		"nothing there":            {Revisions{}, 0, "", Never},
		"the newest":               {Revisions{Newest: "new", Former: []string{"was"}}, 0, "new", Never},
		"the newest is faulty":     {Revisions{Former: []string{"was", "good"}}, 0, "was", Never},
		"the newest is bad":        {Revisions{Newest: "new", Former: []string{"was"}, Bad: map[string]bool{"new": true}}, 0, "was", Never},
		"what was is bad too":      {Revisions{Newest: "new", Former: []string{"was", "good"}, Bad: map[string]bool{"new": true, "was": true}}, 0, "good", Never},
		"former ones may be empty": {Revisions{Former: []string{"", "good"}}, 0, "good", Never},
		"all are bad":              {Revisions{Newest: "new", Bad: map[string]bool{"new": true}}, 0, "", Never},
		"a pin":                    {Revisions{Newest: "new", Pin: pin}, 0, "old", at(time.Hour)},
		"a pin on a bad one":       {Revisions{Newest: "new", Pin: pin, Bad: map[string]bool{"old": true}}, 0, "old", at(time.Hour)},
		"a pin that is over":       {Revisions{Newest: "new", Pin: pin}, time.Hour, "new", Never},
	} {
		t.Run(name, func(t *testing.T) {
			got, next := Choose(c.r, at(c.now))
			if got != c.want || next != c.next {
				t.Errorf("choose %q until %d, want %q until %d", got, next, c.want, c.next)
			}
		})
	}
}

func TestBaseline(t *testing.T) {
	const planned, patience = Instant(10 * time.Second), 2 * time.Second
	probes := []string{"source", "ping"}
	well, ill := Answer{Asked: planned, OK: true}, Answer{Asked: planned}
	for name, c := range map[string]struct {
		answers map[string]Answer
		now     Instant
		want    []string
		ready   bool
	}{
		"no answer yet":        {nil, planned, nil, false},
		"one is missing":       {map[string]Answer{"source": well}, planned, nil, false},
		"all are well":         {map[string]Answer{"source": well, "ping": well}, planned, probes, true},
		"one is ill":           {map[string]Answer{"source": ill, "ping": well}, planned, []string{"ping"}, true},
		"an old answer":        {map[string]Answer{"source": well, "ping": {Asked: planned - 1, OK: true}}, planned, nil, false},
		"silent, patience out": {map[string]Answer{"source": well}, planned.Add(patience), []string{"source"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			got, ready, next := Baseline(probes, c.answers, planned, patience, c.now)
			if !slices.Equal(got, c.want) || ready != c.ready {
				t.Errorf("required %v, ready %v; want %v, %v", got, ready, c.want, c.ready)
			}
			if !ready && next != planned.Add(patience) {
				t.Errorf("next is %d, want the end of patience", next)
			}
		})
	}
}

func TestConfirm(t *testing.T) {
	u := Unconfirmed{Required: []string{"source", "ping"}, Applied: at(time.Second), Deadline: at(time.Minute)}
	well, ill, old := Answer{Asked: u.Applied, OK: true}, Answer{Asked: u.Applied}, Answer{Asked: 0, OK: true}
	for name, c := range map[string]struct {
		u       Unconfirmed
		answers map[string]Answer
		now     time.Duration
		want    Verdict
	}{
		"none required":         {Unconfirmed{Deadline: u.Deadline}, nil, time.Second, Accept},
		"all well":              {u, map[string]Answer{"source": well, "ping": well}, time.Second, Accept},
		"one ill":               {u, map[string]Answer{"source": well, "ping": ill}, time.Second, Wait},
		"one silent":            {u, map[string]Answer{"source": well}, time.Second, Wait},
		"one answered before":   {u, map[string]Answer{"source": well, "ping": old}, time.Second, Wait},
		"time is over":          {u, map[string]Answer{"source": well, "ping": ill}, time.Minute, Revert},
		"well at the last":      {u, map[string]Answer{"source": well, "ping": well}, time.Minute, Accept},
		"nobody ever answered":  {u, nil, time.Hour, Revert},
		"others are not needed": {u, map[string]Answer{"source": well, "ping": well, "tcp": ill}, time.Second, Accept},
	} {
		t.Run(name, func(t *testing.T) {
			got, next := Confirm(c.u, c.answers, at(c.now))
			if got != c.want {
				t.Errorf("verdict %d, want %d", got, c.want)
			}
			if wantNext := map[bool]Instant{true: c.u.Deadline, false: Never}[got == Wait]; next != wantNext {
				t.Errorf("next is %d, want %d", next, wantNext)
			}
		})
	}
}

func TestFailureDoublesUpToMost(t *testing.T) {
	var f Failure
	for i, want := range []time.Duration{1, 2, 4, 8, 16, 30, 30} {
		now := at(time.Duration(i) * time.Hour)
		f = f.Again("no buffer space", 30*time.Second, now)
		if got := f.Until.Sub(now); got != want*time.Second {
			t.Errorf("after %d failures: wait %s, want %s", f.Count, got, want*time.Second)
		}
	}
	f.Count = 1000
	if got := f.Again("", 30*time.Second, 0).Until; got != at(30*time.Second) {
		t.Errorf("after a thousand: wait %d", got)
	}
}

func TestRepairs(t *testing.T) {
	repair := func(r Repairs, n int, gap time.Duration, from Instant) (Repairs, Instant) {
		now := from
		for range n {
			now = now.Add(gap)
			r = r.Repaired(now)
		}
		return r, now
	}
	r, now := repair(Repairs{}, 4, time.Second, 0)
	if r.Until > now {
		t.Fatal("held after 4 repairs")
	}
	r, now = repair(r, 1, time.Second, now)
	if r.Until != now.Add(time.Minute) {
		t.Fatalf("after 5 within a minute held for %s, want a minute", r.Until.Sub(now))
	}
	r, now = repair(r, 5, time.Second, r.Until)
	if r.Until != now.Add(2*time.Minute) {
		t.Errorf("the second hold is %s, want two minutes", r.Until.Sub(now))
	}
	for range 10 {
		r, now = repair(r, 5, time.Second, r.Until)
	}
	if got := r.Until.Sub(now); got != 16*time.Minute {
		t.Errorf("after many holds %s, want 16 minutes", got)
	}
	slow, now := repair(Repairs{}, 20, 16*time.Second, 0)
	if slow.Until > now {
		t.Error("held although five repairs took more than a minute")
	}
	if len(slow.Times) > undoneTimes {
		t.Errorf("%d times are remembered", len(slow.Times))
	}
	if slow.Stale(now) || !slow.Stale(now.Add(17*time.Minute)) {
		t.Error("a repair is to be forgotten after 16 minutes of rest")
	}
}

func TestDeadlineOutlivesBoots(t *testing.T) {
	noon := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	now := Moment{At: at(time.Hour), Wall: noon, Boot: "a"}
	d := now.After(time.Minute)
	wallJumped := Moment{At: at(time.Hour + 10*time.Second), Wall: noon.Add(24 * time.Hour), Boot: "a"}
	if got := d.Instant(wallJumped).Sub(wallJumped.At); got != 50*time.Second {
		t.Errorf("after somebody set the time %s are left, want 50s", got)
	}
	nextBoot := Moment{At: at(5 * time.Second), Wall: noon.Add(20 * time.Second), Boot: "b"}
	if got := d.Instant(nextBoot).Sub(nextBoot.At); got != 40*time.Second {
		t.Errorf("after a reboot %s are left, want 40s", got)
	}
	if got := d.Time(nextBoot); !got.Equal(noon.Add(time.Minute)) {
		t.Errorf("for people it is %s", got)
	}
}

func TestLeaveAlone(t *testing.T) {
	address := func(s string) resource.Address {
		return resource.Address{Link: "br0", Prefix: netip.MustParsePrefix(s)}
	}
	set := func(all ...resource.Resource) *resource.Set {
		s := resource.NewSet(len(all))
		for _, r := range all {
			s.Put(resource.Object{Resource: r, Owner: resource.Ours, Origin: "net.yaml:1"})
		}
		return s
	}
	br := resource.Link{Name: "br0", Type: resource.Bridge, MTU: 9000, Policy: resource.LinkPolicy{Protect: true}}
	small := resource.Link{Name: "br0", Type: resource.Bridge, MTU: 1500}
	a, b := address("192.0.2.1/24"), address("192.0.2.2/24")
	for name, c := range map[string]struct {
		want, have *resource.Set
		keys       []resource.Key
		left       *resource.Set
	}{
		"no keys":                       {set(br, a), set(), nil, set(br, a)},
		"a failing creation":            {set(br, a), set(br), []resource.Key{a.Key()}, set(br)},
		"with what requires it":         {set(br, a, b), set(), []resource.Key{br.Key()}, set()},
		"what requires it, and exists":  {set(br, a), set(a), []resource.Key{br.Key()}, set(a)},
		"a failing deletion":            {set(br), set(br, a), []resource.Key{a.Key()}, set(br, a)},
		"a failing update":              {set(br, a), set(small, a), []resource.Key{br.Key()}, set(small, a)},
		"neither wanted nor there":      {set(br), set(br), []resource.Key{b.Key()}, set(br)},
		"gone, and its dependants stay": {set(a, b), set(), []resource.Key{a.Key()}, set(b)},
	} {
		t.Run(name, func(t *testing.T) {
			before := c.want.Len()
			got := LeaveAlone(c.want, c.have, c.keys)
			if got.Len() != c.left.Len() {
				t.Fatalf("%d objects, want %d: %v", got.Len(), c.left.Len(), got.All())
			}
			for _, o := range c.left.All() {
				if g, ok := got.Get(o.Key()); !ok || !g.Equal(o.Resource) {
					t.Errorf("%s is %+v, want %+v", o.Key(), g.Resource, o.Resource)
				}
			}
			if c.want.Len() != before {
				t.Error("want was changed")
			}
		})
	}
	got, _ := LeaveAlone(set(br), set(small), []resource.Key{br.Key()}).Get(br.Key())
	if !got.Resource.(resource.Link).Policy.Protect {
		t.Error("a link that is left alone lost its protection")
	}
}
