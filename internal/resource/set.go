package resource

import (
	"fmt"
	"iter"
	"maps"
	"net/netip"
	"slices"
)

// Set holds objects by Key. The zero value is empty and ready to use. A Set is
// owned by one goroutine; Clone it to hand it on.
type Set struct {
	objects map[Key]Object
	sorted  []Object                  // nil when stale
	links   map[string]map[Key]Object // by the link they stand on; nil until asked for
	aside   []Object
}

// NewSet returns a Set with room for n objects.
func NewSet(n int) *Set { return &Set{objects: make(map[Key]Object, n)} }

// Add puts an object in; it is an error if the Key is taken.
func (s *Set) Add(o Object) error {
	k := o.Key()
	if had, ok := s.objects[k]; ok {
		if had.Origin != "" {
			return fmt.Errorf("add %s: already declared at %s", k, had.Origin)
		}
		return fmt.Errorf("add %s: already there", k)
	}
	s.put(k, o)
	return nil
}

// Put puts an object in, over one with the same Key.
func (s *Set) Put(o Object) { s.put(o.Key(), o) }

func (s *Set) put(k Key, o Object) {
	if s.objects == nil {
		s.objects = make(map[Key]Object)
	}
	if s.links != nil {
		s.unlink(k)
		s.link(k, o)
	}
	s.objects[k] = o
	s.sorted = nil
}

// Remove takes an object out; it is no error if it is not there.
func (s *Set) Remove(k Key) {
	if _, ok := s.objects[k]; ok {
		s.unlink(k)
		delete(s.objects, k)
		s.sorted = nil
	}
}

func (s *Set) link(k Key, o Object) {
	for _, place := range places(o.Resource) {
		if s.links[place] == nil {
			s.links[place] = make(map[Key]Object)
		}
		s.links[place][k] = o
	}
}

func (s *Set) unlink(k Key) {
	o, ok := s.objects[k]
	if !ok || s.links == nil {
		return
	}
	for _, place := range places(o.Resource) {
		delete(s.links[place], k)
	}
}

// Get returns the object with a Key.
func (s *Set) Get(k Key) (Object, bool) {
	if s == nil {
		return Object{}, false
	}
	o, ok := s.objects[k]
	return o, ok
}

// Has reports whether a Key is in the Set.
func (s *Set) Has(k Key) bool {
	_, ok := s.Get(k)
	return ok
}

// Len is the number of objects.
func (s *Set) Len() int {
	if s == nil {
		return 0
	}
	return len(s.objects)
}

// All returns the objects sorted by Key. The slice belongs to the Set.
func (s *Set) All() []Object {
	if s == nil {
		return nil
	}
	if s.sorted == nil && len(s.objects) > 0 {
		keyed := make([]keyedObject, 0, len(s.objects))
		for k, o := range s.objects {
			keyed = append(keyed, keyedObject{k, o})
		}
		slices.SortFunc(keyed, func(a, b keyedObject) int { return a.key.Compare(b.key) })
		s.sorted = make([]Object, len(keyed))
		for i := range keyed {
			s.sorted[i] = keyed[i].object
		}
	}
	return s.sorted
}

type keyedObject struct {
	key    Key
	object Object
}

// Each calls f for every object, in no order, until it returns false.
func (s *Set) Each(f func(Key, Object) bool) {
	if s == nil {
		return
	}
	for k, o := range s.objects {
		if !f(k, o) {
			return
		}
	}
}

// On iterates over the objects that stand on a link, in no order.
func (s *Set) On(link string) iter.Seq2[Key, Object] {
	if s == nil {
		return maps.All(map[Key]Object(nil))
	}
	if s.links == nil {
		s.links = make(map[string]map[Key]Object)
		for k, o := range s.objects {
			s.link(k, o)
		}
	}
	return maps.All(s.links[link])
}

// From iterates over the routes that have an address as their source.
func (s *Set) From(source netip.Addr) iter.Seq2[Key, Object] { return s.On(sourcePlace(source)) }

// places are what an object is found by: the links it stands on, and the
// source of a route, which may be an address of another link.
func places(r Resource) []string {
	out := Parents(r)
	if route, ok := r.(Route); ok && route.PrefSrc.IsValid() {
		out = append(out[:len(out):len(out)], sourcePlace(route.PrefSrc))
	}
	return out
}

// sourcePlace cannot be the name of a link, which holds no space.
func sourcePlace(source netip.Addr) string { return "src " + source.String() }

// SetAside keeps an object beside the Set: it is wanted, and the host has no
// one place for it. What may be it is left alone.
func (s *Set) SetAside(o Object) { s.aside = append(s.aside, o) }

// Aside lists what was set aside.
func (s *Set) Aside() []Object { return s.aside }

// Clone returns a Set of its own with the same objects.
func (s *Set) Clone() *Set {
	c := NewSet(s.Len())
	s.Each(func(k Key, o Object) bool { c.objects[k] = o; return true })
	c.aside = slices.Clone(s.aside)
	return c
}

// Parents lists the links a resource stands on: one for most, two for a port,
// those of all next hops for a route, the lower link for a stacked one.
func Parents(r Resource) []string {
	if m, ok := r.(interface{ Parents() []string }); ok {
		return m.Parents()
	}
	if c, ok := r.(Child); ok && c.Parent() != "" {
		return []string{c.Parent()}
	}
	return nil
}
