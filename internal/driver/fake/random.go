package fake

import (
	"fmt"
	"math/rand/v2"
	"net/netip"

	"reconciler/internal/resource"
)

// Hardware are the links that random states expect to be there.
var Hardware = [...]string{"eth0", "eth1"}

// Random makes random states that a kernel can hold, over a small universe so
// that names and addresses meet.
type Random struct {
	rng   *rand.Rand
	vlans bool
}

// NewRandom returns a source of random states.
func NewRandom(rng *rand.Rand) *Random { return &Random{rng: rng} }

// WithVLANs lets the states have vlans, which not every kernel has.
func (g *Random) WithVLANs() *Random {
	g.vlans = true
	return g
}

func (g *Random) chance(percent int) bool { return g.rng.IntN(100) < percent }

func pick[T any](g *Random, of ...T) T { return of[g.rng.IntN(len(of))] }

// draft is a wanted state in the making.
type draft struct {
	*Random
	set   *resource.Set
	links []resource.Link
	below string // under the macvlan, which is why it can be no port
}

// Want returns a random wanted state as YAML would give it, unbound.
func (g *Random) Want() *resource.Set {
	d := &draft{Random: g, set: resource.NewSet(0)}
	d.addLinks()
	d.addVLANs()
	d.addPorts()
	for i := range d.links {
		d.addAddresses(&d.links[i], i)
	}
	d.addRoutes()
	d.addRules()
	return d.set
}

func (d *draft) add(r resource.Resource) {
	if !d.set.Has(r.Key()) {
		d.set.Put(resource.Object{Resource: r, Origin: "random"})
	}
}

func (d *draft) addLink(l resource.Link) {
	if d.set.Has(l.Key()) {
		return
	}
	if l.Type != "" {
		l.Group, l.State = resource.LinkGroup, resource.Up
	}
	switch {
	case limited(l): // no larger than what is below it
		if most := d.mtuOf(l.Below); most != 0 && d.chance(30) {
			l.MTU = pick(d.Random, most, min(most, 1400))
		}
	case d.chance(30):
		l.MTU = pick(d.Random, uint32(1400), 1500, 9000)
	}
	if d.chance(15) && l.Type != resource.Bridge {
		l.MAC = resource.MAC{2, 0, 0, 0, 7, byte(len(d.links))}
	}
	if d.chance(15) {
		l.State = pick(d.Random, resource.Up, resource.Down)
	}
	if d.chance(15) {
		l.Description = resource.Some(pick(d.Random, "", "uplink", "rack 7"))
	}
	if d.chance(10) {
		l.Policy.Exact = []resource.Kind{pick(d.Random, resource.KindAddress, resource.KindRoute)}
	}
	d.links = append(d.links, l)
	d.add(l)
}

// mtuOf is the MTU that the draft gives to a link, 0 for none.
func (d *draft) mtuOf(link string) uint32 {
	o, _ := d.set.Get(resource.LinkKey(link))
	l, _ := o.Resource.(resource.Link)
	return l.MTU
}

func (d *draft) addLinks() {
	for _, name := range Hardware {
		if d.chance(70) {
			d.addLink(resource.Link{Name: name})
		}
	}
	for _, name := range []string{"br0", "br1"} {
		if d.chance(60) {
			d.addLink(resource.Link{Name: name, Type: resource.Bridge})
		}
	}
	for _, name := range []string{"v0", "v1", "v2"} {
		if !d.chance(60) {
			continue
		}
		peer := pick(d.Random, name+"p", name+"p", "w")
		if d.set.Has(resource.LinkKey(peer)) {
			continue
		}
		d.addLink(resource.Link{Name: name, Type: resource.Veth, Peer: peer})
		d.addLink(resource.Link{Name: peer, Type: resource.Veth, Peer: name, Far: true})
	}
	if d.chance(50) {
		d.addLink(resource.Link{Name: "x0", Type: resource.VXLAN, VXLAN: resource.VXLANAttr{ID: uint32(100 + d.rng.IntN(2)), Port: 4789}})
	}
	if d.chance(50) && len(d.links) > 0 {
		below := d.links[d.rng.IntN(len(d.links))]
		if below.Type != resource.MACVLAN {
			d.below = below.Name
			d.addLink(resource.Link{Name: "m0", Type: resource.MACVLAN, Below: below.Name, Mode: pick(d.Random, "bridge", "private")})
		}
	}
}

// addVLANs stacks vlans on what is there, and on each other.
func (d *draft) addVLANs() {
	for i, name := range []string{"q0", "q1"} {
		if d.vlans && d.chance(60) && len(d.links) > 0 {
			below := d.links[d.rng.IntN(len(d.links))]
			d.addLink(resource.Link{Name: name, Type: resource.VLAN, Below: below.Name, VLAN: resource.VLANAttr{ID: uint16(7 + i), Protocol: "802.1q"}})
		}
	}
}

func (d *draft) addPorts() {
	for _, l := range d.links {
		if l.Type != resource.Veth && l.Type != resource.VXLAN || l.Name == d.below || !d.chance(40) {
			continue
		}
		master := pick(d.Random, "br0", "br1")
		if d.set.Has(resource.LinkKey(master)) {
			d.add(resource.Port{Link: l.Name, Master: master})
		}
	}
}

func addressOn(link string, i int, sub, host int) resource.Address {
	net := subnetOf(link)
	p := netip.MustParsePrefix(fmt.Sprintf("10.%d.%d.%d/24", net, sub, host))
	if i == 6 {
		p = netip.MustParsePrefix(fmt.Sprintf("fd00:%d:%d::%d/64", net, sub, host))
	}
	return resource.Address{Link: link, Prefix: p, Protocol: resource.Protocol}
}

// subnetOf gives each link its own subnets, whatever else is in the state.
func subnetOf(link string) int {
	n := 0
	for _, c := range link {
		n = n*7 + int(c)
	}
	return n % 200
}

func (d *draft) addAddresses(l *resource.Link, _ int) {
	for range d.rng.IntN(4) {
		d.add(addressOn(l.Name, pick(d.Random, 4, 4, 6), d.rng.IntN(2), 1+d.rng.IntN(3)))
	}
	if d.chance(10) {
		a := addressOn(l.Name, 4, 0, 9)
		d.add(resource.Neighbour{Link: l.Name, To: a.Prefix.Addr(), LLAddr: resource.MAC{2, 0, 0, 0, 9, byte(d.rng.IntN(3))}, Protocol: resource.Protocol})
	}
}

// wantedOn lists the IPv4 addresses that the draft has on links that are not
// known to be down.
func (d *draft) wantedOn() []resource.Address {
	var out []resource.Address
	for _, o := range d.set.All() {
		a, ok := o.Resource.(resource.Address)
		if !ok || !a.Prefix.Addr().Is4() {
			continue
		}
		l, _ := d.set.Get(resource.LinkKey(a.Link))
		if l.Resource.(resource.Link).State != resource.Down {
			out = append(out, a)
		}
	}
	return out
}

func gateway(a resource.Address) netip.Addr {
	b := a.Prefix.Addr().As4()
	b[3] = 254
	return netip.AddrFrom4(b)
}

func (d *draft) addRoutes() {
	addrs := d.wantedOn()
	for i := range d.rng.IntN(6) {
		r := resource.Route{
			To: netip.PrefixFrom(netip.AddrFrom4([4]byte{203, 0, byte(i), 0}), 24), Table: pick(d.Random, uint32(254), 254, 100),
			Metric: pick(d.Random, uint32(0), 0, 50), Type: resource.Unicast, Scope: "global", Protocol: resource.Protocol,
		}
		if len(addrs) == 0 || d.chance(15) {
			r.Type = resource.Blackhole
			d.add(r)
			continue
		}
		a := addrs[d.rng.IntN(len(addrs))]
		r.Hops = []resource.NextHop{{Via: gateway(a), Dev: a.Link, Weight: 1}}
		if d.chance(20) {
			r.PrefSrc = addrs[d.rng.IntN(len(addrs))].Prefix.Addr()
		}
		d.add(r)
	}
}

func (d *draft) addRules() {
	for prio := range uint32(3) {
		if d.chance(30) {
			d.add(resource.Rule{
				Family: resource.IPv4, Priority: 1000 + prio, From: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(d.rng.IntN(2)), 0, 0}), 16),
				Action: resource.Lookup, Table: 100, Protocol: resource.Protocol,
			})
		}
	}
}

// Foreign returns objects of somebody else that could stand on a host: a
// bridge, addresses, routes of a routing daemon.
func (g *Random) Foreign(have *resource.Set) []resource.Resource {
	const bird = 12
	var out []resource.Resource
	if g.chance(20) {
		out = append(out, resource.Link{Name: pick(g, "br1", "docker0"), Type: resource.Bridge, State: resource.Up})
	}
	for _, o := range have.All() {
		switch r := o.Resource.(type) {
		case resource.Link:
			if g.chance(30) && !r.Seen.Loopback {
				a := addressOn(r.Name, 4, g.rng.IntN(2), 1+g.rng.IntN(4))
				a.Protocol = 0
				out = append(out, a)
			}
		case resource.Address:
			if r.Prefix.Addr().Is4() && !r.Prefix.Addr().IsLoopback() && g.chance(15) {
				out = append(out, resource.Route{
					To: netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 18, byte(g.rng.IntN(8)), 0}), 24), Table: resource.MainTable,
					Type: resource.Unicast, Scope: "global", Protocol: bird,
					Hops: []resource.NextHop{{Via: gateway(r), Dev: r.Link, Weight: 1}},
				})
			}
		}
	}
	return out
}
