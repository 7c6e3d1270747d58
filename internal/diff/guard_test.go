package diff

import (
	"net/netip"
	"testing"

	"reconciler/internal/observed"
	"reconciler/internal/resource"
)

// An emptied tree must not pass because a protected link keeps something.
func TestGuardHoldsAnEmptiedTreeThoughTheUplinkIsProtected(t *testing.T) {
	uplink := resource.Link{Name: "uplink", State: resource.Up, Policy: resource.LinkPolicy{Protect: true}}
	have := observed.State{Objects: resource.NewSet(4)}
	have.Objects.Put(resource.Object{Resource: uplink, Owner: resource.Foreign})
	for _, r := range []resource.Resource{
		resource.Address{Link: "uplink", Prefix: netip.MustParsePrefix("192.0.2.2/24"), Protocol: resource.Protocol},
		resource.Link{Name: "br0", Type: resource.Bridge, Group: resource.LinkGroup, State: resource.Up},
		resource.Address{Link: "br0", Prefix: netip.MustParsePrefix("10.0.0.1/24"), Protocol: resource.Protocol},
	} {
		have.Objects.Put(resource.Object{Resource: r, Owner: resource.Ours})
	}
	want := resource.NewSet(0)
	plan := compute(t, want, have)
	if len(plan.Notes) != 1 || plan.Notes[0].Code != Protected || Count(plan).Held != 1 {
		t.Errorf("notes %v, want one of protection, which counts as held back", plan.Notes)
	}
	if held := DefaultGuard().Hold(plan, have); !held.Empty() || plan.Empty() {
		t.Errorf("empty tree: %d of %d operations go on, want none of some", len(held.Ops), len(plan.Ops))
	}
	if held := (Guard{MaxShare: 1, AllowEmpty: true}).Hold(plan, have); len(held.Ops) != len(plan.Ops) {
		t.Errorf("allowed to be empty: %d of %d operations go on", len(held.Ops), len(plan.Ops))
	}
	kept, _ := have.Objects.Get(resource.AddressKey("uplink", netip.MustParsePrefix("192.0.2.2/24")))
	want.Put(kept)
	plan = compute(t, want, have)
	if held := DefaultGuard().Hold(plan, have); len(held.Ops) != len(plan.Ops) || plan.Empty() {
		t.Errorf("the bridge goes, the uplink stays: %d of %d operations go on", len(held.Ops), len(plan.Ops))
	}
}

func compute(t *testing.T, want *resource.Set, have observed.State) Plan {
	t.Helper()
	bound, _ := Bind(want, have)
	plan, err := Compute(bound, have)
	if err != nil {
		t.Fatal(err)
	}
	return plan
}
