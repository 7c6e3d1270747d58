package lb

import (
	"testing"

	"reconciler/internal/driver/bpffs"
	"reconciler/internal/resource"
)

// three are backends of which one answers.
func three() (a, b, c resource.Backend) {
	return backend("a", "192.0.2.2"), backend("b", "192.0.2.3"), backend("c", "192.0.2.4")
}

func TestLives(t *testing.T) {
	n := newNet(t)
	n.far.IP("addr", "add", "192.0.2.3/24", "dev", "far0")
	n.far.IP("addr", "add", "192.0.2.4/24", "dev", "far0")
	a, b, c := three()
	settled := func(want ...resource.Resource) {
		t.Helper()
		if err := n.try(set(want...)); err != nil {
			t.Fatal(err)
		}
		eventually(t, "a plan that is empty", func() bool {
			plan := n.plan(set(want...))
			if plan.Empty() {
				return true
			}
			if err := n.try(set(want...)); err != nil {
				t.Fatal(err)
			}
			return false
		})
	}
	settled(balancer(), a, b, vip("www", "198.51.100.1", a, b))
	settled(balancer(), a, b, c, vip("www", "198.51.100.1", a, b, c), vip("dns", "198.51.100.2", a, b, c))
	n.over = true
	settled(balancer(), a, c, vip("www", "198.51.100.1", a, c), vip("dns", "198.51.100.2"))
	settled(balancer())
	settled()
	if names, _ := bpffs.List(n.d.root.Dir()); len(names) > 0 {
		t.Errorf("pins are left: %v", names)
	}
}
