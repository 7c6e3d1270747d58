package lb

import (
	"net/netip"
	"strings"
	"testing"

	"reconciler/internal/driver/bpffs"
	"reconciler/internal/resource"
)

// three are backends of which one answers.
func three() (a, b, c resource.Backend) {
	return backend("a", "192.0.2.2"), backend("b", "192.0.2.3"), backend("c", "192.0.2.4")
}

// serving is a net with a VIP on three backends, all of which answer.
func serving(t *testing.T) (*bench, []resource.Resource) {
	t.Helper()
	n := newNet(t)
	n.far.IP("addr", "add", "192.0.2.3/24", "dev", "far0")
	n.far.IP("addr", "add", "192.0.2.4/24", "dev", "far0")
	a, b, c := three()
	want := []resource.Resource{balancer(), a, b, c, vip("www", "198.51.100.1", a, b, c), vip("dns", "198.51.100.2", a, b, c)}
	n.settle(want...)
	return n, want
}

// settle makes it so, as often as neighbours take to answer.
func (b *bench) settle(want ...resource.Resource) {
	b.t.Helper()
	eventually(b.t, "a plan that is empty", func() bool {
		if b.plan(set(want...)).Empty() {
			return true
		}
		if err := b.try(set(want...)); err != nil {
			b.t.Fatal(err)
		}
		return false
	})
}

// vip is a VIP as it is.
func (b *bench) vip(name string) resource.VIP {
	b.t.Helper()
	o, ok := b.have().Objects.Get(resource.VIPKey(name, resource.IPv4))
	if !ok {
		b.t.Fatalf("no VIP %s", name)
	}
	return o.Resource.(resource.VIP)
}

func TestGuestLives(t *testing.T) {
	n, _ := serving(t)
	a, _, c := three()
	n.over = true
	n.settle(balancer(), a, c, vip("www", "198.51.100.1", a, c), vip("dns", "198.51.100.2"))
	if v := n.vip("dns"); len(v.Shares) > 0 {
		t.Errorf("shares %v, want none", v.Shares)
	}
	n.settle(balancer())
	n.settle()
	if names, _ := bpffs.List(n.d.root.Dir()); len(names) > 0 {
		t.Errorf("pins are left: %v", names)
	}
	for _, family := range []string{"-4", "-6"} {
		if out := n.IP(family, "neigh", "show"); strings.Contains(out, "managed") {
			t.Errorf("neighbours are left: %s", out)
		}
	}
}

func TestReadsBackWhatWasWanted(t *testing.T) {
	n := newNet(t)
	a := backend("a", "192.0.2.2")
	a.Table, a.State = 7, resource.HealthUp
	d := resource.Backend{Name: "a", Address: addr("2001:db8::2"), Encap: resource.L2DSR}
	four := vip("www", "198.51.100.1", a)
	four.Addresses = append(four.Addresses, addr("198.51.100.9"))
	four.Ports = []resource.ServicePort{{Protocol: "tcp"}, {Protocol: "udp", Number: 53}}
	four.NoBackend, four.Sticky = resource.NoBackendReject, true
	six := vip("www", "2001:db8:9::1", d)
	six.Family, six.Ports, six.NoBackend = resource.IPv6, nil, resource.NoBackendPass
	six.Shares[0].Weight = 1
	lb := balancer()
	lb.Source4, lb.Source6 = netip.MustParsePrefix("10.64.0.0/16"), netip.MustParsePrefix("2001:db8:64::/64")
	n.settle(lb, a, d, four, six)
	for _, want := range []resource.Resource{lb, a, d, four, six} {
		o, ok := n.have().Objects.Get(want.Key())
		if !ok || !want.Equal(o.Resource) || o.Owner != resource.Ours {
			t.Errorf("%s:\ngot  %+v\nwant %+v", want.Key(), o, want)
		}
	}
}

// TestAdopts starts anew on what stands there: there is nothing to do, and no
// byte of a map is another.
func TestAdopts(t *testing.T) {
	n, want := serving(t)
	before, seed := n.have(), n.d.seed
	sums := n.sums()
	if err := n.d.Close(); err != nil {
		t.Fatal(err)
	}
	n.d = Open(n.cfg)
	n.d.seed = seed
	if plan := n.plan(set(want...)); !plan.Empty() {
		t.Errorf("to do:\n%s", text(plan))
	}
	if after := n.have(); !after.Objects.Same(before.Objects) {
		t.Error("another state than before")
	}
	if !n.sums().same(sums) {
		t.Error("the maps were written to")
	}
}

// sums are those of all maps as they are.
func (b *bench) sums() sums {
	b.t.Helper()
	b.have()
	s, err := b.d.sum(b.d.tables.Plane, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return s
}
