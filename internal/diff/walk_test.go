package diff_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"reconciler/internal/apply"
	"reconciler/internal/diff"
	"reconciler/internal/driver"
	"reconciler/internal/driver/fake"
	"reconciler/internal/observed"
	"reconciler/internal/resource"
)

// TestWalk goes from random states to random wanted ones on a host that
// refuses what a kernel refuses. Every operation must succeed, the second plan
// must be empty, and nothing foreign may be gone that the plan did not tell.
func TestWalk(t *testing.T) {
	pairs := walkPairs
	if testing.Short() {
		pairs = 2_000
	}
	seed := uint64(20260101)
	if s := os.Getenv("WALK_SEED"); s != "" {
		seed, _ = strconv.ParseUint(s, 10, 64)
		pairs = 1
	}
	workers := runtime.GOMAXPROCS(0)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := w; i < pairs && !t.Failed(); i += workers {
				if err := walkOnce(seed + uint64(i)); err != nil {
					t.Errorf("WALK_SEED=%d: %v", seed+uint64(i), err)
				}
			}
		})
	}
	wg.Wait()
}

func walkOnce(seed uint64) error {
	g := fake.NewRandom(rand.New(rand.NewPCG(seed, 7))).WithVLANs()
	host := fake.New()
	for _, name := range fake.Hardware {
		host.AddHardware(name)
	}
	drivers := []driver.Driver{host}
	// Somebody's and our own former state.
	if _, _, err := converge(host, drivers, g.Want()); err != nil {
		return fmt.Errorf("former state: %w", err)
	}
	addForeign(g, host)
	want := g.Want()
	before, plan, err := converge(host, drivers, want)
	if err != nil {
		return fmt.Errorf("wanted state: %w", err)
	}
	return foreignStays(host, before, plan)
}

// addForeign puts objects of somebody else on a host, as far as it takes them.
func addForeign(g *fake.Random, host *fake.Host) {
	have, _ := host.Observe(context.Background(), observed.Query{})
	for _, r := range g.Foreign(have.Objects) {
		_ = host.Create(r)
	}
}

// converge makes a host as wanted and checks that nothing is left to do.
func converge(host *fake.Host, drivers []driver.Driver, want *resource.Set) (observed.State, diff.Plan, error) {
	have, plan, err := planFor(host, want)
	if err != nil {
		return have, plan, err
	}
	if err := apply.Run(context.Background(), plan, drivers).Err(); err != nil {
		return have, plan, fmt.Errorf("apply:\n%s\n%w", describe(plan), err)
	}
	_, second, err := planFor(host, want)
	if err != nil {
		return have, plan, err
	}
	if !second.Empty() {
		return have, plan, fmt.Errorf("second plan is not empty:\n%s\nfirst was:\n%s", describe(second), describe(plan))
	}
	return have, plan, nil
}

func planFor(host *fake.Host, want *resource.Set) (observed.State, diff.Plan, error) {
	have, err := host.Observe(context.Background(), observed.Query{})
	if err != nil {
		return have, diff.Plan{}, err
	}
	bound, _ := diff.Bind(want, have)
	plan, err := diff.Compute(bound, have)
	return have, plan, err
}

func describe(p diff.Plan) string {
	var b strings.Builder
	for i, op := range p.Ops {
		fmt.Fprintf(&b, "%3d %s %s %v after %v takes %v %s\n", i, op.Verb.Symbol(), op.Key, op.Fields, op.After, op.Takes, op.Reason)
	}
	for _, n := range p.Notes {
		fmt.Fprintf(&b, "    %s %s: %s\n", n.Code, n.Key, n.Text)
	}
	return b.String()
}

// foreignStays checks that what is foreign and undeclared is still there,
// unless the plan said that it goes or a list is exact.
func foreignStays(host *fake.Host, before observed.State, plan diff.Plan) error {
	after, err := host.Observe(context.Background(), observed.Query{})
	if err != nil {
		return err
	}
	told := map[resource.Key]bool{}
	for _, op := range plan.Ops {
		if op.Verb == diff.Delete {
			told[op.Key] = true
		}
		for _, k := range slices.Concat(op.Loses, op.Takes) {
			told[k] = true
		}
	}
	for _, o := range before.Objects.All() {
		if o.Owner == resource.Foreign && !after.Objects.Has(o.Key()) && !told[o.Key()] {
			return fmt.Errorf("%s is foreign and gone in silence\n%s", o.Key(), describe(plan))
		}
	}
	return nil
}

// TestWalkFailures lets single operations fail; a later pass must converge.
func TestWalkFailures(t *testing.T) {
	pairs := 3_000
	if testing.Short() {
		pairs = 200
	}
	broken := errors.New("broken on purpose")
	for i := range pairs {
		seed := uint64(9_000_000 + i)
		g := fake.NewRandom(rand.New(rand.NewPCG(seed, 3))).WithVLANs()
		host := fake.New()
		for _, name := range fake.Hardware {
			host.AddHardware(name)
		}
		drivers := []driver.Driver{host}
		if _, _, err := converge(host, drivers, g.Want()); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		want := g.Want()
		_, plan, err := planFor(host, want)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if plan.Empty() {
			continue
		}
		bad, n := i%len(plan.Ops), 0
		host.Fail = func(diff.Op) error {
			if n++; n-1 == bad {
				return broken
			}
			return nil
		}
		report := apply.Run(context.Background(), plan, drivers)
		host.Fail = nil
		if err := report.Err(); !errors.Is(err, broken) {
			t.Fatalf("seed %d: failure at %d was not reported: %v", seed, bad, err)
		}
		if _, _, err := converge(host, drivers, want); err != nil {
			t.Fatalf("seed %d, after a failure at %d: %v", seed, bad, err)
		}
	}
}

// TestWalkUndo carries a plan out, in part or whole, and undoes it.
func TestWalkUndo(t *testing.T) {
	pairs := 3_000
	if testing.Short() {
		pairs = 200
	}
	for i := range pairs {
		seed := uint64(5_000_000 + i)
		if err := undoOnce(seed, i); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

func undoOnce(seed uint64, stop int) error {
	g := fake.NewRandom(rand.New(rand.NewPCG(seed, 5))).WithVLANs()
	host := fake.New()
	for _, name := range fake.Hardware {
		host.AddHardware(name)
	}
	drivers := []driver.Driver{host}
	if _, _, err := converge(host, drivers, g.Want()); err != nil {
		return err
	}
	addForeign(g, host)
	before, plan, err := planFor(host, g.Want())
	if err != nil || plan.Empty() {
		return err
	}
	undo := apply.NewUndo(plan, before)
	n, last := 0, stop%len(plan.Ops)
	host.Fail = func(diff.Op) error {
		if n++; n-1 > last {
			return errors.New("crash")
		}
		return nil
	}
	apply.Run(context.Background(), plan, drivers)
	host.Fail = nil
	have, _ := host.Observe(context.Background(), observed.Query{})
	back, err := undo.Plan(have)
	if err != nil {
		return err
	}
	if err := apply.Run(context.Background(), back, drivers).Err(); err != nil {
		return fmt.Errorf("undo:\n%s\nof:\n%s\n%w", describe(back), describe(plan), err)
	}
	return sameState(host, before, plan, back)
}

func sameState(host *fake.Host, before observed.State, plan, back diff.Plan) error {
	after, _ := host.Observe(context.Background(), observed.Query{})
	for _, o := range before.Objects.All() {
		got, ok := after.Objects.Get(o.Key())
		if !ok {
			return fmt.Errorf("%s did not come back\nplan:\n%s\nundo:\n%s", o.Key(), describe(plan), describe(back))
		}
		if !got.Equal(o.Resource) {
			return fmt.Errorf("%s is %v, was %v\nplan:\n%s\nundo:\n%s", o.Key(), got.Resource, o.Resource, describe(plan), describe(back))
		}
	}
	for _, o := range after.Objects.All() {
		if !before.Objects.Has(o.Key()) {
			return fmt.Errorf("%s is there and was not\nplan:\n%s\nundo:\n%s", o.Key(), describe(plan), describe(back))
		}
	}
	return nil
}
