package walk

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"

	"reconciler/internal/apply"
	"reconciler/internal/diff"
	"reconciler/internal/driver"
	"reconciler/internal/driver/fake"
	"reconciler/internal/driver/netlink"
	"reconciler/internal/observed"
	"reconciler/internal/resource"
	"reconciler/internal/testns"
)

// TestWalk takes walks of random wanted states, with objects of somebody else
// put between the steps. After each step nothing may have failed, the second
// plan must be empty, and the state that ip shows must be the predicted one.
func TestWalk(t *testing.T) {
	walks, steps, seed := 10, 32, uint64(77)
	if s := os.Getenv("WALK_SEED"); s != "" {
		seed, _ = strconv.ParseUint(s, 10, 64)
		walks = 1
	}
	for i := range walks {
		t.Run(fmt.Sprint("seed=", seed+uint64(i)), func(t *testing.T) {
			w := newWalker(t, seed+uint64(i))
			for range steps {
				w.step()
			}
		})
	}
}

type walker struct {
	*testing.T
	ns      *testns.NS
	driver  *netlink.Driver
	random  *fake.Random
	drivers []driver.Driver
}

func newWalker(t *testing.T, seed uint64) *walker {
	ns := testns.New(t)
	for _, name := range fake.Hardware {
		ns.IP("link", "add", name, "type", "veth", "peer", "name", name+"-far")
		ns.IP("link", "set", name, "up")
		ns.IP("link", "set", name+"-far", "up")
	}
	d, err := netlink.Open(netlink.Config{Netns: ns.Path()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return &walker{T: t, ns: ns, driver: d, random: fake.NewRandom(rand.New(rand.NewPCG(seed, 11))), drivers: []driver.Driver{d}}
}

func (w *walker) step() {
	w.Helper()
	w.addForeign()
	want := w.random.Want()
	have, plan := w.plan(want)
	predicted := told(plan.Outcome(have))
	report := apply.Run(context.Background(), plan, w.drivers)
	if err := report.Err(); err != nil {
		w.Fatalf("apply: %v\n%s", err, describe(plan))
	}
	w.compare(predicted, plan)
	if _, second := w.plan(want); !second.Empty() {
		w.Fatalf("second plan is not empty:\n%s\nfirst was:\n%s", describe(second), describe(plan))
	}
}

func (w *walker) plan(want *resource.Set) (observed.State, diff.Plan) {
	w.Helper()
	have, err := w.driver.Observe(context.Background(), observed.Query{Want: want, All: true})
	if err != nil {
		w.Fatal(err)
	}
	if len(have.Blind) > 0 {
		w.Fatalf("blind: %v", have.Blind)
	}
	bound, _ := diff.Bind(want, have)
	plan, err := diff.Compute(bound, have)
	if err != nil {
		w.Fatal(err)
	}
	return have, plan
}

// compare wants all that was predicted, and nothing else. A link that the plan
// makes has defaults that only the kernel knows.
func (w *walker) compare(predicted facts, plan diff.Plan) {
	w.Helper()
	got := seen(w.ns)
	missing := predicted.minus(got)
	extra := got.minus(predicted)
	var odd []string
	for _, line := range extra {
		if !strings.HasPrefix(line, "mtu ") {
			odd = append(odd, line)
		}
	}
	if len(missing)+len(odd) > 0 {
		w.Fatalf("predicted and not there:\n  %s\nthere and not predicted:\n  %s\n%s",
			strings.Join(missing, "\n  "), strings.Join(odd, "\n  "), describe(plan))
	}
}

// addForeign puts objects of somebody else in, as far as the kernel takes them.
func (w *walker) addForeign() {
	have, err := w.driver.Observe(context.Background(), observed.Query{All: true})
	if err != nil {
		w.Fatal(err)
	}
	for _, r := range w.random.Foreign(have.Objects) {
		switch r := r.(type) {
		case resource.Link:
			_, _ = w.ns.TryIP("link", "add", r.Name, "type", string(r.Type))
		case resource.Address:
			_, _ = w.ns.TryIP("addr", "add", r.Prefix.String(), "dev", r.Link)
		case resource.Route:
			_, _ = w.ns.TryIP("route", "add", r.To.String(), "via", r.Hops[0].Via.String(), "dev", r.Hops[0].Dev, "proto", "bird")
		}
	}
}

func describe(p diff.Plan) string {
	var b strings.Builder
	_ = diff.Text(&b, p, diff.TextOptions{Full: true})
	return b.String()
}
