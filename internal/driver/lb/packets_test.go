package lb

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"bytes"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"reconciler/internal/driver/lb/plane"
	"reconciler/internal/resource"
)

// program is the balancer's, loaded with the maps that the driver pinned.
func (b *bench) program() *ebpf.Program {
	b.t.Helper()
	spec, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(plane.Object()))
	if err != nil {
		b.t.Fatal(err)
	}
	pinned := map[string]*ebpf.Map{}
	for name, m := range spec.Maps {
		p, err := ebpf.LoadPinnedMap(plane.PinPath(b.d.tables.dir, name), nil)
		if err != nil {
			b.t.Fatal(err)
		}
		defer p.Close()
		pinned[name] = p
		m.MaxEntries, m.ValueSize, m.Value = p.MaxEntries(), p.ValueSize(), nil
	}
	coll, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{MapReplacements: pinned})
	if err != nil {
		b.t.Fatalf("%+v", err)
	}
	b.t.Cleanup(coll.Close)
	return coll.Programs[plane.Program]
}

// client is a flow to a VIP.
type client struct {
	protocol uint8
	from, to netip.AddrPort
}

func (c client) frame(flags byte) []byte {
	f := make([]byte, 14+20+20)
	copy(f[12:], []byte{8, 0, 0x45, 0, 0, 40, 0, 0, 0, 0, 64, c.protocol})
	src, dst := c.from.Addr().As4(), c.to.Addr().As4()
	copy(f[26:], src[:])
	copy(f[30:], dst[:])
	binary.BigEndian.PutUint16(f[34:], c.from.Port())
	binary.BigEndian.PutUint16(f[36:], c.to.Port())
	if c.protocol == unix.IPPROTO_UDP {
		binary.BigEndian.PutUint16(f[38:], 20)
		return f
	}
	f[46], f[47] = 0x50, flags
	return f
}

const (
	syn = 2
	ack = 16
)

// send gives a packet to the program and returns the backend that it goes to,
// which is what an explanation says; not valid for none.
func (b *bench) send(p *ebpf.Program, c client, flags byte) netip.Addr {
	b.t.Helper()
	choice, err := b.d.tables.Lookup(plane.Packet{Protocol: c.protocol, Src: c.from, Dst: c.to, Begins: flags == syn})
	if err != nil {
		b.t.Fatal(err)
	}
	out := make([]byte, 256)
	opts := ebpf.RunOptions{Data: c.frame(flags), DataOut: out}
	verdict, err := p.Run(&opts)
	if err != nil {
		b.t.Fatal(err)
	}
	const tx, redirect = 3, 4
	if verdict != tx && verdict != redirect {
		return netip.Addr{}
	}
	to := netip.AddrFrom4([4]byte(opts.DataOut[30:34]))
	if said := b.d.tables.Named(choice.Backend).Address; said != to {
		b.t.Errorf("%v: explained as to %s (%s), went to %s", c, said, choice.Why, to)
	}
	return to
}

// flows are established flows, each with the backend that it is with.
type flows map[client]netip.Addr

// begin begins flows from a network of clients.
func (b *bench) begin(p *ebpf.Program, protocol uint8, vip string, network, n int) flows {
	out := flows{}
	for i := range n {
		c := client{protocol, netip.AddrPortFrom(addr4([4]byte{10, byte(network), byte(i >> 8), byte(i)}), uint16(1024+i)), netip.MustParseAddrPort(vip)}
		out[c] = b.send(p, c, syn)
	}
	return out
}

// stays wants each flow where it was, but for those of a backend.
func (b *bench) stays(when string, p *ebpf.Program, all flows, but ...string) {
	b.t.Helper()
	moved := 0
	for c, was := range all {
		if now := b.send(p, c, ack); now != was && (len(but) == 0 || was != addr(but[0])) {
			moved++
		} else if len(but) > 0 && now == addr(but[0]) {
			b.t.Fatalf("%s: a flow is still with %s", when, now)
		}
	}
	if moved > 0 {
		b.t.Errorf("%s: %d of %d flows moved", when, moved, len(all))
	}
}

func (f flows) with(backend string) (n int) {
	for _, b := range f {
		if b == addr(backend) {
			n++
		}
	}
	return n
}

// TestGuestDrain takes a backend out, puts it back, cuts another one off, and ends
// the drain, with packets of established flows and new ones in between.
func TestGuestDrain(t *testing.T) {
	n, want := serving(t)
	p := n.program()
	a, b, c := three()
	others := func(www resource.VIP) []resource.Resource {
		return append(append([]resource.Resource{}, want[:4]...), www, vip("dns", "198.51.100.2", a, b, c))
	}
	const www = "198.51.100.1:80"
	first := n.begin(p, unix.IPPROTO_TCP, www, 1, 300)
	if first.with("192.0.2.3") == 0 {
		t.Fatal("nobody is with b")
	}

	less := vip("www", "198.51.100.1", a, c)
	n.settle(others(less)...)
	n.stays("b left", p, first)
	second := n.begin(p, unix.IPPROTO_TCP, www, 2, 300)
	if k := second.with("192.0.2.3"); k > 0 {
		t.Errorf("%d new flows went to who left", k)
	}
	n.stays("b left", p, second)
	d := n.drainOf("www")
	if fmt.Sprint(d.Backends) != "[b/192.0.2.3/ipip]" || d.Flows != 0 || len(n.vip("www").Seen.Draining) != 1 {
		t.Errorf("%+v", d)
	}

	n.settle(others(vip("www", "198.51.100.1", a, b, c))...)
	third := n.begin(p, unix.IPPROTO_TCP, www, 3, 300)
	if third.with("192.0.2.3") == 0 {
		t.Error("b is back, and no new flow goes there")
	}
	for _, some := range []flows{first, second, third} {
		n.stays("b came back", p, some)
	}

	cut := vip("www", "198.51.100.1", a, b)
	cut.Flush = []string{c.Key().Name}
	n.settle(others(cut)...)
	for _, some := range []flows{first, second, third} {
		n.stays("c was cut", p, some, "192.0.2.4")
	}

	n.over = true
	n.settle(others(cut)...)
	if _, draining := n.have().Objects.Get(resource.Drain{VIP: "www/ipv4"}.Key()); draining {
		t.Error("the drain goes on")
	}
	if err := n.d.tables.Flows(t.Context(), func(f plane.Flow) bool { t.Errorf("%+v is still known", f); return false }); err != nil {
		t.Fatal(err)
	}
	fourth := n.begin(p, unix.IPPROTO_TCP, www, 4, 100)
	n.stays("settled", p, fourth)
	if used := n.ringsInUse(); used != 2 {
		t.Errorf("%d rings in use, want those of two VIPs", used)
	}
}

func (b *bench) drainOf(name string) resource.Drain {
	b.t.Helper()
	have, err := b.d.Observe(b.t.Context(), observedAll)
	if err != nil {
		b.t.Fatal(err)
	}
	o, ok := have.Objects.Get(resource.Drain{VIP: name + "/ipv4"}.Key())
	if !ok {
		b.t.Fatalf("%s does not drain", name)
	}
	return o.Resource.(resource.Drain)
}

func (b *bench) ringsInUse() (n int) {
	b.t.Helper()
	v, err := viewOf(b.d.tables.Plane)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, uses := range newPool(v).uses {
		if uses > 0 {
			n++
		}
	}
	return n
}

// TestCutWhileItDrains cuts off who left before, with the same shares.
func TestCutWhileItDrains(t *testing.T) {
	n, want := serving(t)
	p := n.program()
	a, _, c := three()
	first := n.begin(p, unix.IPPROTO_TCP, "198.51.100.1:80", 1, 300)
	www := vip("www", "198.51.100.1", a, c)
	want[4] = www
	n.settle(want...)
	n.stays("b left", p, first)
	www.Flush = []string{"b/192.0.2.3/ipip"}
	want[4] = www
	n.settle(want...)
	n.stays("b was cut", p, first, "192.0.2.3")
	if got := n.vip("www").Seen.Draining; len(got) > 0 {
		t.Errorf("%v still drain", got)
	}
}

// TestLastBackendLeaves empties a ring: who is there stays, nobody comes.
func TestLastBackendLeaves(t *testing.T) {
	n, want := serving(t)
	p := n.program()
	first := n.begin(p, unix.IPPROTO_TCP, "198.51.100.1:80", 1, 100)
	want[4] = vip("www", "198.51.100.1")
	n.settle(want...)
	n.stays("all left", p, first)
	for c, to := range n.begin(p, unix.IPPROTO_TCP, "198.51.100.1:80", 2, 100) {
		if to.IsValid() {
			t.Fatalf("%v went to %s", c, to)
		}
	}
	n.over = true
	n.settle(want...)
	for c := range first {
		if to := n.send(p, c, ack); to.IsValid() {
			t.Fatalf("%v went to %s", c, to)
		}
	}
}

// TestIndexIsUsedAgain removes a backend with flows in the table: who gets its
// index has none of them.
func TestIndexIsUsedAgain(t *testing.T) {
	n, want := serving(t)
	p := n.program()
	a, b, c := three()
	first := n.begin(p, unix.IPPROTO_TCP, "198.51.100.1:80", 1, 300)
	index := n.record(b.Key()).Index
	d := backend("d", "192.0.2.5")
	n.far.IP("addr", "add", "192.0.2.5/24", "dev", "far0")
	without := []resource.Resource{want[0], a, c, d, vip("www", "198.51.100.1", a, c, d), vip("dns", "198.51.100.2", a, c, d)}
	// Some of its flows are known by name, as they began while slots moved.
	n.settle(want[0], a, b, c, vip("www", "198.51.100.1", b), vip("dns", "198.51.100.2", a, b, c))
	second := n.begin(p, unix.IPPROTO_TCP, "198.51.100.1:80", 2, 100)
	n.settle(without...)
	n.stays("b is gone from the configuration", p, first)
	n.stays("b is gone from the configuration", p, second)
	if got := n.record(b.Key()).Index; got != index {
		t.Errorf("b has index %d while its flows drain, it had %d", got, index)
	}
	if n.record(d.Key()).Index == index {
		t.Fatal("the index of who drains was used again")
	}
	n.over = true
	n.settle(without...)
	if n.have().Objects.Has(b.Key()) {
		t.Error("b is still there")
	}
	e := backend("e", "192.0.2.6")
	n.far.IP("addr", "add", "192.0.2.6/24", "dev", "far0")
	without = append(without, e)
	n.settle(without...)
	if got := n.record(e.Key()); got.Index != index || got.Packets != 0 {
		t.Errorf("%+v, want index %d", got, index)
	}
	for c := range first {
		if to := n.send(p, c, ack); to == addr("192.0.2.6") {
			t.Fatalf("%v went to who has no share", c)
		}
	}
}

// TestUDPStaysUntilIdle moves slots below flows without a beginning.
func TestUDPStaysUntilIdle(t *testing.T) {
	n, want := serving(t)
	a, _, c := three()
	udp := func(backends ...resource.Backend) []resource.Resource {
		v := vip("dns", "198.51.100.2", backends...)
		v.Ports = []resource.ServicePort{{Protocol: "udp", Number: 53}}
		return append(append([]resource.Resource{}, want[:5]...), v)
	}
	n.settle(udp(three2()...)...)
	p := n.program()
	first := n.begin(p, unix.IPPROTO_UDP, "198.51.100.2:53", 1, 300)
	n.settle(udp(a, c)...)
	n.stays("b left", p, first)
	n.stays("b left, again", p, first)
	n.over = true
	n.settle(udp(a, c)...)
	n.stays("over", p, n.begin(p, unix.IPPROTO_UDP, "198.51.100.2:53", 2, 100))
}

func three2() []resource.Backend {
	a, b, c := three()
	return []resource.Backend{a, b, c}
}

// TestDrainOfNoTime cuts a backend off that has no time to drain.
func TestDrainOfNoTime(t *testing.T) {
	n, want := serving(t)
	p := n.program()
	a, b, c := three()
	first := n.begin(p, unix.IPPROTO_TCP, "198.51.100.1:80", 1, 300)
	www := vip("www", "198.51.100.1", a, c)
	www.Pools[0].Members = append(www.Pools[0].Members, resource.Member{Backend: b.Key().Name})
	want[4] = www
	n.settle(want...)
	n.stays("b left at once", p, first, "192.0.2.3")
}

// TestWindowLastsForWhoLeavesLater takes out who came while a window was open,
// so that each slot that moves is one that had moved: its flows have their time
// as well.
func TestWindowLastsForWhoLeavesLater(t *testing.T) {
	n, want := serving(t)
	a, b, c := three()
	with := func(www resource.VIP) []resource.Resource {
		for i := range www.Pools[0].Members {
			www.Pools[0].Members[i].Drain = time.Hour
		}
		return append(append([]resource.Resource{}, want[:4]...), www, want[5])
	}
	n.settle(with(vip("www", "198.51.100.1", a, c))...)
	n.over = true
	n.settle(with(vip("www", "198.51.100.1", a, c))...)
	n.over = false
	n.settle(with(vip("www", "198.51.100.1", a, b, c))...)
	first := n.drainOf("www").Until
	time.Sleep(50 * time.Millisecond)
	left := vip("www", "198.51.100.1", a, c)
	left.Pools[0].Members = append(left.Pools[0].Members, resource.Member{Backend: b.Key().Name, Weight: 100})
	n.settle(with(left)...)
	if d := n.drainOf("www"); d.Until < first+50*time.Millisecond || fmt.Sprint(d.Backends) != "[b/192.0.2.3/ipip]" {
		t.Errorf("the window was open until %v, and is until %v for %v", first, d.Until, d.Backends)
	}
}
