package engine

import (
	"context"
	"net/netip"
	"testing"

	"reconciler/internal/diff"
	"reconciler/internal/driver"
	"reconciler/internal/observed"
	"reconciler/internal/resource"
)

// shown is a dataplane that shows what a test says.
type shown struct{ objects []resource.Object }

func (s *shown) Name() string                                   { return resource.Netlink }
func (s *shown) Check(resource.Resource) []driver.Fault         { return nil }
func (s *shown) Apply(_ context.Context, ops []diff.Op) []error { return make([]error, len(ops)) }
func (s *shown) Observe(context.Context, observed.Query) (observed.State, error) {
	set := resource.NewSet(len(s.objects))
	for _, o := range s.objects {
		set.Put(o)
	}
	return observed.State{Objects: set}, nil
}

func TestPlannerComparesOnlyWhatChanged(t *testing.T) {
	link := resource.Link{Name: "eth0", State: resource.Up}
	addr := resource.Address{Link: "eth0", Prefix: netip.MustParsePrefix("192.0.2.1/24"), Protocol: resource.Protocol}
	want := resource.NewSet(2)
	want.Put(resource.Object{Resource: resource.Link{Name: "eth0"}})
	want.Put(resource.Object{Resource: addr})
	host := &shown{objects: []resource.Object{{Resource: link, Owner: resource.Foreign}, {Resource: addr, Owner: resource.Ours}}}
	p := Planner{Drivers: []driver.Driver{host}, AllowPrune: true}
	plan := func(want *resource.Set, ops int) Planned {
		t.Helper()
		out, err := p.Plan(t.Context(), want, false)
		if err != nil {
			t.Fatal(err)
		}
		if len(out.Plan.Ops) != ops {
			t.Fatalf("%d operations, want %d: %v", len(out.Plan.Ops), ops, out.Plan.Ops)
		}
		return out
	}

	quiet := plan(want, 0)
	if again := plan(want, 0); again.Want != quiet.Want {
		t.Error("what did not change was compared again")
	}
	all := host.objects
	host.objects = all[:1]
	plan(want, 1)
	plan(want, 1)
	host.objects = all
	if back := plan(want, 0); back.Want == quiet.Want {
		t.Error("the comparison from before the change was used after it")
	}
	less := resource.NewSet(1)
	less.Put(resource.Object{Resource: resource.Link{Name: "eth0"}})
	plan(less, 1) // the address is ours and no longer wanted
	p.Decide = func(want *resource.Set, _ observed.State) (*resource.Set, []diff.Note) {
		out := want.Clone()
		out.Remove(addr.Key())
		return out, nil
	}
	plan(want, 1) // the facts speak against it
}
