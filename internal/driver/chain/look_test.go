package chain

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"testing"

	"github.com/cilium/ebpf"

	"reconciler/internal/observed"
	"reconciler/internal/resource"
)

// twenty has 20 programs at work in two chains.
func (b *bench) twenty() *resource.Set {
	want := set()
	for _, hook := range []resource.Hook{resource.XDPIngress, resource.TCIngress} {
		entry := "plain"
		if !hook.IsXDP() {
			entry = "traffic"
		}
		var all []resource.Program
		for i := range 10 {
			p := b.object(fmt.Sprintf("%s-%d", hook, i), "", verdictObject, entry, hook)
			all = append(all, p)
			want.Put(resource.Object{Resource: p})
		}
		want.Put(resource.Object{Resource: b.chain(hook, all...)})
	}
	b.make(want)
	return want
}

// TestLookCosts bounds what a cycle that finds nothing new allocates: a look
// asks the kernel for no facts that it had before.
func TestLookCosts(t *testing.T) {
	b := newBench(t)
	want := b.twenty()
	cycle := func() {
		resolved, _ := b.d.Resolve(context.Background(), want)
		if _, err := b.d.Observe(context.Background(), observed.Query{Want: resolved}); err != nil {
			t.Fatal(err)
		}
	}
	const most = 1200
	if got := testing.AllocsPerRun(10, cycle); got > most {
		t.Errorf("a look at 20 programs allocates %.0f times, more than %d", got, most)
	}
	for path, f := range b.d.known.now {
		if was, ok := b.d.known.was[path]; !ok || was.state != f.state || len(f.maps) > 0 && &was.maps[0] != &f.maps[0] {
			t.Errorf("%s was read again", path)
		}
	}
	if got := len(b.d.known.now); got != 20+2*2 {
		t.Errorf("%d facts are kept, want those of 20 programs, 2 dispatchers and 2 states", got)
	}
}

// TestOtherPinAtThePath replaces a pin between two looks.
func TestOtherPinAtThePath(t *testing.T) {
	b := newBench(t)
	one := b.object("one", "", verdictObject, "plain", resource.XDPIngress)
	two := b.object("two", "", verdictObject, "plain", resource.XDPIngress)
	b.make(set(one, two, b.chain(resource.XDPIngress, one, two)))
	pin := func(p resource.Program) string {
		return functionPin(b.d.pins.program(p.Name, p.Link, b.digest(p)), "plain")
	}
	before, err := b.d.known.program(pin(one))
	if err != nil {
		t.Fatal(err)
	}
	other, err := ebpf.LoadPinnedProgram(pin(two), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := os.Remove(pin(one)); err != nil {
		t.Fatal(err)
	}
	b.d.known.next()
	if _, err := b.d.known.program(pin(one)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a pin that is gone gives %v", err)
	}
	if err := other.Pin(pin(one)); err != nil { // which moves it here
		t.Fatal(err)
	}
	b.d.known.next()
	after, err := b.d.known.program(pin(one))
	if err != nil || after.id == before.id {
		t.Errorf("another program under the path shows as %d, the one before as %d (%v)", after.id, before.id, err)
	}
}

// TestMapReadTwice bounds what it costs to find that a map is as it was, and
// wants every change of it to be found all the same.
func TestMapReadTwice(t *testing.T) {
	const n = 5000
	b := newBench(t)
	p := b.object("one", "", verdictObject, "plain", resource.XDPIngress)
	p.Maps = []resource.MapSettings{{Name: "settings_of_the_program", MaxEntries: 2 * n}}
	m := resource.Map{Program: "one", Name: "settings_of_the_program", Mode: resource.Exact}
	for i := range n {
		m.Entries = append(m.Entries, resource.MapEntry{Key: resource.Scalar(fmt.Sprint(i)), Value: resource.Scalar(fmt.Sprint(i))})
	}
	want := set(p, m, b.chain(resource.XDPIngress, p))
	b.make(want)
	m.Digest = b.digest(p)
	open, err := b.d.openMap(m)
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	c := b.d.encoded[m.Key()]
	compare := func() difference {
		f, err := c.compare(open)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	if got := testing.AllocsPerRun(5, func() { compare() }); got > 100 {
		t.Errorf("comparing a map of %d entries again allocates %.0f times", n, got)
	}
	for _, change := range []struct {
		name string
		do   func() error
		is   func(difference) bool
	}{
		{"value", func() error { return open.Put(uint32(7), uint64(8)) }, func(f difference) bool { return len(f.differs) == 1 }},
		{"the same again", func() error { return nil }, func(f difference) bool { return len(f.differs) == 1 }},
		{"value back", func() error { return open.Put(uint32(7), uint64(7)) }, difference.none},
		{"more", func() error { return open.Put(uint32(n), uint64(1)) }, func(f difference) bool { return len(f.extra) == 1 }},
		{"less", func() error { return errors.Join(open.Delete(uint32(n)), open.Delete(uint32(3))) }, func(f difference) bool { return len(f.missing) == 1 && len(f.extra) == 0 }},
		{"back", func() error { return open.Put(uint32(3), uint64(3)) }, difference.none},
	} {
		if err := change.do(); err != nil {
			t.Fatal(err)
		}
		if f := compare(); !change.is(f) {
			t.Errorf("%s: %+v", change.name, f)
		}
	}
}

// TestParsedOnce wants checking, resolving and loading to share one parse, of
// dispatchers as of objects.
func TestParsedOnce(t *testing.T) {
	b := newBench(t)
	p := b.object("one", "", verdictObject, "plain", resource.XDPIngress)
	if faults := b.d.Check(p); len(faults) > 0 {
		t.Fatal(faults)
	}
	sum := p.Source.Tree.SHA256
	first := b.d.parsed.by[sum]
	b.make(set(p, b.chain(resource.XDPIngress, p)))
	dispatcher, _, _ := b.d.dispatchers.of(resource.XDPIngress)
	b.make(set(p, b.chain(resource.XDPIngress)))
	if first == nil || b.d.parsed.by[sum] != first {
		t.Error("the object was parsed again")
	}
	if again, _, err := b.d.dispatchers.of(resource.XDPIngress); again != dispatcher || err != nil {
		t.Error("the dispatcher was parsed again")
	}
}

// TestKernelTypesOnce wants programs that are relocated for this kernel to share
// one reading of its types, which are megabytes, and a look to let go of them.
func TestKernelTypesOnce(t *testing.T) {
	b := newBench(t)
	p := b.object("only", "p0", "testdata/relocated.o", "portable", resource.XDPIngress)
	p.Functions = []string{"portable"}
	obj, err := b.d.object(p)
	if err != nil {
		t.Fatal(err)
	}
	load := func() uint64 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		l, err := b.d.load(p, obj)
		runtime.ReadMemStats(&after)
		if err != nil {
			t.Fatal(err)
		}
		l.close()
		return after.TotalAlloc - before.TotalAlloc
	}
	first, second := load(), load()
	b.plan(set())
	third := load()
	if second > first/4 || third < first/2 {
		t.Errorf("%d, %d and after a look %d bytes are allocated, want the second to be few", first, second, third)
	}
}
