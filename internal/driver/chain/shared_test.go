package chain

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/cilium/ebpf"

	"reconciler/internal/driver/bpffs"
	"reconciler/internal/resource"
)

// TestOwnPin is that a pin of ours goes with the last program that names it, and
// no other.
func TestOwnPin(t *testing.T) {
	pin := []resource.MapSettings{{Name: settingsMap, Pin: "deep/common"}}
	external := []resource.MapSettings{{Name: settingsMap, Pin: "deep/common", External: true}}
	for _, c := range []struct {
		name     string
		before   bool // somebody pinned it before
		replaced bool // somebody pins another in the end
		one, two []resource.MapSettings
		stays    bool
	}{
		{"of two", false, false, pin, pin, false},
		{"of one, and external of another", false, false, pin, external, true},
		{"external of one", false, false, external, pin, true},
		{"external", false, false, external, external, true},
		{"there before", true, false, pin, pin, true},
		{"made anew by somebody", false, true, pin, pin, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := ways()[0].start(t)
			path := r.d.pins.shared("deep/common")
			if c.before {
				r.pinAnother(path)
			}
			one, two := r.one, r.two
			r.one.Maps, r.two.Maps = c.one, c.two
			r.make(set(r.one, r.two, r.chain(r.way.hook, r.one, r.two)))
			r.make(set(one, r.two, r.chain(r.way.hook, one, r.two)))
			if !bpffs.Exists(path) {
				t.Fatal("the pin is gone while a program names it")
			}
			if c.replaced {
				r.remove(path)
				r.pinAnother(path)
			}
			leave, stay, err := Open(r.cfg).SharedPins()
			if err != nil || !c.replaced && (slices.Contains(stay, path) != c.stays || slices.Contains(leave, path) == c.stays) {
				t.Errorf("told to leave are %v, to stay %v, %v", leave, stay, err)
			}
			r.make(set(one, two, r.chain(r.way.hook, one, two)))
			if bpffs.Exists(path) != c.stays {
				t.Errorf("the pin is there: %t, want %t", bpffs.Exists(path), c.stays)
			}
			if bpffs.Exists(r.d.pins.maps()) != c.stays {
				t.Error("its directory is not as it was")
			}
			r.sound("p0", 2)
		})
	}
}

func (r *running) pinAnother(path string) {
	r.t.Helper()
	m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Hash, KeySize: 4, ValueSize: 8, MaxEntries: 64})
	if err != nil {
		r.t.Fatal(err)
	}
	defer m.Close()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		r.t.Fatal(err)
	}
	if err := m.Pin(path); err != nil {
		r.t.Fatal(err)
	}
}
