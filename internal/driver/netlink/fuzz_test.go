package netlink

import (
	"net/netip"
	"testing"

	"reconciler/internal/driver/netlink/wire"
	"reconciler/internal/resource"
)

// FuzzRead gives arbitrary bytes to all readers: nothing they return may break
// what comes after. The corpus are messages of a real kernel.
func FuzzRead(f *testing.F) {
	names := newNames(0)
	for i, name := range []string{"lo", "a0", "a1", "br0"} {
		names.add(resource.Link{Name: name, Seen: resource.Seen{Index: int32(i + 1)}})
	}
	f.Fuzz(func(t *testing.T, kind uint16, body []byte) {
		m := wire.Message{Type: kind, Body: body}
		l := &look{names: names}
		var read []resource.Resource
		if r, ok := readLink(m); ok {
			l.addLink(&r)
		}
		if a, flags, ok := readAddress(m, names.byIndex); ok {
			addressOwner(a, flags)
			read = append(read, a)
		}
		for range 2 { // the memory for next hops is shared
			if r, ok := l.readRoute(m); ok {
				read = append(read, r)
			}
		}
		if r, ok := readRule(m); ok {
			read = append(read, r)
		}
		if n, ok := readNeighbour(m, names.byIndex); ok {
			read = append(read, n)
		}
		for _, o := range l.objects {
			read = append(read, o.Resource)
		}
		for _, r := range read {
			checkRead(t, r)
		}
	})
}

func checkRead(t *testing.T, r resource.Resource) {
	if !r.Equal(r) {
		t.Errorf("%#v is not equal to itself", r)
	}
	if r.Key().Name == "" {
		t.Errorf("%#v has no name", r)
	}
	r.Fields()
	r.Requires()
	switch r := r.(type) {
	case resource.Address:
		valid(t, r.Prefix)
	case resource.Route:
		valid(t, r.To)
	}
}

func valid(t *testing.T, p netip.Prefix) {
	if !p.IsValid() {
		t.Errorf("%v is no prefix", p)
	}
}
