package lb

import (
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"reconciler/internal/driver"
	"reconciler/internal/resource"
)

// someone is a random client of a VIP's address and port; now and then of a
// port that nobody has, or of no VIP.
func someone(r *rand.Rand) client {
	c := client{unix.IPPROTO_TCP, netip.AddrPortFrom(addr4([4]byte{10, byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32())}), uint16(r.Uint32())),
		netip.MustParseAddrPort("198.51.100.1:80")}
	switch r.IntN(20) {
	case 0:
		c.to = netip.MustParseAddrPort("198.51.100.1:81")
	case 1:
		c.to = netip.MustParseAddrPort("198.51.100.9:80")
	case 2, 3, 4, 5, 6:
		c.to, c.protocol = netip.MustParseAddrPort("198.51.100.3:53"), unix.IPPROTO_UDP
	case 7, 8:
		c.to = netip.MustParseAddrPort("198.51.100.4:80")
	}
	return c
}

// goes gives a packet to the program and returns the name of the backend that it
// leaves for; empty for none.
func (b *bench) goes(p *ebpf.Program, c client, flags byte) string {
	b.t.Helper()
	opts := ebpf.RunOptions{Data: c.frame(flags), DataOut: make([]byte, 256)}
	verdict, err := p.Run(&opts)
	if err != nil {
		b.t.Fatal(err)
	}
	const tx, redirect = 3, 4
	if verdict != tx && verdict != redirect {
		return ""
	}
	to := netip.AddrFrom4([4]byte(opts.DataOut[30:34]))
	for i := range b.d.tables.Capacity().Backends {
		if n := b.d.tables.Named(uint16(i)); n.Address == to {
			return resource.BackendKey(n.Name, n.Address, encapOf(n.Encap)).Name
		}
	}
	b.t.Fatalf("%v left for %s", c, to)
	return ""
}

func (b *bench) explain(c client, want ...resource.Resource) driver.Explanation {
	b.t.Helper()
	var e driver.Explanation
	var err error
	f := driver.Flow{Protocol: c.protocol, Src: c.from, Dst: c.to}
	if want == nil {
		e, err = b.d.Explain(b.t.Context(), f, nil)
	} else {
		e, err = b.d.Explain(b.t.Context(), f, b.plan(set(want...)).Ops)
	}
	if err != nil {
		b.t.Fatal(err)
	}
	return e
}

// explained are VIPs on three backends: one of ports of TCP, one of UDP, and
// one whose clients stay together.
func explained(balancer resource.Balancer, www, dns, sticky []resource.Backend) []resource.Resource {
	a, b, c := three()
	w, d, s := vip("www", "198.51.100.1", www...), vip("dns", "198.51.100.3", dns...), vip("sticky", "198.51.100.4", sticky...)
	d.Ports = []resource.ServicePort{{Protocol: "udp", Number: 53}}
	s.Sticky = true
	return []resource.Resource{balancer, a, b, c, w, d, s}
}

// TestExplainEqualsTheProgram asks for 10,000 random flows before each of some
// changes where they will go, makes the change, and holds the program to it:
// in the middle of drains too.
func TestExplainEqualsTheProgram(t *testing.T) {
	n, _ := serving(t)
	a, b, c := three()
	r := rand.New(rand.NewPCG(1, 2))
	all, less, least := []resource.Backend{a, b, c}, []resource.Backend{a, c}, []resource.Backend{c}
	heavy := explained(balancer(), all, less, all)
	heavy[4] = weighs(heavy[4].(resource.VIP), 30)
	cut := explained(balancer(), less, all, least)
	cut[4] = flushes(cut[4].(resource.VIP), b)
	loose := explained(balancer(), nil, all, all)
	loose[6] = together(loose[6].(resource.VIP), false)
	n.settle(explained(balancer(), all, all, all)...)
	p := n.program()
	const flows = 10000
	for _, step := range []struct {
		name string
		want []resource.Resource
	}{
		{"b leaves", explained(balancer(), less, less, less)},
		{"b comes back in the middle of its drain, with less", heavy},
		{"b is cut off, and a leaves another VIP", cut},
		{"the last one leaves, and clients stay together no more", loose},
		{"all come back", explained(balancer(), all, all, all)},
	} {
		plan := n.plan(set(step.want...))
		if plan.Empty() {
			t.Fatalf("%s: nothing changes", step.name)
		}
		said := make(map[client]driver.Explanation, flows/5)
		for range flows / 5 {
			f := someone(r)
			e, err := n.d.Explain(t.Context(), driver.Flow{Protocol: f.protocol, Src: f.from, Dst: f.to}, plan.Ops)
			if err != nil {
				t.Fatal(err)
			}
			n.holds(step.name+": before", p, f, e.Now)
			if e, err = n.d.Explain(t.Context(), driver.Flow{Protocol: f.protocol, Src: f.from, Dst: f.to}, plan.Ops); err != nil {
				t.Fatal(err) // the packet may have made an entry
			}
			said[f] = e
		}
		n.settle(step.want...)
		for f, e := range said {
			n.holds(step.name+": after", p, f, e.After)
		}
	}
}

// holds sends a packet of a flow, and one that begins it.
func (b *bench) holds(when string, p *ebpf.Program, f client, w driver.Way) {
	b.t.Helper()
	if got := b.goes(p, f, ack); got != w.Known.Backend {
		b.t.Errorf("%s: %v goes to %q, explained as %q (%+v)", when, f, got, w.Known.Backend, w)
	}
	if f.protocol != unix.IPPROTO_TCP {
		return
	}
	if got := b.goes(p, f, syn); got != w.New.Backend {
		b.t.Errorf("%s: %v begins with %q, explained as %q (%+v)", when, f, got, w.New.Backend, w)
	}
}

func weighs(v resource.VIP, w uint8) resource.VIP {
	v.Shares[1].Weight = w
	return v
}

func flushes(v resource.VIP, b resource.Backend) resource.VIP {
	v.Flush = []string{b.Key().Name}
	return v
}

func together(v resource.VIP, sticky bool) resource.VIP {
	v.Sticky = sticky
	return v
}

// TestExplainSaysWhy asks one flow at a time.
func TestExplainSaysWhy(t *testing.T) {
	n, want := serving(t)
	a, _, c := three()
	p := n.program()
	f := client{unix.IPPROTO_TCP, netip.MustParseAddrPort("10.1.2.3:4000"), netip.MustParseAddrPort("198.51.100.1:80")}
	for n.explain(f).Now.Known.Backend != "b/192.0.2.3/ipip" {
		f.from = netip.AddrPortFrom(f.from.Addr(), f.from.Port()+1)
	}
	if w := n.explain(f).Now; w.VIP != "www/ipv4" || w.Moved || w.New.Why != driver.ByRing {
		t.Errorf("at rest: %+v", w)
	}
	less := append(append([]resource.Resource{}, want[:4]...), vip("www", "198.51.100.1", a, c), want[5])
	e := n.explain(f, less...)
	if w := e.After; !w.Moved || w.New.Why != driver.ByNewOwner || w.Known.Why != driver.ByPrevious || w.New.Backend == w.Known.Backend {
		t.Errorf("after: %+v", w)
	}
	n.settle(less...)
	n.goes(p, f, syn)
	if w := n.explain(f).Now; w.Known.Why != driver.ByFlowTable || w.Left == 0 || w.New.Backend != e.After.New.Backend {
		t.Errorf("mid-drain: %+v", w)
	}
	other := f
	other.to = netip.MustParseAddrPort("198.51.100.1:81")
	if w := n.explain(other).Now; w.New.Why != driver.NotClaimed || w.VIP != "" {
		t.Errorf("another port: %+v", w)
	}
	other.to = netip.MustParseAddrPort("198.51.100.77:80")
	if w := n.explain(other).Now; w.New.Why != driver.NotVIP {
		t.Errorf("no VIP: %+v", w)
	}
	n.over = true
	n.settle(append(append([]resource.Resource{}, want[:4]...), vip("www", "198.51.100.1"), want[5])...)
	if w := n.explain(f).Now; w.New.Why != driver.NoBackend || w.New.Backend != "" {
		t.Errorf("nobody there: %+v", w)
	}
	if w := n.explain(f, append(append([]resource.Resource{}, want[:4]...), together(less[4].(resource.VIP), true), want[5])...).After; !w.Sticky || w.New.Why != driver.ByRing {
		t.Errorf("sticky: %+v", w)
	}
	n.far.IP("link", "set", "far0", "down")
	n.IP("link", "set", "up0", "down")
	n.settle(less...)
	if w := n.explain(f).Now; !w.New.Unreachable || w.New.Backend == "" {
		t.Errorf("no way: %+v", w)
	}
}

// TestExplainBeforeThereIsAnything asks what a first apply will do, and what one
// with other sizes of rings.
func TestExplainBeforeThereIsAnything(t *testing.T) {
	n := newNet(t)
	n.far.IP("addr", "add", "192.0.2.3/24", "dev", "far0")
	n.far.IP("addr", "add", "192.0.2.4/24", "dev", "far0")
	a, b, c := three()
	r := rand.New(rand.NewPCG(3, 4))
	all := []resource.Backend{a, b, c}
	first := explained(balancer(), all, all, all)
	second := explained(larger(2039), all, []resource.Backend{a, c}, all)
	for _, want := range [][]resource.Resource{first, second} {
		plan := n.plan(set(want...))
		said := map[client]driver.Explanation{}
		for range 500 {
			f := someone(r)
			e, err := n.d.Explain(t.Context(), driver.Flow{Protocol: f.protocol, Src: f.from, Dst: f.to}, plan.Ops)
			if err != nil {
				t.Fatal(err)
			}
			said[f] = e
		}
		n.settle(want...)
		p := n.program()
		for f, e := range said {
			n.holds("made", p, f, e.After)
		}
	}
	if w, err := n.d.Explain(t.Context(), driver.Flow{Protocol: unix.IPPROTO_TCP, Src: netip.MustParseAddrPort("10.0.0.1:1"), Dst: netip.MustParseAddrPort("198.51.100.1:80")}, n.plan(set()).Ops); err != nil || w.After.New.Why != driver.NotVIP {
		t.Errorf("all gone: %+v, %v", w, err)
	}
}
