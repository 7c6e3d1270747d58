package intent

import (
	"time"

	"reconciler/internal/resource"
)

// Failure is a key whose operation failed, again and again.
type Failure struct {
	Count int
	Err   string
	Until Instant // not tried before
}

const firstBackoff = time.Second

// Again is the failure after one more: the wait doubles from a second to most.
func (f Failure) Again(err string, most time.Duration, now Instant) Failure {
	wait := most
	if f.Count < 30 { // beyond, the shift would overflow; it is far above any most
		wait = min(most, firstBackoff<<f.Count)
	}
	return Failure{Count: f.Count + 1, Err: err, Until: now.Add(wait)}
}

// Repairs remembers when a key was repaired, to notice somebody who undoes it.
type Repairs struct {
	Times []Instant // at most undoneTimes, oldest first
	Holds int       // how often it was left to them
	Until Instant   // left to them until then
}

// Two managers on one object: undone 5 times within a minute, the key is left
// alone for a minute, then two, up to 16.
const (
	undoneTimes  = 5
	undoneWithin = time.Minute
	firstHold    = time.Minute
	mostDoubles  = 4
)

// Repaired is the memory after one more repair.
func (r Repairs) Repaired(now Instant) Repairs {
	times := append([]Instant(nil), r.Times...)
	times = append(times, now)
	if len(times) > undoneTimes {
		times = times[1:]
	}
	if len(times) < undoneTimes || now.Sub(times[0]) > undoneWithin {
		return Repairs{Times: times, Holds: r.Holds, Until: r.Until}
	}
	return Repairs{Holds: r.Holds + 1, Until: now.Add(firstHold << min(r.Holds, mostDoubles))}
}

// Stale reports that nothing happened to a key for so long that it can be
// forgotten.
func (r Repairs) Stale(now Instant) bool {
	last := r.Until
	if n := len(r.Times); n > 0 {
		last = max(last, r.Times[n-1])
	}
	return now.Sub(last) > firstHold<<mostDoubles
}

// LeaveAlone returns want with the keys as they are now, whatever was wanted
// of them: what exists stays, what does not is not made, nor what requires it.
// want is not changed.
func LeaveAlone(want, have *resource.Set, keys []resource.Key) *resource.Set {
	return leave(want, have, keys, keep)
}

// KeepUp is LeaveAlone of what cannot be made for now: what exists stays, and is
// mended where others damaged it.
func KeepUp(want, have *resource.Set, keys []resource.Key) *resource.Set {
	return leave(want, have, keys, mend)
}

func leave(want, have *resource.Set, keys []resource.Key, keep func(out, have *resource.Set, k resource.Key) bool) *resource.Set {
	if len(keys) == 0 {
		return want
	}
	out := want.Clone()
	absent := make(map[resource.Key]bool)
	kept := make(map[resource.Key]bool)
	for _, k := range keys {
		if kept[k] = keep(out, have, k); !kept[k] {
			absent[k] = true
		}
	}
	for more := len(absent) > 0; more; {
		more = false
		for _, o := range out.All() {
			if kept[o.Key()] || !requiresAny(o, absent) {
				continue
			}
			if kept[o.Key()] = keep(out, have, o.Key()); !kept[o.Key()] {
				absent[o.Key()] = true
			}
			more = true
		}
	}
	keepRequired(out, have, kept)
	return out
}

// keepRequired lets what a kept object stands on stay with it, also where
// something else is wanted in its place.
func keepRequired(out, have *resource.Set, kept map[resource.Key]bool) {
	var todo []resource.Key
	for k, ok := range kept {
		if ok {
			todo = append(todo, k)
		}
	}
	for ; len(todo) > 0; todo = todo[1:] {
		o, _ := out.Get(todo[0])
		for _, k := range o.Requires() {
			if h, there := have.Get(k); there && h.Owner == resource.Ours && !out.Has(k) {
				out.Put(h)
				todo = append(todo, k)
			}
		}
	}
}

// keep makes out hold what have holds at k; false if that is nothing.
func keep(out, have *resource.Set, k resource.Key) bool {
	h, ok := have.Get(k)
	if !ok {
		out.Remove(k)
		return false
	}
	if w, ok := out.Get(k); ok {
		h.Origin = w.Origin
		h.Resource = withPolicy(h.Resource, w.Resource)
	} else {
		h.Origin = ""
	}
	out.Put(h)
	return true
}

// mend is keep, with what exists as it was made.
func mend(out, have *resource.Set, k resource.Key) bool {
	w, _ := out.Get(k)
	if !keep(out, have, k) {
		return false
	}
	o, _ := out.Get(k)
	if m, ok := o.Resource.(resource.Mender); ok && o.Owner == resource.Ours {
		o.Resource = m.Mended(w.Resource)
		out.Put(o)
	}
	return true
}

// withPolicy keeps what is wanted of how to treat a link, or the version in use.
func withPolicy(have, want resource.Resource) resource.Resource {
	switch w := want.(type) {
	case resource.Link:
		if h, ok := have.(resource.Link); ok {
			h.Policy = w.Policy
			return h
		}
	case resource.Current:
		if h, ok := have.(resource.Current); ok && h.Dir != "" {
			w.Dir, w.Version = h.Dir, resource.ReleaseVersion(h.Dir)
			return w
		}
	}
	return have
}

func requiresAny(o resource.Object, keys map[resource.Key]bool) bool {
	for _, k := range o.Requires() {
		if keys[k] {
			return true
		}
	}
	return false
}
