package netlink

import (
	"testing"

	"reconciler/internal/observed"
	"reconciler/internal/resource"
)

// TestExactRoutesAreReadOnEveryLook looks at what is wanted only: the routes of
// others are in the answer where, and only where, a list is exact.
func TestExactRoutesAreReadOnEveryLook(t *testing.T) {
	b := newBench(t)
	ground(b)
	only := resource.LinkPolicy{Exact: []resource.Kind{resource.KindRoute}}
	for _, c := range []struct {
		name string
		link resource.Link
		far  bool // b0's routes are in the answer as well
	}{
		{"by name", resource.Link{Name: "a0", Type: resource.Veth, Peer: "a1", Policy: only}, false},
		{"by match", resource.Link{Name: "uplink", Match: resource.Match{Name: "a0"}, Policy: only}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			want := setOf(c.link)
			foreign := []resource.Key{
				resource.RouteKey(pfx("198.51.100.0/24"), 254, 0), resource.RouteKey(pfx("198.51.101.0/24"), 77, 5),
				resource.RouteKey(pfx("198.51.102.0/24"), 254, 0), resource.RouteKey(pfx("2001:db8:99::/48"), 254, 1024),
			}
			check := func(when string, there bool) {
				t.Helper()
				for range 2 { // the second is told from memory
					have := b.look(observed.Query{Want: want}).Objects
					for _, k := range foreign {
						if have.Has(k) != there {
							t.Errorf("%s: %s in the answer: %v", when, k, !there)
						}
					}
					if k := resource.RouteKey(pfx("192.0.2.0/24"), 254, 0); have.Has(k) != (there && c.far) {
						t.Errorf("%s: %s in the answer: %v", when, k, have.Has(k))
					}
				}
			}
			check("before", false)
			b.batch(`route add 198.51.100.0/24 via 10.0.0.254 proto bird
route add 198.51.101.0/24 dev a0 table 77 metric 5
route add 198.51.102.0/24 nexthop via 10.1.0.254 dev b0 nexthop via 10.0.0.254 dev a0
route add 192.0.2.0/24 dev b0
route add 2001:db8:99::/48 dev a0`)
			check("with them", true)
			b.batch(`route del 198.51.100.0/24
route del 198.51.101.0/24 table 77
route del 198.51.102.0/24
route del 192.0.2.0/24
route del 2001:db8:99::/48`)
			check("after", false)
		})
	}
}
