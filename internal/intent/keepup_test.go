package intent

import (
	"reflect"
	"testing"

	"reconciler/internal/resource"
)

// TestKeepUpMends is that a chain whose next version cannot be had for now is
// kept as it was made, not as somebody left it; one that is left alone is not
// touched.
func TestKeepUpMends(t *testing.T) {
	slot := resource.Slot{Program: "count", Link: "eth0", Digest: "0123456789abcdef", ID: 7}
	program := resource.Program{Name: "count", Link: "eth0", Digest: slot.Digest}
	chain := resource.Chain{
		Link: "eth0", Hook: resource.XDPIngress, Slots: []resource.Slot{slot},
		Seen: resource.ChainSeen{ABI: resource.ChainABI, Generation: 3, Damage: []string{"it was detached"}, Severed: true},
	}
	have := resource.NewSet(2)
	have.Put(resource.Object{Resource: program, Owner: resource.Ours})
	have.Put(resource.Object{Resource: chain, Owner: resource.Ours})

	next := chain
	next.Mode, next.Slots = resource.Native, []resource.Slot{{Program: "count", Link: "eth0"}}
	next.Seen = resource.ChainSeen{ABI: resource.ChainABI}
	want := resource.NewSet(2)
	absent := resource.Program{Name: "count", Link: "eth0"}
	want.Put(resource.Object{Resource: absent, Origin: "net.yaml:4"})
	want.Put(resource.Object{Resource: next, Origin: "net.yaml:9"})

	kept, ok := KeepUp(want, have, []resource.Key{absent.Key()}).Get(chain.Key())
	got, _ := kept.Resource.(resource.Chain)
	if !ok || len(got.Seen.Damage) > 0 || got.Seen.Severed || got.Mode != resource.Native || len(got.Slots) != 1 || !reflect.DeepEqual(got.Slots[0], slot) {
		t.Errorf("kept up: %+v", got)
	}
	if kept.Origin != "net.yaml:9" {
		t.Errorf("its place is %q", kept.Origin)
	}
	left, _ := LeaveAlone(want, have, []resource.Key{absent.Key()}).Get(chain.Key())
	if !left.Equal(chain) {
		t.Errorf("left alone: %+v", left.Resource)
	}
	// What the kernel does not tell any more is no chain to make.
	chain.Slots, chain.Seen.ABI = nil, 0
	have.Put(resource.Object{Resource: chain, Owner: resource.Ours})
	kept, _ = KeepUp(want, have, []resource.Key{absent.Key()}).Get(chain.Key())
	if !kept.Equal(chain) {
		t.Errorf("kept up without knowing: %+v", kept.Resource)
	}
}
