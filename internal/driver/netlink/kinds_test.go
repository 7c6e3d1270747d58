package netlink

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"reconciler/internal/diff"
	"reconciler/internal/driver/netlink/wire"
	"reconciler/internal/observed"
	"reconciler/internal/resource"
)

func link(name string, kind resource.LinkType) resource.Link {
	return resource.Link{Name: name, Type: kind, Group: resource.LinkGroup, State: resource.Up}
}

// ground is what most tests stand on: a pair with addresses of both families.
func ground(b *bench) {
	b.t.Helper()
	b.make(pair("a0", "a1")...)
	b.make(pair("b0", "b1")...)
	b.make(addr("a0", "10.0.0.1/24"), addr("b0", "10.1.0.1/24"), addr("a0", "2001:db8::1/64"), addr("b0", "2001:db8:1::1/64"))
}

// life is one kind's way through create, update and delete. A later state is
// reached by an update, or by a replacement where the resource says so.
func (b *bench) life(states ...resource.Resource) {
	b.t.Helper()
	b.make(states[0])
	for _, to := range states[1:] {
		from := b.get(to.Key()).Resource
		bound := to
		if in, ok := to.(resource.Inheritor); ok {
			bound = in.Inherit(from)
		}
		op := update(from, bound)
		if r, ok := bound.(resource.Replacer); ok && r.Replaces(from) {
			op = replace(from, bound)
		}
		b.do(op)
		b.isSo(to)
	}
	last := b.get(states[0].Key()).Resource
	b.do(remove(last))
	if b.has(last.Key()) {
		b.t.Errorf("%s is still there", last.Key())
	}
	b.do(remove(last)) // gone already is no error
}

func TestLinkLives(t *testing.T) {
	b := newBench(t)
	ground(b)
	with := func(l resource.Link, change func(*resource.Link)) resource.Link {
		change(&l)
		return l
	}
	br := link("br0", resource.Bridge)
	br.MTU = 1500
	b.life(br,
		with(br, func(l *resource.Link) { l.MTU = 1400; l.Description = resource.Some("x y") }),
		with(br, func(l *resource.Link) {
			l.Bridge = resource.BridgeAttr{
				STP: resource.Some(true), ForwardDelay: resource.Some[uint32](400), HelloTime: resource.Some[uint32](100),
				MaxAge: resource.Some[uint32](900), AgeingTime: resource.Some[uint32](100), Priority: resource.Some[uint16](4096),
				MulticastSnooping: resource.Some(false),
			}
		}),
		with(br, func(l *resource.Link) { l.Description = resource.Some(""); l.TxQueueLen = resource.Some[uint32](0) }),
		with(br, func(l *resource.Link) { l.MAC = resource.MAC{2, 0, 0, 0, 0, 9}; l.State = resource.Down }))

	vx := link("vx0", resource.VXLAN)
	vx.VXLAN = resource.VXLANAttr{ID: 100, Local: ip("10.0.0.1"), Port: 4789, Learning: resource.Some(false), TTL: resource.Some[uint8](7)}
	b.life(vx,
		with(vx, func(l *resource.Link) { l.VXLAN.Learning, l.VXLAN.TTL = resource.Some(true), resource.Some[uint8](64) }),
		with(vx, func(l *resource.Link) { l.VXLAN.ID, l.VXLAN.Remote, l.Below = 101, ip("10.0.0.7"), "a0" }))
	vx.VXLAN = resource.VXLANAttr{ID: 5, Local: ip("2001:db8::1"), Remote: ip("2001:db8::2"), Port: 8472}
	b.life(vx)

	mv := link("mv0", resource.MACVLAN)
	mv.Below, mv.Mode = "a0", "bridge"
	b.life(mv, with(mv, func(l *resource.Link) { l.Mode = "private" }), with(mv, func(l *resource.Link) { l.Below = "b0" }))

	near := pair("n0", "n1")[0].(resource.Link)
	b.life(near, with(near, func(l *resource.Link) { l.MTU = 9000; l.Description = resource.Some("big") }),
		with(near, func(l *resource.Link) { l.Peer = "n2" }))
	if b.has(resource.LinkKey("n2")) {
		t.Error("the other end outlives the first")
	}
}

func TestGuestLinkLives(t *testing.T) {
	b := newBench(t)
	b.NeedKind("dummy")
	b.NeedKind("vlan")
	d0 := link("d0", resource.Dummy)
	d0.MTU = 9000
	b.make(d0)
	v := link("d0.7", resource.VLAN)
	v.Below, v.VLAN = "d0", resource.VLANAttr{ID: 7, Protocol: "802.1ad"}
	v2 := v
	v2.VLAN = resource.VLANAttr{ID: 8, Protocol: "802.1q"}
	b.life(v, v2)
	b.life(link("d1", resource.Dummy))
	b.converge(setOf(d0, v2, addr("d0.7", "192.0.2.1/31")))
	b.converge(setOf())
}

func TestAddressLives(t *testing.T) {
	b := newBench(t)
	ground(b)
	scoped := addr("a0", "10.8.0.3/24")
	scoped.Scope = "link"
	foreign := addr("a0", "10.9.0.1/24")
	foreign.Protocol = 0
	b.life(addr("a0", "10.9.0.2/31"))
	b.life(addr("a0", "2001:db8:9::1/128"))
	b.life(scoped, func() resource.Address { a := scoped; a.Scope = "global"; return a }())
	for _, c := range [][2]string{{"10.7.0.1/24", "10.7.0.9"}, {"10.6.0.1/32", "10.5.0.1"}, {"2001:db8:7::1/128", "2001:db8:6::1"}} {
		alone := addr("a0", c[0])
		paired := alone
		paired.Peer = ip(c[1])
		b.life(alone, paired, alone)
		b.life(paired)
	}
	b.IP("addr", "add", "10.9.0.1/24", "dev", "a0")
	if o := b.get(foreign.Key()); o.Owner != resource.Foreign {
		t.Errorf("an address of somebody else's is %s", o.Owner)
	}
	adopt := update(b.get(foreign.Key()).Resource, addr("a0", "10.9.0.1/24"))
	err := b.Apply(context.Background(), []diff.Op{adopt})[0]
	switch ours := b.get(foreign.Key()).Owner == resource.Ours; {
	case ours && err != nil:
		t.Errorf("adopted, with error %v", err)
	case !ours && !errors.Is(err, ErrNoMark):
		t.Errorf("not adopted, with error %v", err)
	case !ours && os.Getenv("RECONCILER_GUEST") != "1":
		t.Error("only old kernels may keep the mark")
	}
	b.make(addr("a0", "2001:db8:9::1/64"))
	b.do(create(addr("a0", "2001:db8:9::1/48"))) // for IPv6 the same address
	b.isSo(addr("a0", "2001:db8:9::1/48"))
}

func TestRouteLives(t *testing.T) {
	b := newBench(t)
	ground(b)
	hops := func(r resource.Route, hops ...resource.NextHop) resource.Route { r.Hops = hops; return r }
	typed := func(to string, kind resource.RouteType) resource.Route {
		r := hops(via(to, "::", ""))
		r.Type = kind
		return r
	}
	in := func(r resource.Route, table, metric uint32) resource.Route {
		r.Table, r.Metric = table, metric
		return r
	}
	r4, r6 := via("192.0.2.0/24", "10.0.0.254", "a0"), via("2001:db8:2::/48", "2001:db8::2", "a0")
	src4, src6 := r4, r6
	src4.PrefSrc, src4.MTU = ip("10.1.0.1"), 1300
	src6.PrefSrc, src6.MTU = ip("2001:db8:1::1"), 1300
	b.life(r4, src4,
		hops(r4, resource.NextHop{Via: ip("10.1.0.254"), Dev: "b0", Weight: 1}),
		hops(r4, resource.NextHop{Via: ip("10.0.0.253"), Dev: "a0", Weight: 2}, resource.NextHop{Via: ip("10.1.0.254"), Dev: "b0", Weight: 1}),
		hops(r4, resource.NextHop{Via: ip("10.77.0.1"), Dev: "a0", Weight: 1, Onlink: true}),
		hops(r4, resource.NextHop{Dev: "a0", Weight: 1}),
		typed("192.0.2.0/24", resource.Unreachable))
	b.life(r6, src6,
		hops(r6, resource.NextHop{Via: ip("2001:db8:1::2"), Dev: "b0", Weight: 1}),
		hops(r6, resource.NextHop{Via: ip("2001:db8::9"), Dev: "a0", Weight: 3}, resource.NextHop{Via: ip("2001:db8:1::2"), Dev: "b0", Weight: 1}),
		hops(r6, resource.NextHop{Via: ip("2001:db8:1::2"), Dev: "b0", Weight: 1}, resource.NextHop{Via: ip("2001:db8::9"), Dev: "a0", Weight: 3}),
		r6,
		typed("2001:db8:2::/48", resource.Blackhole))
	b.life(in(r4, 100, 50), in(hops(r4, resource.NextHop{Via: ip("10.0.0.7"), Dev: "a0", Weight: 1}), 100, 50))
	b.life(in(r6, 100000, 7))
	b.life(via("0.0.0.0/0", "10.0.0.254", "a0"))
	b.life(via("::/0", "2001:db8::2", "a0"))
	b.life(hops(via("198.51.100.0/24", "::", ""), resource.NextHop{Via: ip("2001:db8::2"), Dev: "a0", Weight: 1}))
	for _, kind := range []resource.RouteType{resource.Blackhole, resource.Unreachable, resource.Prohibit, resource.Throw} {
		b.life(typed("203.0.113.0/24", kind))
		b.life(typed("2001:db8:3::/48", kind))
	}
	local := hops(via("203.0.113.0/24", "::", ""), resource.NextHop{Dev: "lo", Weight: 1})
	local.Type = resource.Local
	b.life(local)
}

func TestRuleLives(t *testing.T) {
	b := newBench(t)
	base := resource.Rule{Family: resource.IPv4, Priority: 1000, From: pfx("10.0.0.0/24"), Action: resource.Lookup, Table: 100, Protocol: resource.Protocol}
	full := base
	full.Not, full.To, full.FwMark, full.FwMask, full.IIF, full.OIF = true, pfx("192.0.2.0/24"), 0x10, 0xff, "x0", "y0"
	full.TOS, full.IPProto, full.SPort, full.DPort = 0x10, 6, resource.PortRange{First: 1, Last: 9}, resource.PortRange{First: 80, Last: 80}
	full.SuppressPrefixLen, full.Table = resource.Some[uint32](0), 100000
	b.life(base, full, base)
	for _, action := range []resource.RuleAction{resource.BlackholeRule, resource.UnreachableRule, resource.ProhibitRule} {
		b.life(resource.Rule{Family: resource.IPv6, Priority: 7, From: pfx("2001:db8::/32"), Action: action, Protocol: resource.Protocol})
	}
	b.make(base)
	b.life(resource.Rule{Family: resource.IPv4, Priority: 8, Action: resource.GotoRule, Goto: 1000, Protocol: resource.Protocol})
	if o := b.get(resource.RuleKey(resource.IPv4, 32766)); o.Owner != resource.Kernel {
		t.Errorf("the rule for table main is %s, want the kernel's", o.Owner)
	}
}

func TestNeighbourLives(t *testing.T) {
	b := newBench(t)
	ground(b)
	for _, to := range []string{"10.0.0.7", "2001:db8::7"} {
		n := resource.Neighbour{Link: "a0", To: ip(to), LLAddr: resource.MAC{2, 0, 0, 0, 0, 7}, Protocol: resource.Protocol}
		moved, proxy := n, n
		moved.LLAddr[5] = 8
		proxy.LLAddr, proxy.Proxy = resource.MAC{}, true
		b.IP("neigh", "add", to, "lladdr", "02:00:00:00:00:99", "dev", "a0", "nud", "reachable")
		b.life(n, moved, proxy)
	}
}

func TestPortLives(t *testing.T) {
	b := newBench(t)
	ground(b)
	b.make(link("br0", resource.Bridge), link("br1", resource.Bridge))
	b.life(resource.Port{Link: "a0", Master: "br0"}, resource.Port{Link: "a0", Master: "br1"})
}

func TestSysctlComesBack(t *testing.T) {
	b := newBench(t)
	ground(b)
	for _, s := range []resource.Sysctl{
		{Path: "net/ipv4/conf/a0/rp_filter", Link: "a0", Value: "2"},
		{Path: "net/ipv4/ip_local_port_range", Value: "20000 30000"},
	} {
		want := setOf(s)
		have, ok := b.look(observed.Query{Want: want}).Objects.Get(s.Key())
		if !ok || have.Owner != resource.Foreign {
			t.Fatalf("%s is %v before we write it", s.Path, have)
		}
		b.do(update(have.Resource, s))
		b.isSo(s)
		b.do(update(have.Resource, s)) // again, after a crash
		b.do(remove(s))
		again, _ := b.look(observed.Query{Want: want}).Objects.Get(s.Key())
		if !again.Equal(have.Resource) || again.Owner != resource.Foreign {
			t.Errorf("%s is %v after removal, was %v", s.Path, again, have)
		}
	}
	outside := resource.Sysctl{Path: "net/../kernel/hostname", Value: "x"}
	if err := b.Apply(context.Background(), []diff.Op{create(outside)})[0]; !errors.Is(err, errOutside) {
		t.Errorf("a path out of net/ gives %v", err)
	}
}

func TestForeignIsNeverClobbered(t *testing.T) {
	b := newBench(t)
	ground(b)
	b.IP("route", "add", "192.0.2.0/24", "via", "10.0.0.9", "proto", "static")
	b.IP("addr", "add", "2001:db8:7::1/64", "dev", "a0", "nodad")
	b.IP("neigh", "add", "10.0.0.7", "lladdr", "02:00:00:00:00:01", "dev", "a0")
	b.IP("link", "add", "f0", "type", "bridge")
	before := b.foreignText()
	ops := []diff.Op{
		create(via("192.0.2.0/24", "10.0.0.254", "a0")),
		create(addr("a0", "2001:db8:7::1/48")),
		create(resource.Neighbour{Link: "a0", To: ip("10.0.0.7"), LLAddr: resource.MAC{2, 0, 0, 0, 0, 2}, Protocol: resource.Protocol}),
		create(link("f0", resource.Bridge)),
	}
	for i, err := range b.Apply(context.Background(), ops) {
		if !errors.Is(err, ErrConflict) {
			t.Errorf("%s: %v, want a conflict", ops[i].Key, err)
		}
	}
	b.do(remove(via("192.0.2.0/24", "10.0.0.9", "a0"))) // not ours: nothing to delete
	if after := b.foreignText(); before != after {
		t.Errorf("changed from\n%s\nto\n%s", before, after)
	}
}

// foreignText is what stands there of others, without what changes by itself.
func (b *bench) foreignText() string {
	return b.IP("route") + b.IP("-6", "-br", "addr", "show", "dev", "a0", "scope", "global") +
		b.IP("neigh", "show", "nud", "permanent") + b.IP("link", "show", "f0")
}

func TestCreateIsIdempotent(t *testing.T) {
	b := newBench(t)
	ground(b)
	b.make(link("br0", resource.Bridge))
	all := []resource.Resource{
		pair("a0", "a1")[0], pair("a0", "a1")[1], link("br0", resource.Bridge), addr("a0", "10.0.0.1/24"),
		via("192.0.2.0/24", "10.0.0.254", "a0"), via("2001:db8:2::/48", "2001:db8::2", "a0"),
		resource.Rule{Family: resource.IPv4, Priority: 9, Action: resource.Lookup, Table: 7, Protocol: resource.Protocol},
		resource.Neighbour{Link: "a0", To: ip("10.0.0.7"), LLAddr: resource.MAC{2, 0, 0, 0, 0, 2}, Protocol: resource.Protocol},
		resource.Port{Link: "b0", Master: "br0"},
	}
	for range 2 {
		for _, r := range all {
			b.do(create(r))
			b.isSo(r)
		}
	}
	moved := via("192.0.2.0/24", "10.0.0.253", "a0")
	b.do(create(moved)) // ours, and not as wanted
	b.isSo(moved)
}

func TestErrorsTellWhatTheKernelSays(t *testing.T) {
	b := newBench(t)
	ground(b)
	bad := via("192.0.2.0/24", "172.16.0.1", "a0")
	ops := []diff.Op{
		create(via("198.51.100.0/24", "10.0.0.254", "a0")),
		create(bad),
		create(via("203.0.113.0/24", "10.0.0.254", "nowhere")),
		create(link("x0", "nosuchkind")),
		create(via("203.0.113.0/24", "10.0.0.254", "a0")),
	}
	errs := b.Apply(context.Background(), ops)
	if errs[0] != nil || errs[4] != nil {
		t.Errorf("what is right fails: %v, %v", errs[0], errs[4])
	}
	const want = "create route 192.0.2.0/24: Nexthop has invalid gateway (ENETUNREACH)"
	if errs[1] == nil || errs[1].Error() != want {
		t.Errorf("got %q, want %q", errs[1], want)
	}
	if !errors.Is(errs[1], unix.ENETUNREACH) || !wire.Is(errs[1], unix.ENETUNREACH) {
		t.Errorf("%v does not wrap its errno", errs[1])
	}
	if !errors.Is(errs[2], ErrNoLink) || !strings.Contains(errs[2].Error(), "nowhere") {
		t.Errorf("a missing link gives %v", errs[2])
	}
	if !strings.Contains(errs[3].Error(), "create link x0: Unknown device type (ENOTSUP)") {
		t.Errorf("an unknown kind gives %v", errs[3])
	}
}

func TestManyLinksGoAsAGroup(t *testing.T) {
	b := newBench(t)
	const n = 40
	var makes, deletes []diff.Op
	for i := range n {
		l := pair("p"+number(uint32(i)), "q"+number(uint32(i)))[0]
		makes = append(makes, create(l))
	}
	b.do(makes...)
	b.IP("link", "add", "f0", "type", "bridge")
	for i := range n {
		o := b.get(resource.LinkKey("p" + number(uint32(i))))
		deletes = append(deletes, remove(o.Resource))
	}
	b.do(deletes...)
	left := b.look(observed.Query{All: true}).Objects
	for _, o := range left.All() {
		if l, ok := o.Resource.(resource.Link); ok && l.Name != "lo" && l.Name != "f0" {
			t.Errorf("%s is left", l.Name)
		}
	}
	if !left.Has(resource.LinkKey("f0")) {
		t.Error("a link of somebody else's went along")
	}
}

func TestGroupSparesForeignLinks(t *testing.T) {
	b := newBench(t)
	b.IP("link", "add", "f0", "group", number(uint32(resource.DoomedGroup)), "type", "bridge")
	var deletes []diff.Op
	for i := range manyLinks + 2 {
		l := link("p"+number(uint32(i)), resource.Bridge)
		b.do(create(l))
		deletes = append(deletes, remove(b.get(l.Key()).Resource))
	}
	b.do(deletes...)
	left := b.look(observed.Query{}).Objects
	if !left.Has(resource.LinkKey("f0")) || left.Has(resource.LinkKey("p0")) {
		t.Errorf("left are %d objects; want f0 spared and p0 gone", left.Len())
	}
}

// TestBridgeWithoutVLANs: not to sort by VLAN is no demand, also to a kernel
// that could not.
func TestBridgeWithoutVLANs(t *testing.T) {
	b := newBench(t)
	br := resource.Link{Name: "br0", Type: resource.Bridge, Group: resource.LinkGroup, State: resource.Up,
		Bridge: resource.BridgeAttr{VLANFiltering: resource.Some(false)}}
	b.make(br)
	b.converge(setOf(br))
	got := b.get(br.Key()).Resource.(resource.Link).Bridge.VLANFiltering
	if v, told := got.Get(); v || !told {
		t.Errorf("read %v, told %v; want false", v, told)
	}
}

// TestRefusedLinkSaysWhatWasAsked: the kernel's own words for this are "result out
// of range", of a request with ten attributes.
func TestRefusedLinkSaysWhatWasAsked(t *testing.T) {
	b := newBench(t)
	br := resource.Link{Name: "br0", Type: resource.Bridge, Group: resource.LinkGroup, State: resource.Up}
	br.Bridge.STP = resource.Some(true)
	refused := br
	refused.Bridge.HelloTime = resource.Some[uint32](1)
	check := func(op diff.Op, not string) {
		t.Helper()
		err := b.Apply(context.Background(), []diff.Op{op})[0]
		if err == nil || !errors.Is(err, unix.ERANGE) || !strings.Contains(err.Error(), "hello-time 1") {
			t.Fatalf("%s returns %v, want one that names the hello time", op.Verb, err)
		}
		if strings.Contains(err.Error(), not) {
			t.Errorf("%s returns %v, which names %s", op.Verb, err, not)
		}
	}
	check(create(refused), "forward-delay")
	b.make(br)
	from := b.get(br.Key()).Resource
	check(update(from, refused.Inherit(from)), "stp")
}
