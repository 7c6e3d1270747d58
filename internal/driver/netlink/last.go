package netlink

import (
	"slices"

	"reconciler/internal/resource"
)

// last is what a look read, object by object in the kernel's order, and what
// was worked out from it. Where the kernel tells the same again, and the same
// is wanted, that is not worked out anew: with 100,000 routes it was half of
// the time of a look.
type last struct {
	want    *resource.Set
	read    []resource.Object               // all but what missing and sysctls lead to
	missing map[resource.Key]resource.Route // declared and not in read
	sysctls []resource.Sysctl               // declared, by the kernel's names
	objects []resource.Object               // all that was read
	set     *resource.Set                   // of objects; handed out again, so nobody changes it
}

// recall finds out whether what was read so far is what the last look read.
func (l *look) recall() {
	l.read = len(l.objects)
	last := &l.d.last
	if l.plain() && last.set != nil && last.want == l.q.Want && slices.EqualFunc(last.read, l.objects, resource.Object.Same) {
		l.last = last
	}
}

// plain is a look that only a wanted set bounds, and that could read all.
func (l *look) plain() bool { return !l.q.All && len(l.q.Around) == 0 && len(l.blinds) == 0 }

// remember keeps a look for the next one, unless that is there already.
func (l *look) remember(set *resource.Set) {
	if !l.plain() || set == l.d.last.set {
		return
	}
	l.d.last = last{
		want: l.q.Want, read: l.objects[:l.read], objects: l.objects,
		missing: l.missing, sysctls: l.declared, set: set,
	}
}

// gather makes a set of what was read so far. Where the kernel holds two
// objects of one identity, ours counts, else the first; a further rule is in it
// under a name of its own. It is not called
// within a dump, which may be taken back.
func (l *look) gather() *resource.Set {
	if l.last != nil && slices.EqualFunc(l.last.objects[l.read:], l.objects[l.read:], resource.Object.Same) {
		return l.last.set
	}
	if l.set == nil {
		l.set = resource.NewSet(len(l.objects))
	}
	for _, o := range l.objects[l.gathered:] {
		if l.set.Add(o) == nil {
			continue
		}
		if had, _ := l.set.Get(o.Key()); o.Owner == resource.Ours && had.Owner != resource.Ours {
			l.set.Put(o)
			o = had
		}
		l.twin(o)
	}
	l.gathered = len(l.objects)
	return l.set
}

// twin puts a further rule of one priority in the set.
func (l *look) twin(o resource.Object) {
	r, ok := o.Resource.(resource.Rule)
	if !ok {
		return
	}
	if l.twins == nil {
		l.twins = map[resource.Key]uint32{}
	}
	k := r.Key()
	l.twins[k]++
	r.Twin = l.twins[k] + 1
	o.Resource = r
	l.set.Put(o)
}

// exactly are the links of a wanted set whose list of routes is exact, so that
// the set need not be gone through at each look.
type exactly struct {
	want  *resource.Set
	links []resource.Link
}

func (e *exactly) of(want *resource.Set) []resource.Link {
	if e.want == want {
		return e.links
	}
	*e = exactly{want: want}
	want.Each(func(_ resource.Key, o resource.Object) bool {
		if l, ok := o.Resource.(resource.Link); ok && slices.Contains(l.Policy.Exact, resource.KindRoute) {
			e.links = append(e.links, l)
		}
		return true
	})
	return e.links
}
