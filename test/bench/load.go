package main

import (
	"fmt"
	"net/netip"
	"strings"

	"reconciler/internal/resource"
)

// load is one size of host: what stands before the clock starts (base), and
// the same work told to each subject in its own language.
type load struct {
	name string
	base []pair
	make []object
}

// object is one thing to be made.
type object interface {
	request(*batch)
	line() string // of an ip -batch
	want() []resource.Resource
}

// pair is a veth pair; index and index+1 are its ends' indexes.
type pair struct {
	index      uint32
	name, peer string
}

type address struct {
	index  uint32
	link   string
	prefix netip.Prefix
}

type route struct {
	to    netip.Prefix
	via   netip.Addr
	index uint32
	dev   string
}

func (p pair) request(b *batch) { b.addVeth(p.index, p.name, p.peer, ourGroup) }

func (p pair) line() string {
	return fmt.Sprintf("link add %s group %d up type veth peer name %s group %d\nlink set %s up\n",
		p.name, ourGroup, p.peer, ourGroup, p.peer)
}

func (p pair) want() []resource.Resource {
	near := resource.Link{Name: p.name, Peer: p.peer}
	far := resource.Link{Name: p.peer, Peer: p.name, Far: true}
	for _, l := range []*resource.Link{&near, &far} {
		l.Type, l.Group, l.State = resource.Veth, resource.LinkGroup, resource.Up
	}
	return []resource.Resource{near, far}
}

func (a address) request(b *batch) { b.addAddress(a.index, a.prefix) }

func (a address) line() string { return fmt.Sprintf("address add %s dev %s\n", a.prefix, a.link) }

func (a address) want() []resource.Resource {
	return []resource.Resource{resource.Address{Link: a.link, Prefix: a.prefix, Protocol: resource.Protocol}}
}

func (r route) request(b *batch) { b.addRoute(r.to, r.via, r.index, ourProtocol) }

func (r route) line() string {
	return fmt.Sprintf("route add %s via %s dev %s proto %d\n", r.to, r.via, r.dev, ourProtocol)
}

func (r route) want() []resource.Resource {
	return []resource.Resource{resource.Route{
		To: r.to, Table: resource.MainTable, Type: resource.Unicast, Protocol: resource.Protocol,
		Hops: []resource.NextHop{{Via: r.via, Dev: r.dev, Weight: 1}},
	}}
}

// Every load begins with a pair u0 that carries 192.0.2.1/24.
var (
	uplink  = pair{index: 100, name: "u0", peer: "u0-peer"}
	local   = address{index: 100, link: "u0", prefix: netip.MustParsePrefix("192.0.2.1/24")}
	gateway = netip.MustParseAddr("192.0.2.2")
)

const firstIndex = 1000

// pairsLoad is n veth pairs with an address each.
func pairsLoad(n int) load {
	l := load{name: count(n) + " veth pairs, an address each", base: []pair{uplink}}
	for i := range n {
		p := pair{index: firstIndex + 2*uint32(i), name: fmt.Sprintf("v%d", i), peer: fmt.Sprintf("w%d", i)}
		l.make = append(l.make, p, address{p.index, p.name, nth("10.0.0.0/30", i)})
	}
	return l
}

// addressLoad is n addresses spread over some links.
func addressLoad(n, links int) load {
	l := load{name: fmt.Sprintf("%s addresses on %s links", count(n), count(links)), base: []pair{uplink}}
	if links == 1 {
		l.name = count(n) + " addresses on one link"
	}
	for i := range links {
		l.base = append(l.base, pair{index: firstIndex + 2*uint32(i), name: fmt.Sprintf("v%d", i), peer: fmt.Sprintf("w%d", i)})
	}
	for i := range n {
		on := l.base[1+i%links]
		l.make = append(l.make, address{on.index, on.name, nth("10.0.0.0/32", i)})
	}
	return l
}

// routeLoad is n routes through one gateway.
func routeLoad(n int) load {
	l := load{name: count(n) + " routes", base: []pair{uplink}}
	for i := range n {
		l.make = append(l.make, route{nth("20.0.0.0/24", i), gateway, uplink.index, uplink.name})
	}
	return l
}

// nth is the prefix i steps after the first.
func nth(first string, i int) netip.Prefix {
	p := netip.MustParsePrefix(first)
	a := p.Addr().As4()
	v := uint32(a[0])<<24 | uint32(a[1])<<16 | uint32(a[2])<<8 | uint32(a[3])
	v += uint32(i) << (32 - p.Bits())
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)}), p.Bits())
}

// before fills a batch with what stands before the clock starts.
func (l load) before(b *batch) {
	for _, p := range l.base {
		p.request(b)
	}
	local.request(b)
}

// requests fills a batch with the work.
func (l load) requests(b *batch) {
	for _, o := range l.make {
		o.request(b)
	}
}

// script is the work for ip -batch.
func (l load) script() string {
	var s strings.Builder
	for _, o := range l.make {
		s.WriteString(o.line())
	}
	return s.String()
}

// wanted is the desired state: what stands before and the work.
func (l load) wanted() *resource.Set {
	set := resource.NewSet(2*len(l.make) + 8)
	add := func(o object) {
		for _, r := range o.want() {
			set.Put(resource.Object{Resource: r, Origin: "bench.yaml:1"})
		}
	}
	for _, p := range l.base {
		add(p)
	}
	add(local)
	for _, o := range l.make {
		add(o)
	}
	return set
}

// count prints a number with commas.
func count(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
