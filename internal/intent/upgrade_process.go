package intent

import (
	"cmp"
	"fmt"

	"reconciler/internal/resource"
)

// use wants a version in use, by whoever runs it; none where dir is empty. While
// it is tried, the former reconciler stands by.
func (u *upgrading) use(dir string, trying bool) {
	c := u.want
	c.Dir = dir
	if dir == "" {
		u.out.Want.Remove(c.Key())
	} else {
		u.put(c)
	}
	for k, d := range daemonsOf(u.out.Want, u.want.Upgrade) {
		o, _ := u.out.Want.Get(k)
		u.out.Want.Remove(k)
		if dir != "" {
			d.Release = dir
			o.Resource = d
			u.out.Want.Put(o)
		}
	}
	if u.want.Mode == resource.StartHandover {
		u.useSelf(dir, trying)
	}
}

// useSelf wants the reconciler itself to be a version. While one starts that is
// to take over there is nothing more to do.
func (u *upgrading) useSelf(dir string, trying bool) {
	o, ok := u.out.Want.Get(resource.SelfKey(u.want.Upgrade))
	if !ok {
		return
	}
	s := o.Resource.(resource.Self)
	s.Dir, s.Seen = dir, u.self.Seen
	if s.Seen.Next != "" || dir == "" || s.Seen.Failed == dir && u.was.State == resource.JournalRollback {
		s.Dir = u.self.Dir
	}
	s.Seen.Standby = s.Seen.Standby && (trying || s.Seen.Next != "")
	o.Resource = s
	u.out.Want.Put(o)
}

// evidence is since when the version that is tried is ready, Never for not yet,
// or why it is unfit.
func (u *upgrading) evidence(j resource.Journal) (ready Instant, fault string) {
	switch u.want.Mode {
	case resource.StartHandover:
		return u.selfReady(j)
	case resource.StartDaemon:
		return u.daemonsReady(j)
	}
	if u.dir != j.To {
		return Never, ""
	}
	return Instant(j.Since), ""
}

func (u *upgrading) selfReady(j resource.Journal) (Instant, string) {
	switch {
	case u.self.Dir == j.To && u.self.Seen.Next == "":
		return max(Instant(j.Since), Instant(u.self.Seen.Started)), ""
	case u.self.Seen.Failed == j.To:
		return Never, cmp.Or(u.self.Seen.Reason, "it did not take over")
	}
	return Never, ""
}

// daemonsReady asks all processes of the version.
func (u *upgrading) daemonsReady(j resource.Journal) (Instant, string) {
	since := Instant(j.Since)
	ready := since
	for _, want := range daemonsOf(u.out.Want, u.want.Upgrade) {
		want.Release = j.To
		o, ok := u.have.Get(want.Key())
		if !ok {
			ready = Never
			if fault := u.late(since.Add(want.Ready.Timeout+want.StopAfter+startGrace), "it did not start"); fault != "" {
				return Never, fault
			}
			continue
		}
		at, fault := u.daemonReady(o.Resource.(resource.Daemon))
		if fault != "" {
			return Never, fault
		}
		ready = max(ready, at)
	}
	return ready, ""
}

func (u *upgrading) daemonReady(d resource.Daemon) (Instant, string) {
	switch {
	case d.Seen.State != resource.DaemonRunning:
		return Never, "it ended: " + cmp.Or(d.Seen.Reason, "nobody knows how")
	case d.Seen.Restarts > 0:
		return Never, "it ended and was started again: " + cmp.Or(d.Seen.Reason, "nobody knows how it ended")
	case d.Seen.Ready != 0:
		return Instant(d.Seen.Ready), ""
	}
	late := fmt.Sprintf("it was not ready within %s", d.Ready.Timeout)
	return Never, u.late(Instant(d.Seen.Started).Add(d.Ready.Timeout), late)
}

// late is why, once an instant has come.
func (u *upgrading) late(until Instant, why string) string {
	if until <= u.Now.At {
		return why
	}
	u.out.Next = Earliest(u.out.Next, until)
	return ""
}

// restored reports that the former version is at work again, as far as it ever
// will be.
func (u *upgrading) restored(j resource.Journal) bool {
	switch u.want.Mode {
	case resource.StartHandover:
		return u.self.Seen.Next == "" && (u.self.Dir == j.From || j.From == "" || u.self.Seen.Failed == j.From)
	case resource.StartDaemon:
		for _, want := range daemonsOf(u.out.Want, u.want.Upgrade) {
			want.Release = j.From
			if j.From != "" && !u.have.Has(want.Key()) {
				return false
			}
		}
		for _, d := range daemonsOf(u.have, u.want.Upgrade) {
			if d.Release == j.To && d.Seen.State != resource.DaemonExited {
				return false
			}
		}
	}
	return true
}

// daemonsOf lists the processes of an upgrade.
func daemonsOf(set *resource.Set, upgrade string) map[resource.Key]resource.Daemon {
	out := make(map[resource.Key]resource.Daemon)
	set.Each(func(k resource.Key, o resource.Object) bool {
		if d, ok := o.Resource.(resource.Daemon); ok && d.Upgrade == upgrade {
			out[k] = d
		}
		return true
	})
	return out
}
