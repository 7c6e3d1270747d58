package chain

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"testing"

	"github.com/cilium/ebpf"

	"reconciler/internal/driver/bpffs"
	"reconciler/internal/resource"
	"reconciler/internal/testns"
)

// other is an object that somebody else wrote, or might have.
type other struct {
	file      string
	entry     string
	hook      resource.Hook
	constants map[string]uint32
	// fill puts in what its own loader would.
	fill func(fill)
	// codes is how many different verdicts the frames get at least.
	codes int
}

// fill writes an entry of a map of an object.
type fill func(mapName string, key, value any)

func (o other) name() string { return filepath.Base(o.file) + " " + o.entry }

// ours are objects in the manner of others: what those that can be had leave
// out.
func ours() []other {
	const in = "testdata/"
	xdp, tc := resource.XDPIngress, resource.TCIngress
	return []other{
		{in + "verdict.o", "plain", xdp, map[string]uint32{"verdict": 1}, nil, 1},
		{in + "verdict.o", "frags", xdp, map[string]uint32{"verdict": 3}, nil, 1},
		{in + "verdict.o", "traffic", tc, map[string]uint32{"verdict": 2}, nil, 1},
		{in + "verdict.o", "calling", xdp, nil, nil, 1},
		{in + "nobtf.bare.o", "bare_xdp", xdp, nil, refuse, 2},
		{in + "nobtf.bare.o", "bare_tc", tc, nil, refuse, 2},
		{in + "calls.o", "enter", xdp, nil, nil, 3},
		{in + "calls.o", "start", tc, nil, nil, 1},
		{in + "kinds.o", "ask", xdp, nil, fillKinds, 4},
		{in + "relocated.o", "portable", xdp, nil, nil, 2},
		{in + "rewrite.o", "push", xdp, nil, nil, 2},
		{in + "rewrite.o", "both_ends", xdp, nil, nil, 3},
		{in + "rewrite.o", "tag", tc, nil, nil, 4},
	}
}

func refuse(put fill) { put("refused", []byte{0x86, 0xdd}, uint32(1)) }

func fillKinds(put fill) {
	put("first", uint32(6), uint32(3))
	put("second", uint32(1), uint32(1))
	put("prefixes", []byte{24, 0, 0, 0, 198, 51, 100, 0}, uint32(0))
	put("ports", uint32(0), uint32(loopback))
}

// debian are the objects of Debian's xdp-tools and libxdp1.
func debian(t *testing.T) []other {
	xdp := resource.XDPIngress
	object := func(name string) string { return testns.NeedFile(t, "/usr/lib/*/bpf/"+name) }
	all := []other{
		{object("xdp-dispatcher.o"), "xdp_dispatcher", xdp, nil, nil, 1},
		{object("xdpdump_xdp.o"), "xdpdump", xdp, nil, nil, 1},
		{object("xsk_def_xdp_prog.o"), "xsk_def_prog", xdp, nil, nil, 1},
		{object("xsk_def_xdp_prog_5.3.o"), "xsk_def_prog", xdp, nil, nil, 1},
	}
	for _, name := range []string{"all", "eth", "ip", "tcp", "udp"} {
		for _, way := range []string{"alw", "dny"} {
			entry := "xdpfilt_" + way + "_" + name
			all = append(all, other{object(entry + ".o"), entry, xdp, nil, filterOf(name), 2})
		}
	}
	return all
}

// filterOf is what the command xdp-filter writes for a host, a port and a card.
func filterOf(name string) func(fill) {
	const anyWay = uint64(0xf) // source, destination, TCP, UDP
	return func(put fill) {
		if name == "ip" || name == "all" {
			put("filter_ipv4", server4, anyWay)
		}
		if name == "eth" || name == "all" {
			put("filter_ethernet", []byte{2, 0, 0, 0, 0, 9}, anyWay)
		}
		if name == "tcp" || name == "udp" || name == "all" {
			put("filter_ports", uint32(9<<8), anyWay) // of the network's byte order
			put("filter_ports", uint32(443<<8&0xff00|443>>8), anyWay)
		}
	}
}

// modules are objects that Go modules carry.
func modules(t *testing.T) []other {
	xdp, tc := resource.XDPIngress, resource.TCIngress
	library := filepath.Dir(sourceOf(ebpf.LoadCollectionSpec)) + "/"
	return []other{
		{library + "docs/examples/getting_started/counter_bpfel.o", "count_packets", xdp, nil, nil, 1},
		{library + "examples/xdp/bpf_bpfel.o", "xdp_prog_func", xdp, nil, nil, 1},
		{library + "examples/xdp_live_frame/bpf_bpfel.o", "xdp_prog_tx", xdp, nil, nil, 1},
		{library + "examples/tcx/bpf_bpfel.o", "ingress_prog_func", tc, nil, nil, 1},
		{library + "testdata/fentry_fexit-el.elf", "target", tc, nil, nil, 1},
		{library + "testdata/loader-clang-14-el.elf", "xdp_prog", xdp, map[string]uint32{"arg": 1}, nil, 1},
		{library + "testdata/loader-clang-22-el.elf", "xdp_prog", xdp, map[string]uint32{"arg": 1}, nil, 1},
		{library + "testdata/loader_nobtf-el.elf", "xdp_prog", xdp, nil, nil, 1},
		{library + "testdata/strings-el.elf", "filter", xdp, nil, nil, 1},
		{library + "testdata/subprog_reloc-el.elf", "fp_relocation", xdp, nil, nil, 1},
		{module(t, "tailscale.com", "v1.80.0", "h1:7joWtDtdHEHJvGmOag10RNITKp1I4Ts7Hrn6pU33/1I=") + "/derp/xdp/bpf_bpfel.o",
			"xdp_prog_func", xdp, nil, func(put fill) { put("config_map", uint32(0), uint32(3478)) }, 2},
	}
}

// sourceOf is the file of a function.
func sourceOf(f any) string {
	file, _ := runtime.FuncForPC(reflect.ValueOf(f).Pointer()).FileLine(reflect.ValueOf(f).Pointer())
	return file
}

// module downloads a module that is nothing of ours and returns its folder.
func module(t *testing.T, path, version, sum string) string {
	t.Helper()
	cmd := exec.Command("go", "mod", "download", "-json", path+"@"+version)
	cmd.Dir = t.TempDir()
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, out)
	}
	var m struct{ Dir, Sum string }
	if err := json.Unmarshal(out, &m); err != nil {
		t.Fatal(err)
	}
	if m.Sum != sum {
		t.Fatalf("%s has the sum %s, want %s", path, m.Sum, sum)
	}
	return m.Dir
}

// TestOthers asks programs about frames, alone as their own loaders would have
// them, and in chains: the answers must be the same, and so must the frames be
// afterwards.
func TestOthers(t *testing.T) {
	t.Run("ours", func(t *testing.T) { compareAll(t, ours()) })
	t.Run("Debian", func(t *testing.T) { compareAll(t, debian(t)) })
	t.Run("modules", func(t *testing.T) { compareAll(t, modules(t)) })
}

// TestGuestOthers is the part of it that needs no network, of objects that
// kernels differ about.
func TestGuestOthers(t *testing.T) {
	differs := []string{"bare_tc", "enter", "ask", "portable", "both_ends", "tag"}
	compareAll(t, slices.DeleteFunc(ours(), func(o other) bool { return !slices.Contains(differs, o.entry) }))
}

func compareAll(t *testing.T, all []other) {
	for _, o := range all {
		t.Run(o.name(), func(t *testing.T) { o.compare(t) })
	}
}

func (o other) compare(t *testing.T) {
	b := newBench(t)
	p := b.object("other", "p0", o.file, o.entry, o.hook)
	for name, v := range o.constants {
		p.Constants = append(p.Constants, resource.NamedValue{Name: name, Value: resource.Scalar(fmt.Sprint(v))})
	}
	alone := o.alone(t, p.Source.Tree.Bytes)
	want := make([]outcome, len(frames()))
	codes := map[uint32]bool{}
	for i, f := range frames() {
		want[i] = ask(t, alone, f)
		if want[i].err == nil {
			codes[want[i].code] = true
		}
	}
	if len(codes) < o.codes {
		t.Errorf("alone it gives %d different verdicts, want %d at least", len(codes), o.codes)
	}
	for _, place := range places() {
		b.among(o, p, place.before, place.after)
		chained := b.dispatcher(o.hook)
		for i, f := range frames() {
			o.judge(t, f.name, place.before, place.after, ask(t, chained, f), want[i])
		}
	}
}

// neighbours is where in a chain a program stands.
type neighbours struct{ before, after int }

// places are alone, first, in the middle and last; on slow machines the one
// that shows most.
func places() []neighbours {
	if inGuest() {
		return []neighbours{{1, 1}}
	}
	return []neighbours{{0, 0}, {0, 2}, {1, 1}, {2, 0}}
}

// judge wants a chain to answer as the program alone. After a verdict to go on
// after, that of a neighbour counts.
func (o other) judge(t *testing.T, frame string, before, after int, got, want outcome) {
	t.Helper()
	goesOn := o.hook.DefaultProceed()>>(want.code+bias(o.hook))&1 != 0
	if want.err == nil && goesOn && after > 0 {
		want.code = neighbourCode(o.hook)
	}
	if !errors.Is(got.err, want.err) || got.code != want.code {
		t.Errorf("%s, %d before, %d after: %d, %v, alone %d, %v", frame, before, after, int32(got.code), got.err, int32(want.code), want.err)
	}
	if !bytes.Equal(got.frame, want.frame) {
		t.Errorf("%s, %d before, %d after: another frame is left than alone\n%x\n%x", frame, before, after, got.frame, want.frame)
	}
	if got.context != want.context {
		t.Errorf("%s, %d before, %d after: another context is left than alone\n%x\n%x", frame, before, after, got.context, want.context)
	}
}

func bias(h resource.Hook) uint32 {
	if h.IsXDP() {
		return 0
	}
	return 1
}

// neighbourCode is what neighbours return: pass, or unspec.
func neighbourCode(h resource.Hook) uint32 {
	if h.IsXDP() {
		return 2
	}
	return 1<<32 - 1
}

// alone loads an object with nothing of ours in between.
func (o other) alone(t *testing.T, content []byte) *ebpf.Program {
	t.Helper()
	spec, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	called := map[string]bool{o.entry: true}
	for _, m := range spec.Maps {
		m.Pinning, m.Extra = ebpf.PinNone, nil
		for _, kv := range m.Contents {
			if name, ok := kv.Value.(string); ok {
				called[name] = true
			}
		}
	}
	for name := range spec.Programs {
		if !called[name] {
			delete(spec.Programs, name)
		}
	}
	for name, v := range o.constants {
		if err := spec.Variables[name].Set(v); err != nil {
			t.Fatal(err)
		}
	}
	coll, err := ebpf.NewCollection(spec)
	if err != nil {
		t.Fatalf("%+v", err)
	}
	t.Cleanup(coll.Close)
	if o.fill != nil {
		o.fill(func(name string, key, value any) { putEntry(t, coll.Maps[name], key, value) })
	}
	return coll.Programs[o.entry]
}

// putEntry writes an entry, on all CPUs.
func putEntry(t *testing.T, m *ebpf.Map, key, value any) {
	t.Helper()
	if isPerCPU(m.Type()) {
		n, err := ebpf.PossibleCPU()
		if err != nil {
			t.Fatal(err)
		}
		all := reflect.MakeSlice(reflect.SliceOf(reflect.TypeOf(value)), n, n)
		for i := range n {
			all.Index(i).Set(reflect.ValueOf(value))
		}
		value = all.Interface()
	}
	if err := m.Put(key, value); err != nil {
		t.Fatalf("put into %s: %v", m, err)
	}
}

// among makes a chain of a program and neighbours that let everything pass.
func (b *bench) among(o other, p resource.Program, before, after int) {
	b.t.Helper()
	var chain []resource.Program
	for i := range before + 1 + after {
		if i == before {
			chain = append(chain, p)
			continue
		}
		n := b.object(fmt.Sprintf("n%d", i), "p0", verdictObject, o.neighbour(b.t), o.hook)
		if !o.hook.IsXDP() {
			n.Constants = []resource.NamedValue{{Name: "verdict", Value: resource.Scalar("-1")}}
		}
		chain = append(chain, n)
	}
	want := set(b.chain(o.hook, chain...))
	for _, n := range chain {
		want.Put(resource.Object{Resource: n})
	}
	b.make(want)
	if o.fill == nil {
		return
	}
	o.fill(func(name string, key, value any) {
		m, err := b.d.openMap(resource.Map{Program: p.Name, Link: p.Link, Digest: b.digestAs(p), Name: name})
		if err != nil {
			b.t.Fatal(err)
		}
		defer m.Close()
		putEntry(b.t, m, key, value)
	})
}

// neighbour is an entry of the verdict object that may stand beside the
// program without taking anything from it.
func (o other) neighbour(t *testing.T) string {
	t.Helper()
	spec, err := ebpf.LoadCollectionSpec(o.file)
	if err != nil {
		t.Fatal(err)
	}
	switch {
	case !o.hook.IsXDP():
		return "traffic"
	case spec.Programs[o.entry].Flags&bpfXDPHasFrags != 0:
		return "frags"
	}
	return "plain"
}

// digestAs is the digest of the instance that is pinned.
func (b *bench) digestAs(p resource.Program) string {
	b.t.Helper()
	digests, err := bpffs.List(filepath.Dir(b.d.pins.program(p.Name, p.Link, "x")))
	if err != nil || len(digests) != 1 {
		b.t.Fatalf("instances of %s: %v, %v", p.Name, digests, err)
	}
	return digests[0]
}

// dispatcher opens that of the only generation of a chain on p0.
func (b *bench) dispatcher(hook resource.Hook) *ebpf.Program {
	b.t.Helper()
	found, err := filepath.Glob(filepath.Join(b.d.pins.chain("p0", hook, 1), "*", dispatcherPin))
	if err != nil || len(found) != 1 {
		b.t.Fatalf("dispatchers: %v, %v", found, err)
	}
	p, err := ebpf.LoadPinnedProgram(found[0], nil)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { p.Close() })
	return p
}

// outcome is what became of a frame.
type outcome struct {
	code    uint32
	frame   []byte
	context [skbSize]byte // of TC: mark, priority, control block
	err     error
}

const (
	skbSize = 192       // of struct __sk_buff
	outRoom = 16 * 1024 // more than any frame here grows to
)

// ask runs a program on a frame.
func ask(t *testing.T, p *ebpf.Program, f frame) outcome {
	t.Helper()
	opts := &ebpf.RunOptions{Data: f.bytes, DataOut: make([]byte, outRoom)}
	var o outcome
	if p.Type() == ebpf.SchedCLS {
		opts.Context, opts.ContextOut = [skbSize]byte{}, &o.context
	}
	o.code, o.err = p.Run(opts)
	if o.err != nil {
		// Which error it is does not matter, but that it is the same.
		o.err = errors.Unwrap(o.err)
		o.context = [skbSize]byte{}
		return o
	}
	o.frame = opts.DataOut
	return o
}

// TestSharedMap has two programs of one tool find each other by a map with a
// pin, in chains as with their own loader.
func TestSharedMap(t *testing.T) {
	const file = "testdata/shared.o"
	b := newBench(t)
	hook := resource.XDPIngress
	settings := []resource.MapSettings{{Name: "frames", Pin: "tool/frames"}}
	learn, limit := b.object("learn", "p0", file, "learn", hook), b.object("limit", "p0", file, "limit", hook)
	learn.Maps, limit.Maps = settings, settings
	b.make(set(learn, limit, b.chain(hook, limit, learn)))
	chained := b.dispatcher(hook)
	arp, udp := frames()[0], frames()[1]
	for i, want := range []uint32{2, 2, 2, 1, 1} {
		if got := ask(t, chained, arp); got.code != want || got.err != nil {
			t.Errorf("frame %d: %d, %v, want %d", i, got.code, got.err, want)
		}
	}
	if got := ask(t, chained, udp); got.code != 2 {
		t.Errorf("a frame of another kind: %d, want 2", got.code)
	}
	// A map is the tool's, not a version's: who comes later finds what was learnt.
	limit.Version, limit.Entry = "v2", "learn"
	b.make(set(learn, limit, b.chain(hook, learn)))
	m, err := ebpf.LoadPinnedMap(b.d.pins.shared("tool/frames"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	var n uint32
	if err := m.Lookup([]byte{8, 6}, &n); err != nil || n != 3 {
		t.Errorf("%d frames are known, %v, want 3", n, err)
	}
}

// TestEntriesOfOtherPlaces wants an object found that has one program for an
// interface, and others for the maps that frames are redirected by.
func TestEntriesOfOtherPlaces(t *testing.T) {
	b := newBench(t)
	hook := resource.XDPIngress
	p := b.object("only", "p0", "testdata/relocated.o", "", hook)
	b.make(set(p, b.chain(hook, p)))
	p.Entry = "on_the_way_out"
	if _, notes := b.d.Resolve(t.Context(), set(p, b.chain(hook, p))); len(notes) != 1 {
		t.Errorf("a program for devmaps on a hook: %v", notes)
	}
}

// TestOwnTailCalls has the last of sixteen programs call seventeen of its own:
// the kernel counts those of a chain together, 33 in all.
func TestOwnTailCalls(t *testing.T) {
	b := newBench(t)
	o := other{file: "testdata/calls.o", entry: "start", hook: resource.TCIngress}
	p := b.object("other", "p0", o.file, o.entry, o.hook)
	p.Constants = []resource.NamedValue{{Name: "depth", Value: resource.Scalar("17")}}
	b.among(o, p, resource.MaxSlots-1, 0)
	const stolen = 4
	if got := ask(t, b.dispatcher(o.hook), frames()[0]); got.code != stolen || got.err != nil {
		t.Errorf("%d, %v, want %d", got.code, got.err, stolen)
	}
}

// TestKernelsVariables takes the pin of the map away that the kernel's
// configuration is in: it is put back from the program that runs.
func TestKernelsVariables(t *testing.T) {
	b := newBench(t)
	p := b.object("only", "p0", "testdata/relocated.o", "portable", resource.XDPIngress)
	want := set(p, b.chain(resource.XDPIngress, p))
	b.make(want)
	pin := mapPin(b.d.pins.program(p.Name, p.Link, b.digestAs(p)), ".kconfig:portable")
	if err := os.Remove(pin); err != nil {
		t.Fatal(err)
	}
	if plan := b.plan(want); len(plan.Ops) != 1 {
		t.Errorf("without the pin there is to do:\n%s", text(plan))
	}
	b.make(want)
	if !bpffs.Exists(pin) {
		t.Error("the pin did not come back")
	}
}
