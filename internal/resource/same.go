package resource

import "reflect"

// Same reports that two sets hold the same objects, in every detail, also in
// those that Equal leaves out.
func (s *Set) Same(o *Set) bool {
	if s.Len() != o.Len() {
		return false
	}
	same := true
	s.Each(func(k Key, a Object) bool {
		b, ok := o.objects[k]
		same = ok && sameObject(a, b)
		return same
	})
	return same
}

// sameObject is quick for the kinds that come in tens of thousands.
func sameObject(a, b Object) bool {
	if a.Owner != b.Owner || a.Origin != b.Origin {
		return false
	}
	switch x := a.Resource.(type) {
	case Address, Neighbour:
		return a.Resource == b.Resource
	case Route:
		y, ok := b.Resource.(Route)
		return ok && x.Adopt == y.Adopt && x.Equal(y)
	}
	return reflect.DeepEqual(a.Resource, b.Resource)
}
