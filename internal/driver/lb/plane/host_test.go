package plane

import (
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"reconciler/internal/driver/lb/bpf"
	"reconciler/internal/testns"
)

func small() Capacity {
	return Capacity{RingSize: 251, Addresses: 64, Services: 32, Backends: 16, Rings: 8, Flows: 4096}
}

// open makes a plane that is pinned nowhere.
func open(t testing.TB, c Capacity) *Plane {
	t.Helper()
	testns.NeedRoot(t)
	p, err := build(c.whole())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// pinDir is a directory for pins, gone after the test.
func pinDir(t testing.TB) string {
	t.Helper()
	testns.NeedRoot(t)
	const mount = "/sys/fs/bpf"
	var fs unix.Statfs_t
	if err := unix.Statfs(mount, &fs); err != nil {
		t.Fatal(err)
	}
	if fs.Type != unix.BPF_FS_MAGIC {
		if err := unix.Mount("bpf", mount, "bpf", 0, "mode=0700"); err != nil {
			t.Fatal(err)
		}
	}
	root := filepath.Join(mount, "plane-test-"+strconv.Itoa(os.Getpid()))
	dir := filepath.Join(root, "lb")
	t.Cleanup(func() {
		if err := Remove(dir); err != nil {
			t.Error(err)
		}
		os.Remove(root)
	})
	return dir
}

// load gives the program to the kernel, with a plane's maps.
func load(t testing.TB, p *Plane) *ebpf.Program {
	t.Helper()
	coll, err := ebpf.NewCollectionWithOptions(programOf(t, p), ebpf.CollectionOptions{MapReplacements: p.maps})
	if err != nil {
		t.Fatalf("%+v", err)
	}
	t.Cleanup(coll.Close)
	return coll.Programs[Program]
}

// programOf is the object, with maps as a plane has them.
func programOf(t testing.TB, p *Plane) *ebpf.CollectionSpec {
	t.Helper()
	spec, err := bpf.LoadLB()
	if err != nil {
		t.Fatal(err)
	}
	for name, m := range spec.Maps {
		m.MaxEntries, m.ValueSize, m.Value = p.Map(name).MaxEntries(), p.Map(name).ValueSize(), nil
	}
	return spec
}

// fill writes a ring in which backends take turns.
func (p *Plane) fill(t testing.TB, ring uint16, backends ...uint16) {
	t.Helper()
	slots := make([]uint16, p.capacity.RingSize)
	for i := range slots {
		slots[i] = backends[i%len(backends)]
	}
	if err := p.WriteRing(ring, slots, nil); err != nil {
		t.Fatal(err)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }
