package observed_test

import (
	"context"
	"errors"
	"testing"

	"reconciler/internal/observed"
	"reconciler/internal/resource"
)

// part is an observer of one driver.
type part struct {
	name  string
	state observed.State
	err   error
}

func (p *part) Name() string { return p.name }

func (p *part) Observe(context.Context, observed.Query) (observed.State, error) {
	return p.state, p.err
}

func partOf(name string, resources ...resource.Resource) *part {
	s := resource.NewSet(0)
	for _, r := range resources {
		s.Put(resource.Object{Resource: r, Owner: resource.Ours})
	}
	return &part{name: name, state: observed.State{Objects: s}}
}

// asDeclared is the naming of a host whose links have the names in YAML.
func asDeclared(want *resource.Set, _ observed.State) *resource.Set { return want }

func TestUnion(t *testing.T) {
	links := partOf(resource.Netlink, resource.Link{Name: "eth0"})
	chains := partOf(resource.ChainDriver, resource.Chain{Link: "eth0", Hook: resource.XDPIngress})
	from := []observed.Observer{links, chains}
	var u observed.Union
	look := func(q observed.Query) observed.State {
		t.Helper()
		s, err := u.Observe(context.Background(), from, q, asDeclared)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}

	first := look(observed.Query{})
	if first.Objects.Len() != 2 {
		t.Fatalf("%d objects, want those of both drivers", first.Objects.Len())
	}
	if look(observed.Query{}).Objects != first.Objects {
		t.Error("what was handed out again was merged again")
	}
	if look(observed.Query{All: true}).Objects == first.Objects {
		t.Error("a plan for a person was made of a set that others hold")
	}
	links.state = partOf(resource.Netlink, resource.Link{Name: "eth0", MTU: 9000}).state
	if now := look(observed.Query{}); now.Objects.Same(first.Objects) {
		t.Error("a change was not seen")
	}
	chains.err = errors.New("broken")
	if now := look(observed.Query{}); now.Objects.Len() != 1 || len(now.Blind) != 1 || now.Blind[0].Driver != resource.ChainDriver {
		t.Errorf("a driver that fails is not blind as a whole: %+v", now)
	}
}

func TestTwoDriversOfOneKey(t *testing.T) {
	from := []observed.Observer{partOf("a", resource.Link{Name: "eth0"}), partOf("b", resource.Link{Name: "eth0"})}
	if _, err := new(observed.Union).Observe(context.Background(), from, observed.Query{}, asDeclared); err == nil {
		t.Error("two objects with one key were merged")
	}
}
