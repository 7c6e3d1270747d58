package chain

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	"reconciler/internal/driver/bpffs"
	"reconciler/internal/observed"
	"reconciler/internal/resource"
)

// way is a hook and how it is attached to.
type way struct {
	name   string
	hook   resource.Hook
	change func(*Config)
}

func ways() []way {
	return []way{
		{"xdp", resource.XDPIngress, func(*Config) {}},
		{"tcx", resource.TCIngress, func(*Config) {}},
		{"clsact", resource.TCEgress, func(c *Config) { c.NoTCX = true }},
	}
}

// running is a bench with a chain of two programs at work, of which the first
// has a map with declared contents.
type running struct {
	*bench
	way      way
	one, two resource.Program
	settings resource.Map
	set      *resource.Set
}

const settingsMap = "settings_of_the_program"

func (w way) start(t *testing.T) *running {
	t.Helper()
	b := newBench(t, w.change)
	r := &running{bench: b, way: w}
	r.one, r.two = r.program("one"), r.program("two")
	r.settings = resource.Map{
		Program: "one", Link: "p0", Name: settingsMap, Mode: resource.Exact,
		Entries: []resource.MapEntry{entry("1", "10"), entry("2", "20")},
	}
	r.set = r.wanted()
	b.make(r.set)
	return r
}

func (r *running) wanted() *resource.Set {
	return set(r.one, r.two, r.settings, r.chain(r.way.hook, r.one, r.two))
}

func entry(key, value string) resource.MapEntry {
	return resource.MapEntry{Key: resource.Scalar(key), Value: resource.Scalar(value)}
}

// program counts what it sees and lets it go on.
func (r *running) program(name string) resource.Program {
	function := "plain"
	if !r.way.hook.IsXDP() {
		function = "traffic"
	}
	p := r.object(name, "p0", verdictObject, function, r.way.hook)
	if !r.way.hook.IsXDP() {
		p.Constants = []resource.NamedValue{{Name: "verdict", Value: resource.Scalar("-1")}}
	}
	return p
}

func (r *running) dir() string { return r.d.pins.chain("p0", r.way.hook, 1) }

// generation is the directory of the only generation.
func (r *running) generation() string {
	r.t.Helper()
	names, err := bpffs.List(r.dir())
	if err != nil {
		r.t.Fatal(err)
	}
	names = slices.DeleteFunc(names, func(n string) bool { return n == linkPin })
	if len(names) != 1 {
		r.t.Fatalf("generations %v, want one", names)
	}
	return filepath.Join(r.dir(), names[0])
}

func (r *running) programDir(p resource.Program) string {
	return r.d.pins.program(p.Name, p.Link, r.digest(p))
}

// pinned opens a pinned map for the time of the test.
func (r *running) pinned(path string) *ebpf.Map {
	r.t.Helper()
	m, err := ebpf.LoadPinnedMap(path, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { m.Close() })
	return m
}

func (r *running) contents() *ebpf.Map {
	return r.pinned(mapPin(r.programDir(r.one), settingsMap))
}

func (r *running) remove(path string) {
	r.t.Helper()
	if err := os.Remove(path); err != nil {
		r.t.Fatal(err)
	}
}

// mark counts a packet that never was, so that contents which were lost show.
func (r *running) mark() {
	r.t.Helper()
	m := r.pinned(mapPin(r.programDir(r.one), "seen"))
	if err := putOne(m, []byte{0, 0, 0, 0}, []byte{7, 0, 0, 0, 0, 0, 0, 0}); err != nil {
		r.t.Fatal(err)
	}
}

// holdsMark reports that what mark has written is still counted on.
func (r *running) holdsMark() bool {
	return r.seen(r.one) >= 7*uint64(ebpf.MustPossibleCPU())
}

// repaired wants the plan to say what is wrong, and an apply to mend it.
func (r *running) repaired(words ...string) {
	r.t.Helper()
	shown := text(r.plan(r.set))
	for _, w := range words {
		if !strings.Contains(shown, w) {
			r.t.Errorf("the plan does not say %q:\n%s", w, shown)
		}
	}
	r.make(r.set)
	r.whole()
}

// whole wants the chain of two programs to be attached, each in its slot and
// seeing what comes.
func (r *running) whole() {
	r.t.Helper()
	r.sound("p0", 2)
	before := r.seen(r.one)
	f := r.startFlood(r.way.hook)
	f.end(r.t)
	if r.seen(r.one) == before {
		r.t.Error("the chain sees no packet")
	}
}

// countsOnce wants no packet to be seen twice.
func (r *running) countsOnce() {
	r.t.Helper()
	before := r.seen(r.one)
	f := r.startFlood(r.way.hook)
	sent := f.end(r.t)
	if saw := r.seen(r.one) - before; saw > sent+sent/10+100 {
		r.t.Errorf("%d packets were sent and %d seen", sent, saw)
	}
}

// sound wants a chain of so many programs to be attached, with the programs in
// its slots that are pinned.
func (r *running) sound(name string, programs int) {
	r.t.Helper()
	have, err := r.d.Observe(context.Background(), observed.Query{All: true})
	if err != nil {
		r.t.Fatal(err)
	}
	o, ok := have.Objects.Get(resource.ChainKey(name, r.way.hook))
	c, _ := o.Resource.(resource.Chain)
	if !ok || len(c.Slots) != programs || len(c.Seen.Damage) > 0 || c.Seen.Dispatcher == 0 {
		r.t.Fatalf("the chain is not whole: %+v", c)
	}
	for _, s := range c.Slots {
		pin := functionPin(r.d.pins.program(s.Program, s.Link, s.Digest), s.Function)
		if id := pinnedID(pin); uint32(id) != s.ID {
			r.t.Errorf("program %d is in the slot of %s, and %d is pinned", s.ID, s.Program, id)
		}
	}
}

// forced detaches the pinned link of a chain as bpftool does.
func (r *running) forced() {
	r.t.Helper()
	l, err := link.LoadPinnedLink(filepath.Join(r.dir(), linkPin), nil)
	if err != nil {
		r.t.Fatal(err)
	}
	defer l.Close()
	if err := l.Detach(); err != nil {
		r.t.Fatal(err)
	}
}

func (r *running) byLink() bool { return r.way.name != "clsact" }

// tc runs tc in the namespace.
func (r *running) tc(args ...string) {
	r.t.Helper()
	if out, err := exec.Command("tc", append([]string{"-n", r.Name}, args...)...).CombinedOutput(); err != nil {
		r.t.Fatalf("tc %v: %v\n%s", args, err, out)
	}
}
