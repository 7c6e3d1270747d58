package intent

import (
	"testing"
	"time"

	"reconciler/internal/diff"
	"reconciler/internal/observed"
	"reconciler/internal/resource"
)

func TestKeepDaemonsStartsAgain(t *testing.T) {
	at := Instant(time.Hour)
	ended := func(restarts uint32, failed bool) resource.DaemonSeen {
		return resource.DaemonSeen{State: resource.DaemonExited, Ended: time.Duration(at), Restarts: restarts, Failed: failed, Reason: "exit status 1"}
	}
	for name, c := range map[string]struct {
		restart resource.Restart
		seen    resource.DaemonSeen
		now     Instant
		starts  bool
		next    Instant
		code    diff.NoteCode
	}{
		"at once it waits":         {seen: ended(0, true), now: at, next: at.Add(100 * time.Millisecond), code: diff.Waiting},
		"after that it starts":     {seen: ended(0, true), now: at.Add(100 * time.Millisecond), starts: true, next: Never},
		"longer each time":         {seen: ended(3, true), now: at, next: at.Add(800 * time.Millisecond), code: diff.Waiting},
		"too often":                {seen: ended(5, true), now: at.Add(time.Second), next: at.Add(time.Minute), code: diff.Unfit},
		"it ended well":            {seen: ended(0, false), now: at.Add(time.Second), next: Never},
		"well, and always":         {restart: resource.Restart{Policy: resource.RestartAlways}, seen: ended(0, false), now: at.Add(time.Second), starts: true, next: Never},
		"never":                    {restart: resource.Restart{Policy: resource.RestartNever}, seen: ended(0, true), now: at.Add(time.Second), next: Never, code: diff.Unfit},
		"stopping: until its time": {seen: resource.DaemonSeen{State: resource.DaemonStopping, Kill: time.Duration(at)}, now: at.Add(-time.Second), next: at, code: diff.Waiting},
	} {
		t.Run(name, func(t *testing.T) {
			d := resource.Daemon{Name: "d", Digest: "0123456789abcdef", Restart: c.restart}
			want, have := resource.NewSet(1), resource.NewSet(1)
			want.Put(resource.Object{Resource: d, Owner: resource.Ours})
			d.Seen = c.seen
			have.Put(resource.Object{Resource: d, Owner: resource.Ours})
			got := KeepDaemons(want, have, c.now)
			plan, err := diff.Compute(got.Want, observed.State{Objects: have})
			if err != nil {
				t.Fatal(err)
			}
			if (len(plan.Ops) > 0) != c.starts || got.Next != c.next {
				t.Errorf("ops %v, next %v", plan.Ops, got.Next)
			}
			if c.code == "" && len(got.Notes) > 0 || c.code != "" && (len(got.Notes) != 1 || got.Notes[0].Code != c.code) {
				t.Errorf("notes %+v", got.Notes)
			}
		})
	}
}

func TestKeepDaemonsEndsWhatIsNotWanted(t *testing.T) {
	at := Instant(time.Hour)
	d := resource.Daemon{Name: "d", Digest: "0123456789abcdef"}
	for name, c := range map[string]struct {
		seen resource.DaemonSeen
		ops  int
	}{
		"it runs":               {resource.DaemonSeen{State: resource.DaemonRunning}, 1},
		"it has time left":      {resource.DaemonSeen{State: resource.DaemonStopping, Kill: time.Duration(at + 1)}, 0},
		"its time is over":      {resource.DaemonSeen{State: resource.DaemonStopping, Kill: time.Duration(at)}, 1},
		"it is to be forgotten": {resource.DaemonSeen{State: resource.DaemonExited}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			have := resource.NewSet(1)
			d.Seen = c.seen
			have.Put(resource.Object{Resource: d, Owner: resource.Ours})
			got := KeepDaemons(resource.NewSet(0), have, at)
			plan, err := diff.Compute(got.Want, observed.State{Objects: have})
			if err != nil || len(plan.Ops) != c.ops {
				t.Errorf("ops %v, %v", plan.Ops, err)
			}
			if told := len(got.Notes) == 1 && got.Notes[0].Code == diff.Ending; told != (c.ops == 0) {
				t.Errorf("notes %+v", got.Notes)
			}
		})
	}
}
