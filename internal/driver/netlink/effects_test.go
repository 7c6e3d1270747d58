package netlink

import (
	"fmt"
	"slices"
	"testing"

	"reconciler/internal/diff"
	"reconciler/internal/observed"
	"reconciler/internal/resource"
)

// TestKernelTakesWhatIsPredicted does to a host what has side effects, and
// compares what of ours is gone with what the resource said would go.
func TestKernelTakesWhatIsPredicted(t *testing.T) {
	for name, make := range map[string]change{
		"down":              changeLink("a0", func(l *resource.Link) { l.State = resource.Down }),
		"down with its MAC": changeLink("a0", func(l *resource.Link) { l.State, l.MAC = resource.Down, resource.MAC{2, 1} }),
		"small MTU":         changeLink("a0", func(l *resource.Link) { l.MTU = 1279 }),
		"least MTU":         changeLink("a0", func(l *resource.Link) { l.MTU = 1280 }),
		"MAC":               changeLink("a0", func(l *resource.Link) { l.MAC = resource.MAC{2, 1} }),
		"peer down":         changeLink("a1", func(l *resource.Link) { l.State = resource.Down }),
		"primary address":   without(resource.AddressKey("a0", pfx("10.0.0.1/24"))),
		"secondary address": without(resource.AddressKey("a0", pfx("10.0.0.2/24"))),
		"last address":      without(resource.AddressKey("b0", pfx("10.1.0.1/24"))),
		"IPv6 address":      without(resource.AddressKey("a0", pfx("2001:db8::1/64"))),
		"small lower MTU":   changeLink("b0", func(l *resource.Link) { l.MTU = 1279 }),
		"lower MAC":         changeLink("b0", func(l *resource.Link) { l.MAC = resource.MAC{2, 1} }),
		"lower link down":   changeLink("b0", func(l *resource.Link) { l.State = resource.Down }),
		"lower link":        without(resource.LinkKey("b0")),
		"port":              without(resource.PortKey("c0")),
		"bridge":            without(resource.LinkKey("br0")),
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			effectsGround(b)
			b.suffers(make)
		})
	}
}

// TestGuestVLANsGoWithTheirLowerLink is the same of what goes with a lower
// link's state.
func TestGuestVLANsGoWithTheirLowerLink(t *testing.T) {
	for name, make := range map[string]change{
		"lower link down": changeLink("a0", func(l *resource.Link) { l.State = resource.Down }),
		"vlan down":       changeLink("q0", func(l *resource.Link) { l.State = resource.Down }),
		"upper vlan down": changeLink("q1", func(l *resource.Link) { l.State = resource.Down }),
		"small MTU":       changeLink("a0", func(l *resource.Link) { l.MTU = 1279 }),
		"least MTU":       changeLink("a0", func(l *resource.Link) { l.MTU = 1280 }),
		"MAC":             changeLink("a0", func(l *resource.Link) { l.MAC = resource.MAC{2, 1} }),
		"vlan's MTU":      changeLink("q0", func(l *resource.Link) { l.MTU = 1279 }),
		"vlan's MAC":      changeLink("q0", func(l *resource.Link) { l.MAC = resource.MAC{2, 1} }),
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.NeedKind("vlan")
			vlansGround(b)
			b.suffers(make)
		})
	}
}

// vlansGround is a vlan on a vlan, and beside them one of somebody else's that
// keeps its own state, and a macvlan.
func vlansGround(b *bench) {
	b.make(pair("a0", "a1")...)
	q0, q1, mv := link("q0", resource.VLAN), link("q1", resource.VLAN), link("mv0", resource.MACVLAN)
	q0.Below, q0.VLAN = "a0", resource.VLANAttr{ID: 7, Protocol: "802.1q"}
	q1.Below, q1.VLAN = "q0", resource.VLANAttr{ID: 8, Protocol: "802.1q"}
	mv.Below, mv.Mode = "q0", "bridge"
	b.make(q0, q1, mv)
	b.IP("link", "add", "link", "a0", "name", "loose", "type", "vlan", "id", "9", "loose_binding", "on")
	b.IP("link", "set", "loose", "up")
	for i, on := range []string{"q0", "q1", "mv0", "loose"} {
		v4, v6 := fmt.Sprintf("10.0.%d.", i), fmt.Sprintf("2001:db8:%d::", i)
		b.make(addr(on, v4+"1/24"), addr(on, v6+"1/64"),
			via(fmt.Sprintf("192.0.%d.0/24", i), v4+"254", on), via(fmt.Sprintf("2001:db8:1%d::/64", i), v6+"2", on),
			resource.Neighbour{Link: on, To: ip(v4 + "7"), LLAddr: resource.MAC{2, 0, 0, 0, 0, 7}, Protocol: resource.Protocol})
	}
	two := via("198.18.0.0/15", "10.0.0.254", "q0")
	two.Hops = append(two.Hops, resource.NextHop{Via: ip("10.0.1.254"), Dev: "q1", Weight: 1})
	b.make(two)
}

// TestGuestVLANFollows takes a lower link down and up again: one pass is enough
// each time, and a vlan that is to be down stays so.
func TestGuestVLANFollows(t *testing.T) {
	b := newBench(t)
	b.NeedKind("vlan")
	lower, on, off := link("br0", resource.Bridge), link("q0", resource.VLAN), link("q1", resource.VLAN)
	on.Below, on.VLAN = "br0", resource.VLANAttr{ID: 7, Protocol: "802.1q"}
	off.Below, off.VLAN, off.State = "br0", resource.VLANAttr{ID: 8, Protocol: "802.1q"}, resource.Down
	want := func(lower resource.Link) *resource.Set {
		return setOf(lower, on, off, addr("q0", "10.0.0.1/24"), addr("q0", "2001:db8::1/64"), addr("q1", "2001:db8:1::1/64"),
			via("203.0.113.0/24", "10.0.0.254", "q0"), via("2001:db8:2::/48", "2001:db8::2", "q0"))
	}
	isDown := lower
	isDown.State = resource.Down
	for _, lower := range []resource.Link{lower, isDown, lower, isDown} {
		b.converge(want(lower))
		if got := b.get(resource.LinkKey("q0")).Resource.(resource.Link).State; got != lower.State {
			t.Errorf("with its lower link %s, the vlan is %s", lower.State, got)
		}
		if got := b.get(resource.LinkKey("q1")).Resource.(resource.Link).State; got != resource.Down {
			t.Errorf("with its lower link %s, a vlan that is to be down is %s", lower.State, got)
		}
		if routes := b.has(via("203.0.113.0/24", "10.0.0.254", "q0").Key()); routes != (lower.State == resource.Up) {
			t.Errorf("with its lower link %s, the route of the vlan is there: %v", lower.State, routes)
		}
	}
}

// TestGuestVLANInherits changes MTU and MAC address of a lower link: one pass is
// enough, and leaves what was predicted of the vlans above it.
func TestGuestVLANInherits(t *testing.T) {
	b := newBench(t)
	b.NeedKind("vlan")
	inherits(b, func(name string) resource.Link {
		l := link(name, resource.VLAN)
		l.VLAN = resource.VLANAttr{ID: uint16(name[1]), Protocol: "802.1q"}
		return l
	})
}

// TestMACVLANInherits is the same of macvlans.
func TestMACVLANInherits(t *testing.T) {
	inherits(newBench(t), func(name string) resource.Link {
		l := link(name, resource.MACVLAN)
		l.Mode = "bridge"
		return l
	})
}

func inherits(b *bench, above func(string) resource.Link) {
	lower, own, small, plain := link("br0", resource.Bridge), above("q0"), above("q1"), above("q2")
	own.Below, small.Below, plain.Below = "br0", "br0", "br0"
	own.MAC, small.MTU = resource.MAC{2, 9}, 1300
	for _, c := range []struct {
		mtu uint32
		mac resource.MAC
	}{{1500, resource.MAC{2, 1}}, {1400, resource.MAC{2, 1}}, {9000, resource.MAC{2, 2}}, {1350, resource.MAC{2, 9}}, {1500, resource.MAC{2, 3}}} {
		lower.MTU, lower.MAC = c.mtu, c.mac
		want := setOf(lower, own, small, plain, addr("q2", "10.0.0.1/24"),
			resource.Neighbour{Link: "q2", To: ip("10.0.0.7"), LLAddr: resource.MAC{2, 0, 0, 0, 0, 7}, Protocol: resource.Protocol})
		before := b.look(observed.Query{All: true})
		plan := b.converge(want)
		told := plan.Outcome(before)
		for _, name := range []string{"q0", "q1", "q2"} {
			o, _ := told.Get(resource.LinkKey(name))
			predicted, got := o.Resource.(resource.Link), b.get(resource.LinkKey(name)).Resource.(resource.Link)
			if predicted.MTU != got.MTU || predicted.MAC != got.MAC && predicted.MAC != (resource.MAC{}) {
				b.t.Errorf("below it %v: %s has mtu %d and MAC %s, predicted were %d and %s", c, name, got.MTU, got.MAC, predicted.MTU, predicted.MAC)
			}
		}
	}
}

// TestHeirsAreTold is that a plan says what becomes of links that are not in it.
func TestHeirsAreTold(t *testing.T) {
	b := newBench(t)
	lower := link("br0", resource.Bridge)
	b.converge(setOf(lower))
	b.IP("link", "add", "link", "br0", "name", "m0", "type", "macvlan")
	lower.MTU = 1400
	plan := b.plan(setOf(lower))
	b.Annotate(b.look(observed.Query{All: true}), &plan)
	const want = "the kernel gives an mtu of 1400 to links above it, too: m0 (1500)"
	if len(plan.Ops) != 1 || !slices.Contains(plan.Ops[0].Effects, want) {
		t.Errorf("the plan tells %+v, want %q", plan.Ops, want)
	}
}

// change is a change of a host.
type change = func(*bench) diff.Op

func changeLink(name string, f func(*resource.Link)) change {
	return func(b *bench) diff.Op {
		from := b.get(resource.LinkKey(name)).Resource.(resource.Link)
		to := from
		f(&to)
		return update(from, to)
	}
}

func without(k resource.Key) change {
	return func(b *bench) diff.Op { return remove(b.get(k).Resource) }
}

// suffers makes a change and wants gone what the resource said would go.
func (b *bench) suffers(make change) {
	b.t.Helper()
	before := b.look(observed.Query{All: true})
	op := make(b)
	var want []resource.Key
	if d, ok := op.From.(resource.Disturber); ok {
		want = d.Disturbs(op.To, before.Objects)
		for _, k := range slices.Clone(want) { // an address that goes takes its own along
			if o, _ := before.Objects.Get(k); k.Kind == resource.KindAddress {
				want = append(want, o.Resource.(resource.Disturber).Disturbs(nil, before.Objects)...)
			}
		}
	}
	b.do(op)
	compareLost(b.t, before, b.look(observed.Query{All: true}), op, want)
}

// effectsGround is a host with something of all that may go.
func effectsGround(b *bench) {
	b.make(append(pair("a0", "a1"), pair("b0", "b1")...)...)
	b.make(pair("c0", "c1")...)
	mv := link("mv0", resource.MACVLAN)
	mv.Below, mv.Mode = "b0", "bridge"
	tabled, onlink4, onlink6 := via("192.0.4.0/24", "10.0.0.254", "a0"), via("192.0.5.0/24", "10.0.0.254", "a0"), via("2001:db8:5::/48", "2001:db8::2", "a0")
	tabled.Table = 100
	onlink4.Hops = append(onlink4.Hops, resource.NextHop{Via: ip("10.1.0.254"), Dev: "b0", Weight: 1})
	onlink6.Hops = append(onlink6.Hops, resource.NextHop{Via: ip("2001:db8:1::2"), Dev: "b0", Weight: 1})
	src := via("192.0.6.0/24", "10.0.0.254", "a0")
	src.PrefSrc = ip("10.0.0.2")
	srcTabled := src
	srcTabled.Table = 100
	b.make(link("br0", resource.Bridge), mv, resource.Port{Link: "c0", Master: "br0"},
		addr("a0", "10.0.0.1/24"), addr("a0", "10.0.0.2/24"), addr("a0", "10.3.0.1/24"), addr("a0", "2001:db8::1/64"),
		addr("b0", "10.1.0.1/24"), addr("b0", "2001:db8:1::1/64"), addr("br0", "10.2.0.1/24"), addr("mv0", "10.4.0.1/24"), addr("mv0", "2001:db8:2::1/64"),
		via("192.0.2.0/24", "10.0.0.254", "a0"), via("192.0.3.0/24", "10.1.0.254", "b0"), via("2001:db8:4::/48", "2001:db8::2", "a0"),
		via("192.0.7.0/24", "10.4.0.254", "mv0"), via("2001:db8:7::/48", "2001:db8:2::2", "mv0"), tabled, onlink4, onlink6, src, srcTabled)
	for _, to := range []struct{ link, addr string }{{"a0", "10.0.0.7"}, {"a0", "2001:db8::7"}, {"b0", "10.1.0.7"}, {"br0", "10.2.0.7"}, {"mv0", "10.4.0.7"}} {
		b.make(resource.Neighbour{Link: to.link, To: ip(to.addr), LLAddr: resource.MAC{2, 0, 0, 0, 0, 7}, Protocol: resource.Protocol})
	}
	b.make(resource.Neighbour{Link: "a0", To: ip("10.0.0.8"), Proxy: true, Protocol: resource.Protocol})
}

func compareLost(t testing.TB, before, after observed.State, op diff.Op, want []resource.Key) {
	t.Helper()
	lost := map[resource.Key]bool{}
	for _, o := range before.Objects.All() {
		if k := o.Key(); o.Owner == resource.Ours && k != op.Key && !after.Objects.Has(k) {
			lost[k] = true
			if !slices.Contains(want, k) {
				t.Errorf("%s is gone, which was not predicted", k)
			}
		}
	}
	for _, k := range want {
		o, ok := before.Objects.Get(k)
		now, _ := after.Objects.Get(k)
		changed := now.Resource != nil && !o.Equal(now.Resource) // an IPv6 route that lost one of its ways
		if ok && o.Owner == resource.Ours && !lost[k] && !changed {
			t.Errorf("%s was predicted to go and is still there as it was", k)
		}
	}
}
