package engine

import (
	"context"
	"testing"

	"reconciler/internal/diff"
	"reconciler/internal/driver"
	"reconciler/internal/observed"
	"reconciler/internal/resource"
)

// standing is a dataplane upon links that remembers what it was asked for.
type standing struct {
	shown
	asked *resource.Set
}

func (*standing) Name() string   { return resource.ChainDriver }
func (*standing) StandsOnLinks() {}

func (s *standing) Observe(ctx context.Context, q observed.Query) (observed.State, error) {
	s.asked = q.Want
	return s.shown.Observe(ctx, q)
}

// TestPlannerAsksByTheKernelsNames is that what stands on links is looked for
// where it is: a match gives a link another name than the kernel's.
func TestPlannerAsksByTheKernelsNames(t *testing.T) {
	want := resource.NewSet(2)
	want.Put(resource.Object{Resource: resource.Link{Name: "uplink", Match: resource.Match{Name: "eth*"}}})
	want.Put(resource.Object{Resource: resource.Chain{Link: "uplink", Hook: resource.XDPIngress}})
	link := resource.Object{Resource: resource.Link{Name: "eth0", State: resource.Up}, Owner: resource.Foreign}
	links := &shown{objects: []resource.Object{link}}
	above := &standing{shown: shown{objects: []resource.Object{{
		Resource: resource.Chain{Link: "eth0", Hook: resource.XDPIngress, Seen: resource.ChainSeen{ABI: resource.ChainABI}}, Owner: resource.Ours,
	}}}}
	p := Planner{Drivers: []driver.Driver{links, above}, AllowPrune: true}
	plan := func() diff.Plan {
		t.Helper()
		out, err := p.Plan(t.Context(), want, false)
		if err != nil {
			t.Fatal(err)
		}
		return out.Plan
	}
	if got := plan(); !got.Empty() {
		t.Errorf("there is to do: %v", got.Ops)
	}
	first := above.asked
	if !first.Has(resource.ChainKey("eth0", resource.XDPIngress)) {
		t.Errorf("asked for %v", first.All())
	}
	if plan(); above.asked != first {
		t.Error("what has not changed was made anew")
	}
	links.objects[0].Resource = resource.Link{Name: "eth1", State: resource.Up}
	if plan(); !above.asked.Has(resource.ChainKey("eth1", resource.XDPIngress)) {
		t.Errorf("after a rename asked for %v", above.asked.All())
	}
}
