package chain

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	"reconciler/internal/driver/bpffs"
	"reconciler/internal/resource"
)

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
			if err := bpffs.RemoveTree(r.generation()); err != nil {
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
			if err := bpffs.RemoveTree(r.programDir(r.one)); err != nil {
				r.t.Fatal(err)
			}
		}, []string{"one"}},
		{"all pins but the link removed", func(r *running) {
			for _, dir := range []string{r.generation(), r.d.pins.programs()} {
				if err := bpffs.RemoveTree(dir); err != nil {
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
			if err := pin(m.FD(), filepath.Join(other, slotsPin)); err != nil {
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
				names, err := bpffs.List(r.dir())
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
