package resource

import (
	"reflect"
	"slices"
)

// Same reports that two sets hold the same objects, in every detail, also in
// those that Equal leaves out.
func (s *Set) Same(o *Set) bool {
	if s == o {
		return true
	}
	if s.Len() != o.Len() {
		return false
	}
	same := true
	s.Each(func(k Key, a Object) bool {
		b, ok := o.objects[k]
		same = ok && a.Same(b)
		return same
	})
	return same
}

// Same reports that two objects do not differ in anything. It is quick for the
// kinds that come in thousands.
func (o Object) Same(b Object) bool {
	if o.Owner != b.Owner || o.Origin != b.Origin {
		return false
	}
	switch x := o.Resource.(type) {
	case Address, Neighbour, Port:
		return o.Resource == b.Resource
	case Route:
		y, ok := b.Resource.(Route)
		return ok && x.Adopt == y.Adopt && x.Equal(b.Resource)
	case Link:
		y, ok := b.Resource.(Link)
		return ok && x.same(&y) && x.Equal(b.Resource)
	}
	return reflect.DeepEqual(o.Resource, b.Resource)
}

// same compares what Equal leaves out.
func (l *Link) same(m *Link) bool {
	return l.Label == m.Label && l.Match == m.Match && l.Far == m.Far && l.Kept == m.Kept &&
		l.Policy.same(m.Policy) && l.Seen.same(m.Seen)
}

func (p LinkPolicy) same(q LinkPolicy) bool {
	return p.Optional == q.Optional && p.Protect == q.Protect && p.Adopt == q.Adopt && slices.Equal(p.Exact, q.Exact)
}

func (s Seen) same(t Seen) bool {
	return s.Index == t.Index && slices.Equal(s.AltNames, t.AltNames) && s.PermanentMAC == t.PermanentMAC &&
		s.Driver == t.Driver && s.PCI == t.PCI && s.Master == t.Master && s.Loopback == t.Loopback &&
		s.Running == t.Running && s.KeepAddrOnDown == t.KeepAddrOnDown &&
		s.PromoteSecondaries == t.PromoteSecondaries && s.LooseBinding == t.LooseBinding
}
