package lb

import (
	"context"
	"fmt"
	"testing"

	"golang.org/x/sys/unix"

	"reconciler/internal/apply"
	"reconciler/internal/driver"
	"reconciler/internal/driver/failpoint"
	"reconciler/internal/driver/lb/plane"
	"reconciler/internal/resource"
)

// halfway carries out the first steps of a plan, and goes on with a new driver,
// as after a kill.
func (b *bench) halfway(steps int, want ...resource.Resource) (all int) {
	b.t.Helper()
	plan := b.plan(set(want...))
	c := &change{d: b.d, ctx: context.Background(), ops: plan.Ops, errs: make([]error, len(plan.Ops))}
	if err := c.begin(); err != nil {
		b.t.Fatal(err)
	}
	todo := c.steps()
	for _, step := range todo[:steps] {
		if err := step(); err != nil {
			b.t.Fatal(err)
		}
	}
	if err := b.d.Close(); err != nil {
		b.t.Fatal(err)
	}
	b.d = Open(b.cfg)
	return len(todo)
}

// TestKilledBetweenSteps stops a change after each of its steps: flows stay where
// they were, and the next start leaves nothing of what was begun.
func TestKilledBetweenSteps(t *testing.T) {
	n, want := serving(t)
	a, _, c := three()
	d := backend("d", "192.0.2.5")
	n.far.IP("addr", "add", "192.0.2.5/24", "dev", "far0")
	p := n.program()
	const www = "198.51.100.1:80"
	first := n.begin(p, unix.IPPROTO_TCP, www, 1, 200)
	turns := [][]resource.Resource{
		{want[0], a, c, d, vip("www", "198.51.100.1", a, c, d), vip("new", "198.51.100.3", d)},
		want,
	}
	for i, all := 0, 1; i < all; i++ {
		n.over = false
		all = n.halfway(i, turns[i%2]...) + 1
		n.have()
		n.stays(fmt.Sprintf("killed after step %d", i), p, first)
		n.settle(turns[i%2]...)
		n.stays(fmt.Sprintf("started after step %d", i), p, first)
		n.over = true
		n.halfway(min(i, all-1), turns[i%2]...)
		n.settle(turns[i%2]...)
		n.clean(fmt.Sprintf("step %d", i))
		first = n.begin(p, unix.IPPROTO_TCP, www, 10+i, 200)
	}
}

// clean wants nothing that no VIP needs.
func (b *bench) clean(when string) {
	b.t.Helper()
	if err := b.d.tables.Flows(b.t.Context(), func(f plane.Flow) bool { b.t.Errorf("%s: %+v is still known", when, f); return false }); err != nil {
		b.t.Fatal(err)
	}
	if n := b.ringsInUse(); n > 2 {
		b.t.Errorf("%s: %d rings in use", when, n)
	}
}

// TestFailsAtEachOperation lets each operation of an apply fail once.
func TestFailsAtEachOperation(t *testing.T) {
	n := newNet(t)
	a, b, _ := three()
	n.far.IP("addr", "add", "192.0.2.3/24", "dev", "far0")
	want := []resource.Resource{balancer(), a, b, vip("www", "198.51.100.1", a, b)}
	for i := range 8 {
		now := want
		if n.over = i >= 4; n.over {
			n.settle(want...)
			now = nil
		}
		drivers, err := failpoint.Wrap([]driver.Driver{n.d}, fmt.Sprintf("%d:error", i%4))
		if err != nil {
			t.Fatal(err)
		}
		if err := apply.Run(context.Background(), n.plan(set(now...)), drivers).Err(); err == nil {
			t.Errorf("operation %d did not fail", i)
		}
		n.settle(now...)
		n.settle()
	}
}

// TestEndsWithItsContext does nothing once nobody waits for it.
func TestEndsWithItsContext(t *testing.T) {
	n, want := serving(t)
	sums := n.sums()
	want[4] = vip("www", "198.51.100.1")
	plan := n.plan(set(want...))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for _, err := range n.d.Apply(ctx, plan.Ops) {
		if err == nil {
			t.Error("an operation is done")
		}
	}
	if !n.sums().same(sums) {
		t.Error("something was touched")
	}
}
