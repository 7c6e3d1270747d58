package chain

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"reconciler/internal/driver/bpffs"
	"reconciler/internal/observed"
	"reconciler/internal/resource"
)

// ownMounts gives the test's thread mounts of its own, and a directory to be
// the file system of pins there.
func ownMounts(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
	return dir
}

// mountedBench has its pins in a file system that nobody has mounted yet.
func mountedBench(t *testing.T) (*running, string) {
	t.Helper()
	w := ways()[0]
	b := newBench(t, w.change)
	dir := ownMounts(t)
	b.cfg.BPFFS = dir
	b.d = Open(b.cfg)
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	r := &running{bench: b, way: w}
	r.one, r.two = r.program("one"), r.program("two")
	r.settings = resource.Map{Program: "one", Link: "p0", Name: settingsMap, Mode: resource.Merge, Entries: []resource.MapEntry{entry("1", "10")}}
	r.set = r.wanted()
	return r, dir
}

// TestBPFFSIsMounted mounts the file system of pins where it is missing, and
// only when there is something to pin.
func TestBPFFSIsMounted(t *testing.T) {
	r, dir := mountedBench(t)
	r.plan(r.set)
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil || s.Type == unix.BPF_FS_MAGIC {
		t.Fatalf("a look has mounted it: %v", err)
	}
	r.make(r.set)
	if err := unix.Statfs(dir, &s); err != nil || s.Type != unix.BPF_FS_MAGIC {
		t.Errorf("it is not mounted: %v", err)
	}
	r.whole()
}

// TestBPFFSIsReadOnly is that nothing can be pinned: told, and the old chain
// runs on until it can.
func TestBPFFSIsReadOnly(t *testing.T) {
	r, dir := mountedBench(t)
	r.make(r.set)
	remount := func(flags uintptr) {
		if err := unix.Mount("", dir, "", unix.MS_REMOUNT|flags, ""); err != nil {
			t.Fatal(err)
		}
	}
	remount(unix.MS_RDONLY)
	next := set(r.one, r.two, r.settings, r.chain(r.way.hook, r.two, r.one))
	if _, err := r.d.Observe(t.Context(), observed.Query{Want: next}); err == nil || !strings.Contains(err.Error(), "read-only file system") {
		t.Errorf("a look says %v, want a word of the read-only file system", err)
	}
	remount(0)
	plan := r.plan(next)
	remount(unix.MS_RDONLY)
	if errs := r.run(plan); len(errs) != 1 || !strings.Contains(errs[0].Error(), "read-only file system") {
		t.Errorf("errors %v, want one of a read-only file system", errs)
	}
	remount(0)
	r.whole()
	r.make(next)
	r.whole()
}

// TestNoRight is that without the right to use BPF all fails in words, and
// nothing of what runs is touched.
func TestNoRight(t *testing.T) {
	r := ways()[0].start(t)
	next := set(r.one, r.two, r.settings, r.chain(r.way.hook, r.two, r.one))
	plan := r.plan(next)
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var had, none [2]unix.CapUserData
	if err := unix.Capget(&hdr, &had[0]); err != nil {
		t.Fatal(err)
	}
	none = had
	none[0].Effective, none[1].Effective = 0, 0
	if err := unix.Capset(&hdr, &none[0]); err != nil {
		t.Fatal(err)
	}
	errs := r.run(plan)
	if err := unix.Capset(&hdr, &had[0]); err != nil {
		t.Fatal(err)
	}
	if len(errs) != 1 || !strings.Contains(errs[0].Error(), "not permitted") {
		t.Errorf("errors %v, want one of a right that is missing", errs)
	}
	r.whole()
	r.make(next)
	r.whole()
}

// TestMissingInterface is a chain for an interface that is not there: an error
// of its own, while another chain is made.
func TestMissingInterface(t *testing.T) {
	r := ways()[0].start(t)
	lost := r.chain(r.way.hook, r.one)
	lost.Link = "p7"
	want := r.wanted()
	want.Put(resource.Object{Resource: lost})
	if errs := r.run(r.plan(want)); len(errs) != 1 || !strings.Contains(errs[0].Error(), "p7") {
		t.Errorf("errors %v, want one that names p7", errs)
	}
	r.whole()
	r.IP("link", "add", "p7", "type", "veth", "peer", "name", "p8")
	r.make(set(r.one, r.two, r.settings, r.chain(r.way.hook, r.one, r.two), lost))
	r.sound("p7", 1)
}

// TestCrashedPinning finds what a kill between any two pins of a program leaves
// and goes on from there, with the same maps.
func TestCrashedPinning(t *testing.T) {
	for _, left := range []string{"map:seen", "map:" + settingsMap, "map:" + bpffs.Escape(".rodata")} {
		r := ways()[0].start(t)
		r.mark()
		dir := r.programDir(r.one)
		names, err := bpffs.List(dir)
		if err != nil {
			t.Fatal(err)
		}
		r.removeChainOf(t)
		for _, n := range names {
			if n != left {
				r.remove(filepath.Join(dir, n))
			}
		}
		r.make(r.set)
		r.whole()
		if kept := r.holdsMark(); left == "map:seen" && !kept {
			t.Error("what the map held is lost")
		}
		for _, n := range names {
			if _, err := os.Lstat(filepath.Join(dir, n)); err != nil {
				t.Errorf("left %s: %v", left, err)
			}
		}
	}
}

// removeChainOf takes the chain away and leaves the programs.
func (r *running) removeChainOf(t *testing.T) {
	t.Helper()
	r.make(set(r.one, r.two, r.settings))
}

// TestModeThatCannotBe is a change to a mode that the interface has not: told,
// and the chain runs on in the former one.
func TestModeThatCannotBe(t *testing.T) {
	b := newBench(t)
	b.IP("link", "add", "br0", "type", "bridge")
	p := b.object("one", "br0", verdictObject, "plain", resource.XDPIngress)
	c := b.chain(resource.XDPIngress, p)
	c.Link, c.Mode = "br0", resource.Generic
	b.make(set(p, c))
	before, err := b.d.linkByName("br0")
	if err != nil {
		t.Fatal(err)
	}
	held := b.linkID("br0")
	c.Mode = resource.Native
	if errs := b.try(set(p, c)); len(errs) != 1 || !strings.Contains(errs[0].Error(), "no native XDP") {
		t.Errorf("errors %v, want one of native XDP", errs)
	}
	if now, err := b.d.linkByName("br0"); err != nil || now != before {
		t.Errorf("%+v runs, want what ran before: %+v (%v)", now, before, err)
	}
	if hasNetdev(t) && b.linkID("br0") != held {
		t.Error("it was detached for a moment")
	}
	c.Mode = resource.Generic
	if plan := b.plan(set(p, c)); !plan.Empty() {
		t.Errorf("the former mode is not as it was:\n%s", text(plan))
	}
}

// TestModeThatIsThere does a change of the mode twice: the second time there is
// nothing to detach for.
func TestModeThatIsThere(t *testing.T) {
	b := newBench(t)
	p := b.object("one", "p0", verdictObject, "plain", resource.XDPIngress)
	c := b.chain(resource.XDPIngress, p)
	c.Mode = resource.Generic
	b.make(set(p, c))
	c.Mode = resource.Native
	plan := b.plan(set(p, c))
	var links []link.ID
	for range 2 {
		if err := errors.Join(b.d.Apply(t.Context(), plan.Ops)...); err != nil {
			t.Fatal(err)
		}
		links = append(links, b.linkID("p0"))
	}
	if links[0] != links[1] {
		t.Errorf("links %v, want one", links)
	}
	if left := b.plan(set(p, c)); !left.Empty() {
		t.Errorf("still to do:\n%s", text(left))
	}
}

// linkID is the kernel's id of the link of an XDP chain.
func (b *bench) linkID(name string) link.ID {
	b.t.Helper()
	l, err := link.LoadPinnedLink(filepath.Join(b.d.pins.chain(name, resource.XDPIngress, 1), linkPin), nil)
	if err != nil {
		b.t.Fatal(err)
	}
	defer l.Close()
	info, err := l.Info()
	if err != nil {
		b.t.Fatal(err)
	}
	return info.ID
}

// hasNetdev reports a kernel that tells what XDP an interface can do: Linux 6.3.
func hasNetdev(t *testing.T) bool { return kernelFrom(t, 6, 3) }

// TestAttachedWithTrouble is an attachment that succeeds and whose pin cannot get
// its name: what is in force keeps its pins, as its slots would be empty without.
func TestAttachedWithTrouble(t *testing.T) {
	b := newBench(t)
	if !b.d.hasTCX() {
		return // a filter has no pin
	}
	p := b.object("one", "p0", verdictObject, "traffic", resource.TCIngress)
	want := set(p, b.chain(resource.TCIngress, p))
	plan := b.plan(want)
	inTheWay := filepath.Join(b.d.pins.chain("p0", resource.TCIngress, 1), linkPin)
	if err := os.MkdirAll(filepath.Join(inTheWay, "full"), 0o700); err != nil {
		t.Fatal(err)
	}
	if errs := b.d.Apply(t.Context(), plan.Ops); errors.Join(errs...) == nil {
		t.Error("no error")
	}
	if err := bpffs.RemoveTree(inTheWay); err != nil {
		t.Fatal(err)
	}
	if _, err := b.d.Observe(t.Context(), observed.Query{All: true}); err != nil {
		t.Fatal(err)
	}
	for _, c := range b.d.chainsSeen() {
		if got := strings.Join(c.Seen.Damage, ", "); got != "the pin of its link has no name yet" {
			t.Errorf("the chain has the damage %q", got)
		}
	}
	b.make(want)
}

// TestTakeoverThatFails is that a program of somebody else that was evicted for
// nothing runs on.
func TestTakeoverThatFails(t *testing.T) {
	b := newBench(t)
	b.IP("link", "add", "br0", "type", "bridge")
	b.IP("link", "set", "dev", "br0", "xdpgeneric", "obj", verdictObject, "section", "xdp")
	before, err := b.d.linkByName("br0")
	if err != nil || before.xdp.program == 0 {
		t.Fatalf("no program of somebody else: %+v, %v", before, err)
	}
	p := b.object("one", "br0", verdictObject, "plain", resource.XDPIngress)
	c := b.chain(resource.XDPIngress, p)
	c.Link, c.Takeover = "br0", true
	if errs := b.try(set(p, c)); len(errs) != 1 || !strings.Contains(errs[0].Error(), "no native XDP") {
		t.Errorf("errors %v, want one of native XDP", errs)
	}
	if now, err := b.d.linkByName("br0"); err != nil || now != before {
		t.Errorf("%+v runs, want what ran before: %+v (%v)", now, before, err)
	}
}
