package intent

import (
	"cmp"
	"fmt"
	"time"

	"reconciler/internal/diff"
	"reconciler/internal/resource"
)

// A process that ended is started again after a while, twice as long each time.
const (
	restartAfter     = 100 * time.Millisecond
	restartAfterMost = 10 * time.Second
)

// The bounds of restarts where YAML names none.
const (
	restartMax    = 5
	restartWindow = time.Minute
)

// KeepDaemons decides on the processes of want, by those of have: when one that
// ended is started again, and how one takes the place of another.
//
// Where listeners are held for it the new one starts first, and the former one
// goes once it is ready. Else the former one ends first: what it holds, the new
// one may need. One that was asked to end is killed at its deadline.
func KeepDaemons(want, have *resource.Set, now Instant) Upgraded {
	k := keeping{have: have, now: now, out: Upgraded{Want: want, Reasons: map[resource.Key]string{}, Next: Never}}
	former := make(map[string][]resource.Object) // by instance
	var wanted []resource.Object
	want.Each(func(_ resource.Key, o resource.Object) bool {
		if _, ok := o.Resource.(resource.Daemon); ok {
			wanted = append(wanted, o)
		}
		return true
	})
	have.Each(func(key resource.Key, o resource.Object) bool {
		if d, ok := o.Resource.(resource.Daemon); ok && o.Owner == resource.Ours && !want.Has(key) {
			former[d.Instance()] = append(former[d.Instance()], o)
		}
		return true
	})
	if len(wanted)+len(former) == 0 {
		return k.out
	}
	k.out.Want = want.Clone()
	for _, o := range wanted {
		d := o.Resource.(resource.Daemon)
		k.run(o, d)
		k.succeed(o, d, former[d.Instance()])
		delete(former, d.Instance())
	}
	for _, all := range former {
		for _, o := range all {
			k.end(o)
		}
	}
	return k.out
}

type keeping struct {
	have *resource.Set
	now  Instant
	out  Upgraded
}

// run decides on one that is wanted and is, or was.
func (k *keeping) run(o resource.Object, d resource.Daemon) {
	h, ok := k.have.Get(o.Key())
	if !ok {
		return
	}
	was := h.Resource.(resource.Daemon)
	switch was.Seen.State {
	case resource.DaemonStopping:
		k.note(o, diff.Waiting, "starts again once it has ended")
		if k.after(Instant(was.Seen.Kill)) {
			k.out.Want.Put(kept(h))
		} else {
			k.out.Want.Remove(o.Key())
		}
	case resource.DaemonExited:
		if stay := k.exited(o, d.Restart, was.Seen); stay {
			k.out.Want.Put(kept(h))
		}
	case resource.DaemonRunning:
	}
}

// after reports that an instant is yet to come, and wakes then.
func (k *keeping) after(at Instant) bool {
	if at <= k.now {
		return false
	}
	k.out.Next = Earliest(k.out.Next, at)
	return true
}

// exited reports that one that ended is left so for now.
func (k *keeping) exited(o resource.Object, r resource.Restart, seen resource.DaemonSeen) bool {
	ended := "it ended: " + cmp.Or(seen.Reason, "nobody knows how")
	policy := cmp.Or(r.Policy, resource.RestartOnFailure)
	if policy == resource.RestartNever || policy == resource.RestartOnFailure && !seen.Failed {
		if seen.Failed {
			k.note(o, diff.Unfit, ended)
		}
		return true
	}
	k.out.Reasons[o.Key()] = ended
	most, window := cmp.Or(r.Max, restartMax), cmp.Or(r.Window, restartWindow)
	if seen.Restarts >= most {
		k.note(o, diff.Unfit, fmt.Sprintf("%s; %d restarts within %s, so it is left alone for that time", ended, seen.Restarts, window))
		return k.after(Instant(seen.Ended).Add(window))
	}
	wait := min(restartAfter<<min(seen.Restarts, 10), restartAfterMost)
	if k.after(Instant(seen.Ended).Add(wait)) {
		k.note(o, diff.Waiting, ended+"; started again after "+wait.String())
		return true
	}
	return false
}

// succeed decides on those whose place another one takes.
func (k *keeping) succeed(o resource.Object, d resource.Daemon, former []resource.Object) {
	h, there := k.have.Get(o.Key())
	now, _ := h.Resource.(resource.Daemon)
	running := there && now.Seen.State == resource.DaemonRunning
	for _, f := range former {
		was := f.Resource.(resource.Daemon)
		runs := was.Seen.State == resource.DaemonRunning
		switch {
		case runs && len(d.Sockets) > 0 && (!running || now.Seen.Ready == 0):
			k.out.Want.Put(kept(f))
			k.note(o, diff.Waiting, "the former one serves until this one is ready")
			continue
		case was.Seen.State != resource.DaemonExited && len(d.Sockets) == 0 && !running:
			k.out.Want.Remove(o.Key())
			k.note(o, diff.Waiting, "starts once the former one has ended")
		}
		k.end(f)
		if k.out.Reasons[f.Key()] == "" {
			k.out.Reasons[f.Key()] = "another one takes its place"
		}
	}
}

// end lets one that is not wanted go: it is asked to, then killed at its
// deadline, then forgotten.
func (k *keeping) end(f resource.Object) {
	d := f.Resource.(resource.Daemon)
	if d.Seen.State != resource.DaemonStopping {
		return
	}
	if k.after(Instant(d.Seen.Kill)) {
		k.out.Want.Put(kept(f))
		k.note(f, diff.Ending, "was asked to end")
		return
	}
	k.out.Reasons[f.Key()] = "it did not end in time"
}

func (k *keeping) note(o resource.Object, code diff.NoteCode, text string) {
	k.out.Notes = append(k.out.Notes, diff.Note{Code: code, Key: o.Key(), Text: text, Origin: o.Origin})
}
