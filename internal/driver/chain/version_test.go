package chain

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/cilium/ebpf"

	"reconciler/internal/apply"
	"reconciler/internal/diff"
	"reconciler/internal/driver"
	"reconciler/internal/driver/bpffs"
	"reconciler/internal/observed"
	"reconciler/internal/resource"
)

// TestNewVersion loads a program anew, with maps of the same layout and of
// another, and looks at what became of what they held.
func TestNewVersion(t *testing.T) {
	type outcome struct {
		holds string // the map of settings afterwards
		fault string
	}
	for _, c := range []struct {
		policy      resource.NewVersion
		same, other outcome
		shown       string // of the same layout, in the plan
	}{
		{"", outcome{holds: "1=10 "}, outcome{}, "reused"},
		{resource.Reuse, outcome{holds: "1=10 "}, outcome{fault: "its layout differs"}, "reused"},
		{resource.Copy, outcome{holds: "1=10 "}, outcome{holds: "1=10 "}, "copied"},
		{resource.Fresh, outcome{}, outcome{}, "fresh"},
	} {
		for _, size := range []uint32{64, 128} {
			t.Run(fmt.Sprintf("%s %d", c.policy, size), func(t *testing.T) {
				r := ways()[0].startWithout(t)
				if err := r.contents().Put(uint32(1), uint64(10)); err != nil {
					t.Fatal(err)
				}
				r.mark()
				old := r.contents()
				r.one.OnNewVersion = c.policy
				r.one.Constants = []resource.NamedValue{{Name: "verdict", Value: resource.Scalar("1")}}
				r.one.Maps = []resource.MapSettings{{Name: settingsMap, MaxEntries: size}}
				want := c.same
				if size != 64 {
					want = c.other
				}
				if shown := text(r.plan(r.wanted())); size == 64 && !strings.Contains(shown, settingsMap+" "+c.shown) {
					t.Errorf("the plan does not say %q:\n%s", c.shown, shown)
				}
				if want.fault != "" {
					r.refuses(r.wanted(), want.fault)
					return
				}
				r.make(r.wanted())
				now := r.contents()
				if got := dump(t, now); got != want.holds {
					t.Errorf("the map holds %q, want %q", got, want.holds)
				}
				reused := c.shown == "reused" && size == 64
				if same := pinnedSame(t, old, now); same != reused {
					t.Errorf("it is the same map: %t, want %t", same, reused)
				}
				r.sound("p0", 2)
			})
		}
	}
}

func pinnedSame(t *testing.T, a, b *ebpf.Map) bool {
	t.Helper()
	one, err := mapID(a)
	if err != nil {
		t.Fatal(err)
	}
	other, err := mapID(b)
	if err != nil {
		t.Fatal(err)
	}
	return one == other
}

// startWithout starts a chain with no declared contents.
func (w way) startWithout(t *testing.T) *running {
	t.Helper()
	r := w.start(t)
	r.settings = resource.Map{Program: "one", Link: "p0", Name: settingsMap, Mode: resource.Merge}
	m := r.contents()
	for _, k := range []uint32{1, 2} {
		if err := m.Delete(k); err != nil {
			t.Fatal(err)
		}
	}
	r.set = r.wanted()
	r.make(r.set)
	return r
}

// refuses wants an apply to fail with words, and the chain, its programs and
// their maps to be as they were.
func (r *running) refuses(want *resource.Set, words ...string) {
	r.t.Helper()
	before := r.state()
	plan := r.plan(want)
	errs := append(r.run(plan), r.notReady...)
	if len(errs) == 0 {
		r.t.Fatal("no error")
	}
	for _, w := range words {
		if len(errs) == 0 || !strings.Contains(errs[0].Error(), w) {
			r.t.Errorf("the error does not say %q: %v", w, errs)
		}
	}
	if after := r.state(); after != before {
		r.t.Errorf("something was touched:\n%s\nbecame\n%s", before, after)
	}
}

// run applies a plan as the engine does, and returns the failures at the root.
func (r *running) run(plan diff.Plan) []error {
	var errs []error
	report := apply.Run(context.Background(), plan, []driver.Driver{r.d})
	for _, res := range report.Results {
		if res.Outcome == apply.Failed {
			errs = append(errs, res.Err)
		}
	}
	return errs
}

// state prints all that is pinned, and what the first map holds.
func (r *running) state() string {
	r.t.Helper()
	var w strings.Builder
	var walk func(string)
	walk = func(dir string) {
		names, err := bpffs.List(dir)
		if err != nil {
			w.WriteString(dir + " " + strconv.Itoa(int(pinnedID(dir))) + "/" + strconv.Itoa(int(pinnedMapID(dir))) + "\n")
			return
		}
		for _, n := range names {
			walk(dir + "/" + n)
		}
	}
	walk(r.d.pins.Dir())
	on, err := r.d.linkByName("p0")
	if err != nil {
		r.t.Fatal(err)
	}
	fmt.Fprintln(&w, "attached", on.xdp.program)
	return w.String()
}

// TestFaultsTouchNothing is what the kernel or the object will not have: told
// in words, while all stays as it is.
func TestFaultsTouchNothing(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*running)
		words  []string
	}{
		{"map too small", func(r *running) {
			r.one.Maps = []resource.MapSettings{{Name: settingsMap, MaxEntries: 1}}
		}, []string{"net.yaml:1", settingsMap, "room for 1 entries, and 2 are declared"}},
		{"refused by the verifier", func(r *running) {
			r.one.Entry = "refused"
		}, []string{"program one", "refused", "invalid access to packet"}},
		{"no such map", func(r *running) {
			r.settings.Name = "other"
			r.one.Constants = []resource.NamedValue{{Name: "verdict", Value: resource.Scalar("1")}}
		}, []string{"no map other", "seen"}},
		{"no such constant", func(r *running) {
			r.one.Constants = []resource.NamedValue{{Name: "speed", Value: resource.Scalar("1")}}
		}, []string{"constant speed", "verdict"}},
		{"value too wide", func(r *running) {
			r.settings.Entries = []resource.MapEntry{entry("1", "0x1ffffffffffffffff")}
			r.one.Constants = []resource.NamedValue{{Name: "verdict", Value: resource.Scalar("1")}}
		}, []string{settingsMap, "key 1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := ways()[0].start(t)
			c.change(r)
			r.refuses(r.wanted(), c.words...)
			r.sound("p0", 2)
			// Another hook is still done.
			other := r.object("other", "p0", verdictObject, "traffic", resource.TCIngress)
			tc := r.chain(resource.TCIngress, other)
			want := r.wanted()
			want.Put(resource.Object{Resource: other})
			want.Put(resource.Object{Resource: tc})
			if errs := append(r.run(r.plan(want)), r.notReady...); len(errs) == 0 {
				t.Error("no error")
			}
			have, err := r.d.Observe(t.Context(), observed.Query{All: true})
			if err != nil || !have.Objects.Has(tc.Key()) {
				t.Errorf("the chain of the other hook is not there: %v", err)
			}
		})
	}
}

// TestBadContents is a change of contents alone that does not fit: the map
// keeps what it holds.
func TestBadContents(t *testing.T) {
	r := ways()[0].start(t)
	m := r.contents()
	r.settings.Entries = []resource.MapEntry{entry("1", "11"), entry("many", "1")}
	r.refuses(r.wanted(), "key many")
	if got := dump(t, m); got != "1=10 2=20 " {
		t.Errorf("the map holds %s", got)
	}
	var all []resource.MapEntry
	for i := range 65 {
		all = append(all, entry(strconv.Itoa(i), "1"))
	}
	r.settings.Entries = all
	r.refuses(r.wanted(), "room for 64 entries, and 65 are declared")
	if got := dump(t, m); got != "1=10 2=20 " {
		t.Errorf("the map holds %s", got)
	}
}

// TestInitialContents are put in when a map is made: neither when a new version
// takes it over, nor when it was changed.
func TestInitialContents(t *testing.T) {
	r := ways()[0].start(t)
	r.settings.Mode = resource.Initial
	r.one.Name, r.settings.Program = "fresh", "fresh"
	r.make(r.wanted())
	if got := dump(t, r.contents()); got != "1=10 2=20 " {
		t.Errorf("a new map holds %s", got)
	}
	if err := r.contents().Put(uint32(1), uint64(99)); err != nil {
		t.Fatal(err)
	}
	r.one.Constants = []resource.NamedValue{{Name: "verdict", Value: resource.Scalar("1")}}
	r.make(r.wanted())
	if got := dump(t, r.contents()); got != "1=99 2=20 " {
		t.Errorf("with a new version it holds %s", got)
	}
	r.one.OnNewVersion = resource.Fresh
	r.one.Constants[0].Value.Text = "3"
	r.make(r.wanted())
	if got := dump(t, r.contents()); got != "1=10 2=20 " {
		t.Errorf("a fresh map holds %s", got)
	}
}

// TestSharing lets one instance run on two interfaces, one object feed XDP and
// TC, and two programs have one map.
func TestSharing(t *testing.T) {
	r := ways()[0].start(t)
	pin := []resource.MapSettings{{Name: settingsMap, Pin: "common"}}
	both := r.object("both", "", verdictObject, "plain", resource.XDPIngress)
	left := r.object("left", "p0", verdictObject, "plain", resource.XDPIngress)
	left.Maps, both.Maps = pin, pin
	tc := r.object("tc", "", verdictObject, "traffic", resource.TCIngress)
	tc.Maps = pin
	one, two := r.chain(resource.XDPIngress, both, left), r.chain(resource.XDPIngress, both)
	two.Link = "p1"
	ingress := r.chain(resource.TCIngress, tc)
	r.make(set(both, left, tc, one, two, ingress))
	path := r.d.pins.shared("common")
	if err := r.pinned(path).Put(uint32(4), uint64(44)); err != nil {
		t.Fatal(err)
	}
	for _, p := range []resource.Program{both, left, tc} {
		if !pinnedSame(t, r.pinned(path), r.pinned(mapPin(r.programDir(p), settingsMap))) {
			t.Errorf("%s has another map", p.Name)
		}
	}
	slot := func(link string) resource.Slot {
		have, err := r.d.Observe(t.Context(), observed.Query{All: true})
		if err != nil {
			t.Fatal(err)
		}
		o, _ := have.Objects.Get(resource.ChainKey(link, resource.XDPIngress))
		return o.Resource.(resource.Chain).Slots[0]
	}
	if a, b := slot("p0"), slot("p1"); a.ID != b.ID || a.Program != "both" {
		t.Errorf("not one instance: %+v, %+v", a, b)
	}
	// One interface lets go of it, the other runs on.
	r.make(set(both, two))
	if got := slot("p1"); got.Program != "both" {
		t.Errorf("p1 runs %+v", got)
	}
	if got := dump(t, r.pinned(path)); got != "4=44 " {
		t.Errorf("the map they shared holds %q", got)
	}
}

// TestPinThatDoesNotFit says in the plan what an apply then does: a map that is
// pinned is taken or refused, and one that is not there made.
func TestPinThatDoesNotFit(t *testing.T) {
	r := ways()[0].startWithout(t)
	for _, c := range []struct {
		size       uint32
		pin, shown string
		fault      bool
	}{
		{64, "common", "new (common)", false},
		{0, "common", "stays (common)", false},
		{128, "common", "does not fit what is pinned (common)", true},
		{128, "other", "new (other)", false},
	} {
		r.one.Maps = []resource.MapSettings{{Name: settingsMap, Pin: c.pin, MaxEntries: c.size}}
		want := set(r.one, r.two, r.chain(r.way.hook, r.one, r.two))
		if shown := text(r.plan(want)); !strings.Contains(shown, settingsMap+" "+c.shown) {
			t.Errorf("size %d: the plan does not say %q:\n%s", c.size, c.shown, shown)
		}
		if c.fault {
			r.refuses(want, "does not fit")
			continue
		}
		r.make(want)
	}
}

// TestConstantDecides is that a constant in .rodata is what the program runs
// with: the verdict of the first ends the chain or does not.
func TestConstantDecides(t *testing.T) {
	r := ways()[0].start(t)
	for _, c := range []struct {
		verdict string
		ends    bool
	}{{"2", false}, {"1", true}, {"0x2", false}} {
		r.one.Constants = []resource.NamedValue{{Name: "verdict", Value: resource.Scalar(c.verdict)}}
		r.make(r.wanted())
		before := r.seen(r.two)
		f := r.startFlood(r.way.hook)
		f.end(t)
		if ended := r.seen(r.two) == before; ended != c.ends {
			t.Errorf("verdict %s: the chain ends after the first: %t, want %t", c.verdict, ended, c.ends)
		}
	}
}

// TestMissingNeighbour is a chain one of whose objects cannot be had: the others
// are not loaded another way meanwhile.
func TestMissingNeighbour(t *testing.T) {
	b := newBench(t)
	one := b.object("one", "p0", verdictObject, "frags", resource.XDPIngress)
	two := b.object("two", "p0", verdictObject, "frags", resource.XDPIngress)
	c := b.chain(resource.XDPIngress, one, two)
	b.make(set(one, two, c))
	two.Source = resource.ObjectSource{File: "/nonexistent/two.o"}
	if plan := b.plan(set(one, two, c)); !plan.Empty() || len(b.notReady) == 0 {
		t.Errorf("not ready is %v, and planned:\n%s", b.notReady, text(plan))
	}
}

// TestNeighbourIsNotLoaded is a program whose only chain waits for another: it is
// loaded once it can run, and told until then.
func TestNeighbourIsNotLoaded(t *testing.T) {
	b := newBench(t)
	one := b.object("one", "p0", verdictObject, "plain", resource.XDPIngress)
	gone := one
	gone.Name, gone.Source = "gone", resource.ObjectSource{File: "/nonexistent/gone.o"}
	waits := b.chain(resource.XDPIngress, one, gone)
	plan := b.plan(set(one, gone, waits))
	if !plan.Empty() || len(b.notReady) != 2 || !strings.Contains(fmt.Sprint(b.notReady), "waits for program gone") {
		t.Errorf("not ready is %v, and planned:\n%s", b.notReady, text(plan))
	}
	// Another chain can run it.
	shared := one
	shared.Link, waits.Slots[0].Link = "", ""
	other := b.chain(resource.XDPIngress, shared)
	other.Link = "p1"
	if plan := b.plan(set(shared, gone, waits, other)); len(plan.Ops) != 2 || len(b.notReady) != 1 {
		t.Errorf("not ready is %v, and planned:\n%s", b.notReady, text(plan))
	}
	b.make(set(shared, other))
	if plan := b.plan(set(shared, gone, waits, other)); !plan.Empty() || len(b.notReady) != 1 {
		t.Errorf("not ready is %v, and planned:\n%s", b.notReady, text(plan))
	}
}

// TestOrderIsShown is that a plan tells which programs change places.
func TestOrderIsShown(t *testing.T) {
	slots := func(names string) (c resource.Chain) {
		c.Hook = resource.XDPIngress
		for _, n := range strings.Fields(names) {
			c.Slots = append(c.Slots, resource.Slot{Program: n, Digest: strings.Repeat("a", 64)})
		}
		return c
	}
	for _, c := range []struct{ from, to, want string }{
		{"a b c", "c a b", "0 c was 2; 1 a was 0; 2 b was 1"},
		{"a b c", "b c", "0 b; 1 c; - a"},
		{"a b c", "n a b c", "0 + n; 1 a; 2 b; 3 c"},
		{"a b c", "n b a", "0 + n; 1 b was 1; 2 a was 0; - c"},
	} {
		var got []string
		for _, line := range new(Driver).details(slots(c.from), slots(c.to), nil) {
			got = append(got, strings.Join(strings.Fields(strings.ReplaceAll(line, " aaaaaa", "")), " "))
		}
		if strings.Join(got, "; ") != c.want {
			t.Errorf("%s -> %s is shown as %q, want %q", c.from, c.to, strings.Join(got, "; "), c.want)
		}
	}
}
