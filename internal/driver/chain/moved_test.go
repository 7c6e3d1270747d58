package chain

import (
	"context"
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/cilium/ebpf"

	"reconciler/internal/observed"
	"reconciler/internal/resource"
	"reconciler/internal/testns"
)

// TestRename follows an interface to its new name, also where another takes the
// old one.
func TestRename(t *testing.T) {
	for _, w := range ways() {
		t.Run(w.name, func(t *testing.T) {
			r := w.start(t)
			r.mark()
			r.IP("link", "set", "p0", "down")
			r.IP("link", "set", "p0", "name", "px")
			r.IP("link", "set", "px", "up")
			to := func(name string) string { return strings.Replace(name, "p0", "px", 1) }
			moved := resource.NewSet(0)
			for _, o := range r.set.All() {
				if n, ok := o.Resource.(interface {
					Rename(func(string) string) resource.Resource
				}); ok {
					o.Resource = n.Rename(to)
				}
				moved.Put(o)
			}
			r.make(moved)
			px := r.one
			px.Link = "px"
			if r.seen(px) < 7*uint64(ebpf.MustPossibleCPU()) {
				t.Error("what the map held is lost")
			}
			r.sound("px", 2)
			// Another interface gets the old name, and a chain of its own.
			r.IP("link", "add", "p0", "type", "veth", "peer", "name", "p2")
			for _, o := range r.set.All() { // made before the rename
				moved.Put(o)
			}
			r.make(moved)
			r.sound("px", 2)
			r.sound("p0", 2)
			r.make(set())
			for _, name := range []string{"px", "p0"} {
				on, err := r.d.linkByName(name)
				if err != nil || on.xdp.program != 0 {
					t.Errorf("%s: program %d is left, %v", name, on.xdp.program, err)
				}
				if f, err := r.d.filter(on, w.hook); err != nil || f != nil {
					t.Errorf("%s: filter %v is left, %v", name, f, err)
				}
			}
		})
	}
}

// TestExternalMap keeps a map that others write: its contents are not looked
// at, and outlive versions and the program.
func TestExternalMap(t *testing.T) {
	r := ways()[0].start(t)
	r.one.Maps = []resource.MapSettings{{Name: settingsMap, Pin: "others/settings", External: true}}
	want := set(r.one, r.two, r.chain(r.way.hook, r.one, r.two))
	r.make(want)
	pin := r.d.pins.shared("others/settings")
	if err := r.pinned(pin).Put(uint32(5), uint64(55)); err != nil {
		t.Fatal(err)
	}
	if plan := r.plan(want); !plan.Empty() {
		t.Errorf("what others write is to be changed:\n%s", text(plan))
	}
	r.one.Constants = []resource.NamedValue{{Name: "verdict", Value: resource.Scalar("1")}}
	for _, policy := range []resource.NewVersion{resource.Fresh, resource.Copy, resource.Reuse} {
		r.one.OnNewVersion = policy
		r.one.Constants[0].Value.Text = strconv.Itoa(2 + len(policy)) // another version each time
		want = set(r.one, r.two, r.chain(r.way.hook, r.one, r.two))
		r.make(want)
		if got := dump(t, r.pinned(mapPin(r.programDir(r.one), settingsMap))); got != "5=55 " {
			t.Errorf("%s: the program has a map with %q", policy, got)
		}
	}
	// Its pin is removed: told, and made again of the same map.
	r.remove(pin)
	if shown := text(r.plan(want)); !strings.Contains(shown, "others/settings") {
		t.Errorf("the plan does not name the pin that is gone:\n%s", shown)
	}
	r.make(want)
	if got := dump(t, r.pinned(pin)); got != "5=55 " {
		t.Errorf("the pin made again holds %q", got)
	}
	r.make(set())
	if got := dump(t, r.pinned(pin)); got != "5=55 " {
		t.Errorf("without a program the pin holds %q", got)
	}
}

// TestExternalMapReplaced is another tool that makes its map anew: the program
// is loaded with that one, and keeps its other maps.
func TestExternalMapReplaced(t *testing.T) {
	r := ways()[0].start(t)
	r.one.Maps = []resource.MapSettings{{Name: settingsMap, Pin: "others/settings", External: true}}
	want := set(r.one, r.two, r.chain(r.way.hook, r.one, r.two))
	r.make(want)
	before := pinnedMapID(mapPin(r.programDir(r.one), "seen"))
	pin := r.d.pins.shared("others/settings")
	other, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Hash, KeySize: 4, ValueSize: 8, MaxEntries: 64})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	r.remove(pin)
	if err := other.Pin(pin); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the program, and then the chain that runs what was loaded before
		if shown := text(r.plan(want)); strings.Contains(shown, "In sync") {
			t.Fatalf("the plan takes the former map for the one that is pinned:\n%s", shown)
		}
		if errs := r.try(want); len(errs) > 0 {
			t.Fatal(errs)
		}
	}
	if plan := r.plan(want); !plan.Empty() {
		t.Errorf("still to do:\n%s", text(plan))
	}
	if err := other.Put(uint32(5), uint64(55)); err != nil {
		t.Fatal(err)
	}
	if got := dump(t, r.pinned(mapPin(r.programDir(r.one), settingsMap))); got != "5=55 " {
		t.Errorf("the program has a map with %q", got)
	}
	if now := pinnedMapID(mapPin(r.programDir(r.one), "seen")); now != before {
		t.Error("its counter was made anew")
	}
	r.sound("p0", 2)
}

// TestForeignPins adopts nothing of a namespace that had the same inode.
func TestForeignPins(t *testing.T) {
	r := ways()[0].start(t)
	gone := r.d.pins.Root
	gone.Cookie++
	if err := os.Rename(r.d.pins.Mark(), gone.Mark()); err != nil {
		t.Fatal(err)
	}
	have, err := r.d.Observe(context.Background(), observed.Query{All: true})
	if err != nil {
		t.Fatal(err)
	}
	if n := have.Objects.Len(); n != 0 {
		t.Errorf("%d objects of another namespace are taken for ours", n)
	}
	old := r.programDir(r.one)
	other := r.object("other", "p0", verdictObject, "plain", resource.XDPIngress)
	// What the dead namespace had attached is gone with it; here it is alive.
	r.forced()
	r.make(set(other, r.chain(r.way.hook, other)))
	if _, err := os.Stat(old); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the pins of the other namespace are left: %v", err)
	}
}

// TestMovedAway hands the interface to another network namespace, and makes one
// of its name and index: the chain runs on that, and no longer on the other.
func TestMovedAway(t *testing.T) {
	for _, w := range ways()[:2] {
		t.Run(w.name, func(t *testing.T) {
			r := w.start(t)
			r.mark()
			on, err := r.d.linkByName("p0")
			if err != nil {
				t.Fatal(err)
			}
			far := testns.New(t)
			r.IP("link", "set", "p0", "netns", far.Name)
			r.IP("link", "set", "p1", "down")
			r.IP("link", "set", "p1", "name", "p9")
			r.IP("link", "add", "p0", "index", strconv.Itoa(on.index), "type", "veth", "peer", "name", "p1")
			r.IP("link", "set", "p0", "up")
			r.IP("link", "set", "p1", "up")
			r.repaired("attached anew")
			if !r.holdsMark() {
				t.Error("what the map held is lost")
			}
		})
	}
}
