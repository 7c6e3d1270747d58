package netlink

import (
	"context"
	"slices"
	"testing"
	"time"

	"reconciler/internal/diff"
	"reconciler/internal/observed"
	"reconciler/internal/resource"
)

// lateAt is a context in which one exchange with the kernel has no time left,
// and all others have.
type lateAt struct {
	context.Context
	left *int
}

// Deadline is asked for once for each exchange.
func (c lateAt) Deadline() (time.Time, bool) {
	*c.left--
	return time.Now().Add(-time.Second), *c.left == -1
}

// TestBlind lets each dump fail in its turn: of the kind that could not be read
// nothing is planned, of the others all that there is.
func TestBlind(t *testing.T) {
	b := newBench(t)
	links := append(pair("p0", "p1"), resource.Link{Name: "br0", Type: resource.Bridge, Group: resource.LinkGroup, State: resource.Up})
	gone := []resource.Resource{
		addr("p0", "192.0.2.1/24"), addr("p1", "2001:db8::1/64"),
		via("203.0.113.0/24", "198.51.100.2", "br0"), via("2001:db8:2::/48", "2001:db8:1::2", "br0"),
		resource.Rule{Family: resource.IPv4, Priority: 100, IIF: "p0", Action: resource.ProhibitRule, Protocol: resource.Protocol},
		resource.Rule{Family: resource.IPv6, Priority: 100, IIF: "p0", Action: resource.ProhibitRule, Protocol: resource.Protocol},
		resource.Neighbour{Link: "br0", To: ip("198.51.100.2"), LLAddr: resource.MAC{2, 0, 0, 0, 0, 7}, Protocol: resource.Protocol},
	}
	kept := append(slices.Clone(links), addr("br0", "198.51.100.1/24"), addr("br0", "2001:db8:1::1/64"))
	b.make(append(slices.Clone(kept), gone...)...)
	want := setOf(kept...)

	blinded := map[resource.Kind]int{}
	for at := range 50 {
		have, err := b.Observe(lateAt{context.Background(), &at}, observed.Query{Want: want, All: true})
		switch {
		case err != nil && len(blinded) > 0:
			t.Fatal(err)
		case err != nil:
			continue // without links nothing is known, and nothing planned
		case len(have.Blind) == 0:
			for _, kind := range []resource.Kind{resource.KindAddress, resource.KindRule, resource.KindRoute, resource.KindNeighbour} {
				if blinded[kind] == 0 {
					t.Errorf("no dump of kind %s failed", kind)
				}
			}
			return
		}
		if len(have.Blind) != 1 || have.Blind[0].Driver != resource.Netlink || have.Blind[0].Kind == "" {
			t.Fatalf("blind on %v, want one kind", have.Blind)
		}
		kind := have.Blind[0].Kind
		blinded[kind]++
		onlyOthers(t, kind, want, have, gone)
	}
	t.Fatal("each time something is blind")
}

// onlyOthers checks that a plan removes what is to go, but for one kind.
func onlyOthers(t *testing.T, blind resource.Kind, want *resource.Set, have observed.State, gone []resource.Resource) {
	t.Helper()
	bound, notes := diff.Bind(want, have)
	plan, err := diff.Compute(bound, have)
	if err != nil || len(notes) > 0 || plan.Empty() || len(plan.Blind) != 1 {
		t.Fatalf("blind on %s: error %v, notes %v, empty %v, blind %v", blind, err, notes, plan.Empty(), plan.Blind)
	}
	var got, planned []resource.Key
	for _, op := range plan.Ops {
		planned = append(planned, op.Key)
		if op.Verb != diff.Delete {
			t.Errorf("blind on %s: %s %s", blind, op.Verb, op.Key)
		}
		if i := slices.IndexFunc(op.Takes, func(k resource.Key) bool { return k.Kind == blind }); i >= 0 {
			t.Errorf("blind on %s: %s %s takes %s", blind, op.Verb, op.Key, op.Takes[i])
		}
	}
	for _, r := range gone {
		if r.Key().Kind != blind {
			got = append(got, r.Key())
		}
	}
	slices.SortFunc(got, resource.Key.Compare)
	slices.SortFunc(planned, resource.Key.Compare)
	if !slices.Equal(planned, got) {
		t.Errorf("blind on %s: planned to delete %v\nwant %v", blind, planned, got)
	}
}
