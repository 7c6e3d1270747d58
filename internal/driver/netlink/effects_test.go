package netlink

import (
	"slices"
	"testing"

	"reconciler/internal/diff"
	"reconciler/internal/observed"
	"reconciler/internal/resource"
)

// TestKernelTakesWhatIsPredicted does to a host what has side effects, and
// compares what of ours is gone with what the resource said would go.
func TestKernelTakesWhatIsPredicted(t *testing.T) {
	type change = func(*bench) diff.Op
	changeLink := func(name string, f func(*resource.Link)) change {
		return func(b *bench) diff.Op {
			from := b.get(resource.LinkKey(name)).Resource.(resource.Link)
			to := from
			f(&to)
			return update(from, to)
		}
	}
	without := func(k resource.Key) change {
		return func(b *bench) diff.Op { return remove(b.get(k).Resource) }
	}
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
		"lower link":        without(resource.LinkKey("b0")),
		"port":              without(resource.PortKey("c0")),
		"bridge":            without(resource.LinkKey("br0")),
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			effectsGround(b)
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
			compareLost(t, before, b.look(observed.Query{All: true}), op, want)
		})
	}
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
		addr("b0", "10.1.0.1/24"), addr("b0", "2001:db8:1::1/64"), addr("br0", "10.2.0.1/24"), addr("mv0", "10.4.0.1/24"),
		via("192.0.2.0/24", "10.0.0.254", "a0"), via("192.0.3.0/24", "10.1.0.254", "b0"), via("2001:db8:4::/48", "2001:db8::2", "a0"),
		tabled, onlink4, onlink6, src, srcTabled)
	for _, to := range []struct{ link, addr string }{{"a0", "10.0.0.7"}, {"a0", "2001:db8::7"}, {"b0", "10.1.0.7"}, {"br0", "10.2.0.7"}} {
		b.make(resource.Neighbour{Link: to.link, To: ip(to.addr), LLAddr: resource.MAC{2, 0, 0, 0, 0, 7}, Protocol: resource.Protocol})
	}
	b.make(resource.Neighbour{Link: "a0", To: ip("10.0.0.8"), Proxy: true, Protocol: resource.Protocol})
}

func compareLost(t *testing.T, before, after observed.State, op diff.Op, want []resource.Key) {
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
