package chain

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"reconciler/internal/observed"
	"reconciler/internal/resource"
	"reconciler/internal/testns"
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
	names, err := list(r.dir())
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

// TestDrift does to a running chain what others may do, and wants each to be
// told in words, repaired, and what the maps hold to be there still.
func TestDrift(t *testing.T) {
	type hurt struct {
		name  string
		does  func(*running)
		words []string
	}
	hurts := []hurt{
		{"slot emptied", func(r *running) {
			if err := r.pinned(filepath.Join(r.generation(), slotsPin)).Delete(uint32(1)); err != nil {
				r.t.Fatal(err)
			}
		}, []string{"slot 1 (two) is empty"}},
		{"slot overwritten", func(r *running) {
			first, err := ebpf.LoadPinnedProgram(functionPin(r.programDir(r.one), r.function(r.one)), nil)
			if err != nil {
				r.t.Fatal(err)
			}
			defer first.Close()
			if err := r.pinned(filepath.Join(r.generation(), slotsPin)).Put(uint32(1), first); err != nil {
				r.t.Fatal(err)
			}
		}, []string{"slot 1 (two) holds another program"}},
		{"pin of slots removed", func(r *running) { r.remove(filepath.Join(r.generation(), slotsPin)) }, []string{"a pin of its dispatcher is gone"}},
		{"pin of state removed", func(r *running) { r.remove(filepath.Join(r.generation(), statePin)) }, []string{"a pin of its dispatcher is gone"}},
		{"pin of dispatcher removed", func(r *running) { r.remove(filepath.Join(r.generation(), dispatcherPin)) }, []string{"the pins of its dispatcher are gone"}},
		{"generation removed", func(r *running) {
			if err := removeTree(r.generation()); err != nil {
				r.t.Fatal(err)
			}
		}, []string{"the pins of its dispatcher are gone"}},
		{"function removed", func(r *running) { r.remove(functionPin(r.programDir(r.one), r.function(r.one))) }, []string{"is not pinned"}},
		{"function and slot removed", func(r *running) {
			if err := r.pinned(filepath.Join(r.generation(), slotsPin)).Delete(uint32(0)); err != nil {
				r.t.Fatal(err)
			}
			r.remove(functionPin(r.programDir(r.one), r.function(r.one)))
		}, []string{"is not pinned", "slot 0 (one) is empty"}},
		{"map removed", func(r *running) { r.remove(mapPin(r.programDir(r.one), "seen")) }, []string{"maps are not pinned"}},
		{"program removed", func(r *running) {
			if err := removeTree(r.programDir(r.one)); err != nil {
				r.t.Fatal(err)
			}
		}, []string{"one"}},
		{"all pins but the link removed", func(r *running) {
			for _, dir := range []string{r.generation(), r.d.pins.programs()} {
				if err := removeTree(dir); err != nil {
					r.t.Fatal(err)
				}
			}
		}, []string{"the pins of its dispatcher are gone"}},
		{"left over by a crash", func(r *running) {
			other := filepath.Join(r.dir(), "9")
			if err := os.Mkdir(other, 0o700); err != nil {
				r.t.Fatal(err)
			}
			m := r.pinned(filepath.Join(r.generation0(), slotsPin))
			if err := pinCopy(m, filepath.Join(other, slotsPin)); err != nil {
				r.t.Fatal(err)
			}
		}, []string{"generation 9 is left over"}},
	}
	for _, w := range ways() {
		for _, h := range hurts {
			t.Run(w.name+" "+h.name, func(t *testing.T) {
				r := w.start(t)
				r.mark()
				h.does(r)
				r.repaired(h.words...)
				if !r.holdsMark() {
					t.Error("what the map held is lost")
				}
			})
		}
	}
}

// generation0 is the directory of the first generation.
func (r *running) generation0() string { return filepath.Join(r.dir(), "1") }

func (r *running) function(p resource.Program) string { return p.Entry }

// TestDriftOfTheAttachment takes a chain off its hook in every way there is.
func TestDriftOfTheAttachment(t *testing.T) {
	type hurt struct {
		name  string
		on    []string // ways; nil for all
		does  func(*running)
		words []string
	}
	links := []string{"xdp", "tcx"}
	again := func(r *running) {
		r.IP("link", "add", "p0", "type", "veth", "peer", "name", "p1")
		r.IP("link", "set", "p0", "up")
		r.IP("link", "set", "p1", "up")
	}
	for _, h := range []hurt{
		{"detached by force", links, (*running).forced, []string{"detached by force"}},
		{"pin of the link removed", links, func(r *running) { r.remove(filepath.Join(r.dir(), linkPin)) }, []string{"attached anew"}},
		{"pin of the link removed and the link held", links, func(r *running) {
			l, err := link.LoadPinnedLink(filepath.Join(r.dir(), linkPin), nil)
			if err != nil {
				r.t.Fatal(err)
			}
			r.t.Cleanup(func() { l.Close() })
			r.remove(filepath.Join(r.dir(), linkPin))
		}, []string{"attached anew"}},
		{"filter deleted", []string{"clsact"}, func(r *running) { r.tc("filter", "del", "dev", "p0", "egress", "pref", "210") }, []string{"not attached"}},
		{"qdisc deleted", []string{"clsact"}, func(r *running) { r.tc("qdisc", "del", "dev", "p0", "clsact") }, []string{"not attached"}},
		{"interface replaced", nil, func(r *running) { r.IP("link", "del", "p0"); again(r) }, []string{"attached anew"}},
		{"killed between two names of a link", links, func(r *running) {
			pin := filepath.Join(r.dir(), linkPin)
			if err := os.Rename(pin, pin+"-next"); err != nil {
				r.t.Fatal(err)
			}
		}, []string{"the pin of its link has no name yet"}},
	} {
		for _, w := range ways() {
			if h.on != nil && !slices.Contains(h.on, w.name) {
				continue
			}
			t.Run(w.name+" "+h.name, func(t *testing.T) {
				r := w.start(t)
				r.mark()
				h.does(r)
				r.repaired(h.words...)
				if !r.holdsMark() {
					t.Error("what the map held is lost")
				}
				r.countsOnce()
				names, err := list(r.dir())
				if err != nil || len(names) > 2 {
					t.Errorf("pins are left: %v, %v", names, err)
				}
				r.make(set())
				if r.byLink() {
					return
				}
				if out, _ := exec.Command("tc", "-n", r.Name, "qdisc", "show", "dev", "p0").Output(); strings.Contains(string(out), "clsact") {
					t.Errorf("the qdisc is left:\n%s", out)
				}
			})
		}
	}
}

// TestDriftOfContents changes maps whose contents are declared.
func TestDriftOfContents(t *testing.T) {
	type hurt struct {
		name string
		does func(m *ebpf.Map) error
	}
	hurts := []hurt{
		{"changed", func(m *ebpf.Map) error { return m.Put(uint32(1), uint64(99)) }},
		{"deleted", func(m *ebpf.Map) error { return m.Delete(uint32(2)) }},
		{"added", func(m *ebpf.Map) error { return m.Put(uint32(3), uint64(30)) }},
	}
	repairs := map[resource.MapMode][]string{
		resource.Exact:   {"changed", "deleted", "added"},
		resource.Merge:   {"changed", "deleted"},
		resource.Initial: nil,
	}
	for mode, mends := range repairs {
		r := ways()[0].start(t)
		r.settings.Mode = mode
		r.set = r.wanted()
		r.make(r.set)
		m := r.contents()
		for _, h := range hurts {
			if err := h.does(m); err != nil {
				t.Fatal(err)
			}
			before := dump(t, m)
			plan := r.plan(r.set)
			if want := slices.Contains(mends, h.name); want == plan.Empty() {
				t.Errorf("%s, an entry %s: a repair is wanted: %t, planned:\n%s", mode, h.name, want, text(plan))
			}
			if len(plan.Ops) > 1 {
				t.Errorf("%s, an entry %s: more than the map changes:\n%s", mode, h.name, text(plan))
			}
			r.make(r.set)
			after := dump(t, m)
			if slices.Contains(mends, h.name) == (before == after) {
				t.Errorf("%s, an entry %s: %s became %s", mode, h.name, before, after)
			}
		}
		want := map[resource.MapMode]string{
			resource.Exact: "1=10 2=20 ", resource.Merge: "1=10 2=20 3=30 ", resource.Initial: "1=99 3=30 ",
		}
		if got := dump(t, m); got != want[mode] {
			t.Errorf("%s: the map holds %s, want %s", mode, got, want[mode])
		}
	}
}

// dump prints a map of numbers, sorted.
func dump(t testing.TB, m *ebpf.Map) string {
	t.Helper()
	var k uint32
	var v uint64
	all := map[uint32]uint64{}
	it := m.Iterate()
	for it.Next(&k, &v) {
		all[k] = v
	}
	if err := it.Err(); err != nil {
		t.Fatal(err)
	}
	var keys []uint32
	for k := range all {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	var w strings.Builder
	for _, k := range keys {
		w.WriteString(strconv.Itoa(int(k)) + "=" + strconv.FormatUint(all[k], 10) + " ")
	}
	return w.String()
}

// foreign loads a program of somebody else.
func (b *bench) foreign(entry string) *ebpf.Program {
	b.t.Helper()
	spec, err := ebpf.LoadCollectionSpec(verdictObject)
	if err != nil {
		b.t.Fatal(err)
	}
	keep(spec, []string{entry})
	coll, err := ebpf.NewCollection(spec)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(coll.Close)
	return coll.Programs[entry]
}

// TestForeignTCX puts another's program before the chain: ours becomes the
// first again and the other stays.
func TestForeignTCX(t *testing.T) {
	r := ways()[1].start(t)
	p0, err := r.d.linkByName("p0")
	if err != nil {
		t.Fatal(err)
	}
	l, err := link.AttachTCX(link.TCXOptions{
		Interface: p0.index, Program: r.foreign("traffic"), Attach: ebpf.AttachTCXIngress, Anchor: link.Head(),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	r.mark()
	r.repaired("runs before it")
	if !r.holdsMark() {
		t.Error("what the map held is lost")
	}
	now, err := link.QueryPrograms(link.QueryOptions{Target: p0.index, Attach: ebpf.AttachTCXIngress})
	if err != nil || len(now.Programs) != 2 {
		t.Fatalf("programs on the hook: %v, %v; want ours and the other", now, err)
	}
	info, err := l.Info()
	if err != nil || now.Programs[1].ID != info.Program {
		t.Errorf("the other is not the second: %v, %v", now.Programs, err)
	}
}

// foreignXDP attaches another's XDP program, by a link or without one.
func (b *bench) foreignXDP(name string, byLink bool) ebpf.ProgramID {
	b.t.Helper()
	p := b.foreign("plain")
	on, err := b.d.linkByName(name)
	if err != nil {
		b.t.Fatal(err)
	}
	if byLink {
		l, err := link.AttachXDP(link.XDPOptions{Program: p, Interface: on.index})
		if err != nil {
			b.t.Fatal(err)
		}
		b.t.Cleanup(func() { l.Close() })
	} else {
		dev := &netlink.Dummy{LinkAttrs: netlink.LinkAttrs{Index: on.index}}
		if err := netlink.LinkSetXdpFdWithFlags(dev, p.FD(), unix.XDP_FLAGS_SKB_MODE); err != nil {
			b.t.Fatal(err)
		}
	}
	id, err := programID(p)
	if err != nil {
		b.t.Fatal(err)
	}
	return id
}

// TestForeignXDP is that another's XDP program is a conflict that is told, and
// goes only where takeover says so.
func TestForeignXDP(t *testing.T) {
	for name, byLink := range map[string]bool{"link": true, "netlink": false} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			one := b.object("one", "p0", verdictObject, "plain", resource.XDPIngress)
			chain := b.chain(resource.XDPIngress, one)
			other := b.foreignXDP("p0", byLink)
			b.conflict(set(one, chain), other)
			chain.Takeover = true
			b.make(set(one, chain))
			if on, err := b.d.linkByName("p0"); err != nil || on.xdp.program == other || on.xdp.program == 0 {
				t.Errorf("program %d is attached, %v; want ours in the place of %d", on.xdp.program, err, other)
			}
		})
		t.Run(name+" in the place of ours", func(t *testing.T) {
			r := ways()[0].start(t)
			r.forced()
			other := r.foreignXDP("p0", byLink)
			r.conflict(r.set, other)
			chain := r.chain(resource.XDPIngress, r.one, r.two)
			chain.Takeover = true
			r.make(set(r.one, r.two, r.settings, chain))
			r.whole()
		})
	}
}

// conflict wants a note, no operation on the chain, and the other to stay.
func (b *bench) conflict(want *resource.Set, other ebpf.ProgramID) {
	b.t.Helper()
	plan := b.plan(want)
	if shown := text(plan); !strings.Contains(shown, "somebody else's is there") || !strings.Contains(shown, "takeover: true") {
		b.t.Errorf("no conflict is told:\n%s", shown)
	}
	if errs := b.try(want); len(errs) > 0 {
		b.t.Errorf("apply: %v", errs)
	}
	if again := b.plan(want); !again.Empty() {
		b.t.Errorf("there is still to do:\n%s", text(again))
	}
	if on, err := b.d.linkByName("p0"); err != nil || on.xdp.program != other {
		b.t.Errorf("program %d is attached, %v; want %d to stay", on.xdp.program, err, other)
	}
}

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

// TestForeignPins adopts nothing of a namespace that had the same inode.
func TestForeignPins(t *testing.T) {
	r := ways()[0].start(t)
	mark := r.d.pins.mark(r.cfg.Cookie)
	if err := os.Rename(mark, r.d.pins.mark(r.cfg.Cookie+1)); err != nil {
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
