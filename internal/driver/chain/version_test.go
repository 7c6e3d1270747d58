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
	errs := r.run(plan)
	if len(errs) != 1 {
		r.t.Errorf("%d errors, want one: %v", len(errs), errs)
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
		names, err := list(dir)
		if err != nil {
			w.WriteString(dir + " " + strconv.Itoa(int(pinnedID(dir))) + "/" + strconv.Itoa(int(pinnedMapID(dir))) + "\n")
			return
		}
		for _, n := range names {
			walk(dir + "/" + n)
		}
	}
	walk(r.d.pins.root())
	on, err := r.d.linkByName("p0")
	if err != nil {
		r.t.Fatal(err)
	}
	fmt.Fprintln(&w, "attached", on.xdp.program)
	return w.String()
}
