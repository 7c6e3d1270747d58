package lb

import (
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"reconciler/internal/diff"
	"reconciler/internal/driver/lb/plane"
	"reconciler/internal/resource"
)

// larger is a balancer with more of everything, in rings of a size.
func larger(ring uint32) resource.Balancer {
	b := balancer()
	b.Capacities = resource.Capacities{RingSize: ring, VIPs: 32, Backends: 40, Rings: 20, Flows: 8192}
	return b
}

// TestGrowsWithItsFlows makes tables anew in the middle of a drain.
func TestGrowsWithItsFlows(t *testing.T) {
	n, want := serving(t)
	a, _, c := three()
	p := n.program()
	first := n.begin(p, unix.IPPROTO_TCP, "198.51.100.1:80", 1, 300)
	want[4] = vip("www", "198.51.100.1", a, c)
	n.settle(want...)
	second := n.begin(p, unix.IPPROTO_TCP, "198.51.100.1:80", 2, 300)
	before := n.drainOf("www")

	want[0] = larger(1021)
	plan := n.plan(set(want...))
	if got := text(plan); len(plan.Ops) != 1 || plan.Ops[0].Verb != diff.Replace || !strings.Contains(got, "max-flows 4096 -> 8192") {
		t.Fatalf("plan:\n%s", got)
	}
	n.make(set(want...))
	p = n.program()
	n.stays("grown", p, first)
	n.stays("grown", p, second)
	if after := n.drainOf("www"); after.Until != before.Until {
		t.Errorf("the drain ends at %s, it was to end at %s", after.Until, before.Until)
	}
	n.oneTable()
}

func TestGrowsItsRings(t *testing.T) {
	n, want := serving(t)
	want[0] = larger(2039)
	plan := n.plan(set(want...))
	if len(plan.Ops) != 1 || plan.Ops[0].Disruption == "" {
		t.Fatalf("plan:\n%s", text(plan))
	}
	a, _, c := three()
	want[4] = vip("www", "198.51.100.1", a, c)
	n.settle(append([]resource.Resource{balancer()}, want[1:]...)...)
	n.begin(n.program(), unix.IPPROTO_TCP, "198.51.100.1:80", 1, 300)
	n.make(set(want...))
	if n.d.tables.Capacity().RingSize != 2039 {
		t.Error("rings are as they were")
	}
	if err := n.d.tables.Flows(t.Context(), func(f plane.Flow) bool { t.Errorf("%+v of no window is still known", f); return false }); err != nil {
		t.Fatal(err)
	}
}

// TestShrinksNoFurtherThanWhatIsThere refuses a size that has no room.
func TestShrinksNoFurtherThanWhatIsThere(t *testing.T) {
	n, want := serving(t)
	small := balancer()
	small.Backends = 2
	want[0] = small
	if err := n.try(set(want...)); err == nil || !strings.Contains(err.Error(), "there would be room for 2") {
		t.Errorf("error %v", err)
	}
	want[0] = balancer()
	n.make(set(want...))
}

// TestWhatIsHalfMadeIsReplaced leaves what a crash leaves.
func TestWhatIsHalfMadeIsReplaced(t *testing.T) {
	n, want := serving(t)
	for _, left := range []resource.Balancer{larger(2039), larger(1021)} {
		if err := n.d.prepareTables(left.Capacities); err != nil {
			t.Fatal(err)
		}
	}
	want[0] = larger(1021)
	n.settle(want...)
	n.oneTable()
	if err := os.Remove(plane.PinPath(n.d.tables.dir, "lb_plane")); err != nil {
		t.Fatal(err)
	}
	if err := n.d.Close(); err != nil {
		t.Fatal(err)
	}
	n.d = Open(n.cfg)
	if o := n.have().Objects; o.Len() > 0 {
		t.Errorf("%d objects of tables that are not whole", o.Len())
	}
	n.settle(want...)
}

// TestNoRoomIsToldBeforeAnythingIsTouched prepares plans that are too large.
func TestNoRoomIsToldBeforeAnythingIsTouched(t *testing.T) {
	n, want := serving(t)
	sums := n.sums()
	a, b, c := three()
	many := append([]resource.Resource{}, want...)
	for i := range 20 {
		many = append(many, backend("x", addr4([4]byte{192, 0, 2, byte(100 + i)}).String()))
	}
	for what, want := range map[string][]resource.Resource{
		"max-backends": many,
		"max-vips":     append(append([]resource.Resource{}, want...), manyVIPs(20, a)...),
		"max-rings":    append(append([]resource.Resource{}, want...), manyShares(13, a, b, c)...),
	} {
		plan := n.plan(set(want...))
		var err error
		for _, op := range plan.Ops {
			if e := n.d.Prepare(t.Context(), op); e != nil {
				err = e
			}
		}
		if err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
		if !n.sums().same(sums) {
			t.Errorf("%s: something was touched", what)
		}
	}
}

func manyVIPs(n int, b resource.Backend) (all []resource.Resource) {
	for i := range n {
		all = append(all, vip("v"+string(rune('a'+i)), addr4([4]byte{198, 51, 101, byte(i)}).String(), b))
	}
	return all
}

func manyShares(n int, backends ...resource.Backend) (all []resource.Resource) {
	for i := range n {
		v := vip("s"+string(rune('a'+i)), addr4([4]byte{198, 51, 102, byte(i)}).String(), backends...)
		v.Shares[0].Weight = uint8(i + 1)
		all = append(all, v)
	}
	return all
}

// TestAnotherNamespacesPinsAreNotOurs finds pins below its own name that are
// those of a namespace that is gone.
func TestAnotherNamespacesPinsAreNotOurs(t *testing.T) {
	n, want := serving(t)
	gone := n.d.root
	gone.Cookie++
	if err := os.Rename(n.d.root.Mark(), gone.Mark()); err != nil {
		t.Fatal(err)
	}
	if got := n.have().Objects.Len(); got > 0 {
		t.Errorf("%d objects of another namespace are taken for ours", got)
	}
	n.settle(want...)
}

// TestTwoDriversAgree lets another process look while the first one works.
func TestTwoDriversAgree(t *testing.T) {
	n, want := serving(t)
	other := Open(n.cfg)
	defer other.Close()
	a, _, c := three()
	want[4] = vip("www", "198.51.100.1", a, c)
	n.settle(want...)
	have, err := other.Observe(t.Context(), observedAll)
	if err != nil {
		t.Fatal(err)
	}
	mine, err := n.d.Observe(t.Context(), observedAll)
	if err != nil || !mine.Objects.Same(have.Objects) {
		t.Errorf("they see different things, %v", err)
	}
	want[0] = larger(1021)
	n.settle(want...)
	have, err = other.Observe(t.Context(), observedAll)
	o, _ := have.Objects.Get(resource.BalancerKey())
	if err != nil || o.Resource.(resource.Balancer).Flows != 8192 {
		t.Errorf("the other one still has the old tables open: %+v, %v", o, err)
	}
}

// TestCheckNamesWhatThisBuildCannot looks at resources in themselves.
func TestCheckNamesWhatThisBuildCannot(t *testing.T) {
	long := strings.Repeat("x", 65)
	odd := vip("www", "198.51.100.1")
	odd.Ports = []resource.ServicePort{{Protocol: "sctp", Number: 5}}
	for _, c := range []struct {
		r    resource.Resource
		code string
	}{
		{backend(long, "192.0.2.1"), "name-length"},
		{resource.Backend{Name: "a", Address: addr("192.0.2.1"), Encap: "gue"}, "unsupported"},
		{vip(long[:60], "198.51.100.1"), "name-length"},
		{odd, "unsupported"},
		{backend("a", "192.0.2.1"), ""},
		{vip("www", "198.51.100.1"), ""},
	} {
		faults := new(Driver).Check(c.r)
		if c.code == "" && len(faults) > 0 || c.code != "" && (len(faults) != 1 || faults[0].Code != c.code) {
			t.Errorf("%s: %+v, want %s", c.r.Key(), faults, c.code)
		}
	}
}

// TestPlanTellsWhatMoves holds a plan's text against what the ring does.
func TestPlanTellsWhatMoves(t *testing.T) {
	n, want := serving(t)
	a, _, c := three()
	want[4] = vip("www", "198.51.100.1", a, c)
	plan := text(n.plan(set(want...)))
	for _, part := range []string{"~ vip www/ipv4  b 100 -> 0", "% of flows move (33.3 must, ", "), drain 5m\n"} {
		if !strings.Contains(plan, part) {
			t.Errorf("want %q in\n%s", part, plan)
		}
	}
	sticky := vip("www", "198.51.100.1", a, c)
	sticky.Sticky = true
	want[4] = sticky
	if plan := text(n.plan(set(want...))); !strings.Contains(plan, "± vip www/ipv4") || !strings.Contains(plan, "66.7 % of flows move)") {
		t.Errorf("plan:\n%s", plan)
	}
	for d, want := range map[time.Duration]string{5 * time.Minute: "5m", time.Hour: "1h", 90 * time.Second: "1m30s", time.Minute: "1m", 24 * time.Hour: "24h"} {
		if got := short(d); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// oneTable wants no tables beside those in force.
func (b *bench) oneTable() {
	b.t.Helper()
	if all, err := b.d.dirs(); err != nil || len(all) != 1 {
		b.t.Errorf("tables in %v, %v", all, err)
	}
}

// TestDrainsEndThoughAllRingsAreInUse has each VIP drain, so that none of the
// buffers is idle: the end of a drain must not need one.
func TestDrainsEndThoughAllRingsAreInUse(t *testing.T) {
	n, _ := serving(t)
	a, b, c := three()
	base := []resource.Resource{balancer(), a, b, c}
	n.over = true
	n.settle(append(base, manyShares(6, a, b, c)...)...)
	n.over = false
	after := append(base, manyShares(6, a, b)...)
	n.settle(after...)
	if used := n.ringsInUse(); used != 12 {
		t.Fatalf("%d rings in use, want all", used)
	}
	n.over = true
	n.settle(after...)
	if used := n.ringsInUse(); used != 6 {
		t.Errorf("%d rings in use, want those of six VIPs", used)
	}
	if err := n.d.tables.Flows(t.Context(), func(f plane.Flow) bool { t.Errorf("%+v is still known", f); return false }); err != nil {
		t.Fatal(err)
	}
}
