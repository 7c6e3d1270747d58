package diff

import (
	"net/netip"
	"testing"

	"reconciler/internal/observed"
	"reconciler/internal/resource"
)

func TestFarEndInAnotherNamespaceIsNotMadeAgain(t *testing.T) {
	near := resource.Link{Name: "p0", Type: resource.Veth, Peer: "p0-peer", Group: resource.LinkGroup, State: resource.Up}
	far := resource.Link{Name: "p0-peer", Type: resource.Veth, Peer: "p0", Far: true, Group: resource.LinkGroup, State: resource.Up}
	seen := near
	seen.Peer = "" // the kernel shows no name of what is elsewhere
	have := observed.State{Objects: resource.NewSet(1)}
	have.Objects.Put(resource.Object{Resource: seen, Owner: resource.Ours})

	for _, c := range []struct {
		optional bool
		note     NoteCode
	}{{true, Optional}, {false, Absent}} {
		far.Policy.Optional = c.optional
		want := resource.NewSet(3)
		want.Put(resource.Object{Resource: near})
		want.Put(resource.Object{Resource: far})
		want.Put(resource.Object{Resource: resource.Address{Link: "p0-peer", Prefix: netip.MustParsePrefix("192.0.2.1/24")}})
		bound, notes := Bind(want, have)
		plan, err := Compute(bound, have)
		if err != nil || !plan.Empty() {
			t.Errorf("optional %t: plan %+v, %v; want none", c.optional, plan.Ops, err)
		}
		if len(notes) == 0 || notes[0].Code != c.note || notes[0].Key != far.Key() {
			t.Errorf("optional %t: notes %+v, want %s of %s", c.optional, notes, c.note, far.Key())
		}
	}
}
