package netlink

import (
	"context"
	"errors"
	"slices"
	"testing"

	"reconciler/internal/diff"
	"reconciler/internal/observed"
	"reconciler/internal/resource"
)

// byDriver is a wanted link that is told by its driver.
func byDriver(name, driver string) resource.Link {
	return resource.Link{Name: name, Match: resource.Match{Driver: driver}}
}

func TestMatchByDriver(t *testing.T) {
	b := newBench(t)
	b.IP("link", "add", "p0", "type", "veth", "peer", "name", "p1")
	b.IP("link", "add", "br0", "type", "bridge")
	b.IP("link", "add", "vx0", "type", "vxlan", "id", "7", "dstport", "4789")
	want := setOf(byDriver("b", "bridge"), byDriver("x", "vxlan"), byDriver("v", "veth"), byDriver("n", "never"),
		addr("b", "192.0.2.1/24"), addr("v", "192.0.2.129/25"))

	have := b.look(observed.Query{Want: want})
	for link, driver := range map[string]string{"p0": "veth", "p1": "veth", "br0": "bridge", "vx0": "vxlan", "lo": ""} {
		o, _ := have.Objects.Get(resource.LinkKey(link))
		if got := o.Resource.(resource.Link).Seen.Driver; got != driver {
			t.Errorf("the driver of %s is %q, want %q", link, got, driver)
		}
	}
	bound, notes := diff.Bind(want, have)
	for _, k := range []resource.Key{resource.LinkKey("br0"), resource.LinkKey("vx0"), addr("br0", "192.0.2.1/24").Key()} {
		if !bound.Has(k) {
			t.Errorf("%s is not bound", k)
		}
	}
	codes := map[string]diff.NoteCode{}
	for _, n := range notes {
		codes[n.Key.Name] = n.Code
	}
	if codes["v"] != diff.Ambiguous || codes["n"] != diff.Absent || len(notes) != 3 {
		t.Errorf("notes %v: want v and its address to be ambiguous, n absent", notes)
	}
}

// TestDriverUnasked: what no match asks for is not read.
func TestDriverUnasked(t *testing.T) {
	b := newBench(t)
	b.IP("link", "add", "br0", "type", "bridge")
	have := b.look(observed.Query{All: true, Want: setOf(resource.Link{Name: "br0"}, resource.Link{Name: "x", Match: resource.Match{Name: "br*"}})})
	o, _ := have.Objects.Get(resource.LinkKey("br0"))
	if got := o.Resource.(resource.Link).Seen.Driver; got != "" {
		t.Errorf("the driver %q was read", got)
	}
}

// TestDriverUnreadable: a link whose driver is not known, and those that may
// mean it, are left alone; all others are not.
func TestDriverUnreadable(t *testing.T) {
	b := newBench(t)
	for _, name := range []string{"p0", "p1"} {
		b.make(resource.Link{Name: name, Type: resource.Bridge, Group: resource.LinkGroup, State: resource.Up})
	}
	b.make(addr("p0", "192.0.2.1/24"), addr("p1", "198.51.100.1/24"))
	have := b.look(observed.Query{All: true})

	up := byDriver("up", "special")
	l := &look{d: b.Driver, ctx: context.Background()}
	raw := []rawLink{{Link: resource.Link{Name: "p0"}}, {Link: resource.Link{Name: "p1"}}}
	l.readDrivers(raw, []resource.Link{up}, func(link string) (driverInfo, error) {
		if link == "p0" {
			return driverInfo{}, errors.New("injected")
		}
		return driverInfo{name: "bridge"}, nil
	})
	have.Blind = l.blinds
	scopes := make([]string, 0, 2)
	for _, s := range l.blinds {
		scopes = append(scopes, s.Parent)
	}
	if !slices.Equal(scopes, []string{"p0", "up"}) || raw[1].Seen.Driver != "bridge" {
		t.Fatalf("blind on %v, and p1 has driver %q", scopes, raw[1].Seen.Driver)
	}

	bound, notes := diff.Bind(setOf(up, addr("up", "192.0.2.1/24")), have)
	plan, err := diff.Compute(bound, have)
	if err != nil || len(notes) > 0 {
		t.Fatalf("notes %v, error %v", notes, err)
	}
	// Both are ours, with their addresses, and no longer wanted.
	for _, op := range plan.Ops {
		if op.Key == resource.LinkKey("p0") || op.Key == addr("p0", "192.0.2.1/24").Key() {
			t.Errorf("planned on what is blind: %s %s", op.Verb, op.Key)
		}
	}
	if !slices.ContainsFunc(plan.Ops, func(op diff.Op) bool { return op.Key == resource.LinkKey("p1") }) {
		t.Errorf("nothing is planned on what is seen: %v", plan.Ops)
	}
}
