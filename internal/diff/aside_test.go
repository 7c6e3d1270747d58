package diff_test

import (
	"testing"

	"reconciler/internal/diff"
	"reconciler/internal/observed"
	"reconciler/internal/resource"
)

// What stands on a link that a match can no longer tell, or that is gone by
// its name, is declared still: it is held, not deleted.
func TestUnboundIsNotDeleted(t *testing.T) {
	want := setOf(of(
		resource.Link{Name: "up", Match: resource.Match{Name: "e*"}},
		addr("up", "10.0.0.5/24"), route("203.0.113.0/24", "up", "10.0.0.254"),
	))
	there := func(names ...string) observed.State {
		have := resource.NewSet(0)
		for _, name := range names {
			have.Put(resource.Object{Resource: resource.Link{Name: name, State: resource.Up}, Owner: resource.Foreign})
		}
		for _, r := range of(addr(names[0], "10.0.0.5/24"), addr(names[0], "10.0.9.9/24"), route("203.0.113.0/24", names[0], "10.0.0.254")) {
			have.Put(resource.Object{Resource: r, Owner: resource.Ours})
		}
		return observed.State{Objects: have}
	}
	for _, c := range []struct {
		name    string
		have    observed.State
		deletes string
	}{
		{"one hit", there("e0"), "10.0.9.9/24 dev e0"},
		{"a second link fits", there("e0", "e9"), ""},
		{"renamed away", there("lan0"), "10.0.9.9/24 dev lan0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			bound, _ := diff.Bind(want, c.have)
			plan, err := diff.Compute(bound, c.have)
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			for _, op := range plan.Ops {
				if op.Verb == diff.Delete {
					got += op.Key.Name
				}
			}
			if got != c.deletes {
				t.Errorf("deletes %q, want %q\n%s", got, c.deletes, describe(plan))
			}
		})
	}
}

// Neither end of a pair goes while the other could not be read.
func TestBlindPeerIsNotTaken(t *testing.T) {
	have := setOf(veth("p0"))
	for _, o := range have.All() {
		o.Owner = resource.Ours
		have.Put(o)
	}
	state := observed.State{Objects: have, Blind: []observed.Blind{{Scope: observed.Scope{Driver: resource.Netlink, Parent: "p0"}, Reason: "on purpose"}}}
	plan, err := diff.Compute(resource.NewSet(0), state)
	if err != nil {
		t.Fatal(err)
	}
	if !plan.Empty() || plan.InSync() {
		t.Errorf("got:\n%s", describe(plan))
	}
}

// What a chain runs stays as long as the chain does.
func TestProgramsOfAHeldChainStay(t *testing.T) {
	run := func(link string) (resource.Program, resource.Chain) {
		p := resource.Program{Name: "count", Link: link, Digest: "0123456789abcdef"}
		return p, resource.Chain{
			Link: link, Hook: resource.XDPIngress,
			Slots: []resource.Slot{{Program: p.Name, Link: p.Link, Digest: p.Digest}},
		}
	}
	program, chain := run("uplink")
	want := setOf(of(resource.Link{Name: "uplink", Match: resource.Match{Name: "e*"}}, program, chain))
	have := resource.NewSet(0)
	have.Put(resource.Object{Resource: resource.Link{Name: "lan0", State: resource.Up}, Owner: resource.Foreign})
	program, chain = run("lan0")
	for _, r := range of(program, chain) {
		have.Put(resource.Object{Resource: r, Owner: resource.Ours})
	}
	bound, _ := diff.Bind(want, observed.State{Objects: have})
	plan, err := diff.Compute(bound, observed.State{Objects: have})
	if err != nil {
		t.Fatal(err)
	}
	for _, op := range plan.Ops {
		if op.Verb == diff.Delete {
			t.Errorf("%s is deleted\n%s", op.Key, describe(plan))
		}
	}
}
