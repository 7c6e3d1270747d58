package desired

import (
	"time"

	"reconciler/internal/resource"
	"reconciler/internal/strict"
)

// link adds a link and all that is declared on it.
func (b *builder) link(name string, y *linkYAML) {
	at := b.linkAt[name]
	b.checkLink(name, y)
	l := resource.Link{
		Name: name, Match: y.Match.resource(), Policy: y.policy(),
		MTU: y.MTU.Val, MAC: resource.MAC(y.MAC.Val), State: resource.Admin(y.State.Val),
		Description: opt(y.Description), TxQueueLen: opt(y.TxQueueLen), Below: string(y.Parent.Val),
	}
	near, far := b.farEnds[name]
	switch {
	case far:
		l.Type, l.Peer, l.Far = resource.Veth, near, true
	case y.Kind.Ok():
		l.Type = resource.LinkType(y.Kind.Val)
		b.attributes(&l, y)
	}
	if l.Type != "" || l.Policy.Adopt {
		l.Group = resource.LinkGroup
	}
	if l.Type != "" && l.State == "" && !y.State.Given() {
		l.State = resource.Up
	}
	b.add(l, declared(at))
	b.onLink(name, y)
}

// declared is the position of an entry's name, which is what a person looks
// for.
func declared(c strict.Child) *strict.Value {
	v := *c.Value
	v.Pos = c.KeyPos
	return &v
}

func (b *builder) onLink(name string, y *linkYAML) {
	for i := range y.Addresses {
		b.address(name, y, &y.Addresses[i])
	}
	b.scopes(y)
	for i := range y.Neighbours {
		b.neighbour(name, y, &y.Neighbours[i])
	}
	b.linkSysctls(name, y)
	if len(y.FDB) > 0 {
		b.unsupported("fdb", name, y.FDB[0].At())
	}
	if len(y.Offload) > 0 {
		b.unsupported("offload", name, y.Offload[0].Key.Value)
	}
	if p := y.BridgePort; p != nil && len(p.VLANs) > 0 {
		b.unsupported("bridge-port", name, p.At())
	}
	for _, s := range y.sections(laterKinds) {
		b.unsupported(s.kind, name, s.at)
	}
}

func (y *linkYAML) policy() resource.LinkPolicy {
	p := resource.LinkPolicy{Optional: y.Required.Ok() && !y.Required.Val, Protect: y.Protect.Val, Adopt: y.Adopt.Val}
	for _, e := range y.Exact {
		switch e.Val {
		case "addresses":
			p.Exact = append(p.Exact, resource.KindAddress)
		case "routes":
			p.Exact = append(p.Exact, resource.KindRoute)
		case "neighbours":
			p.Exact = append(p.Exact, resource.KindNeighbour)
		}
	}
	return p
}

func (m *matchYAML) resource() resource.Match {
	if m == nil {
		return resource.Match{}
	}
	return resource.Match{Name: m.Name.Val, MAC: resource.MAC(m.MAC.Val), Driver: m.Driver.Val, PCI: m.PCI.Val}
}

// attributes fills what belongs to one kind.
func (b *builder) attributes(l *resource.Link, y *linkYAML) {
	switch {
	case l.Type == resource.Veth && y.Veth != nil:
		l.Peer = string(y.Veth.Peer.Val)
	case l.Type == resource.VXLAN && y.VXLAN != nil:
		l.VXLAN = y.VXLAN.resource()
	case l.Type == resource.VLAN && y.VLAN != nil:
		l.VLAN = resource.VLANAttr{ID: y.VLAN.ID.Val, Protocol: y.VLAN.Protocol.Or("802.1q")}
	case l.Type == resource.MACVLAN && y.MACVLAN != nil:
		l.Mode = y.MACVLAN.Mode.Val
	case l.Type == resource.Bridge && y.Bridge != nil:
		l.Bridge = y.Bridge.resource()
	}
}

// vxlanPort is the port that IANA assigned (RFC 7348); the kernel's own
// default is 8472, from before.
const vxlanPort = 4789

func (y *vxlanYAML) resource() resource.VXLANAttr {
	return resource.VXLANAttr{
		ID: y.ID.Val, Local: y.Local.Val, Remote: y.Remote.Val, Port: y.Port.Or(vxlanPort),
		Learning: opt(y.Learning), TTL: opt(y.TTL),
	}
}

func (y *bridgeYAML) resource() resource.BridgeAttr {
	return resource.BridgeAttr{
		VLANFiltering: opt(y.VLANFiltering), STP: opt(y.STP), ForwardDelay: centiseconds(y.ForwardDelay),
		HelloTime: centiseconds(y.HelloTime), MaxAge: centiseconds(y.MaxAge), AgeingTime: centiseconds(y.AgeingTime),
		Priority: opt(y.Priority), MulticastSnooping: opt(y.MulticastSnooping),
	}
}

func opt[T comparable](v strict.V[T]) resource.Opt[T] {
	if x, ok := v.Get(); ok {
		return resource.Some(x)
	}
	return resource.Opt[T]{}
}

// centiseconds is how the kernel keeps a bridge's times (USER_HZ is 100).
func centiseconds(v strict.V[time.Duration]) resource.Opt[uint32] {
	if d, ok := v.Get(); ok {
		return resource.Some(uint32(d / (10 * time.Millisecond)))
	}
	return resource.Opt[uint32]{}
}

// section is the part of an interface that belongs to one kind.
type section struct {
	kind string
	at   *strict.Value
}

// laterKinds are accepted, and not applied by this version.
var laterKinds = []string{"bond", "vrf", "gre", "ipip", "sit", "wireguard"}

// kindSections are the keys of an interface that are named for a kind.
var kindSections = append([]string{"bridge", "veth", "vxlan", "vlan", "macvlan"}, laterKinds...)

// sections lists those of the given kinds that an interface has.
func (y *linkYAML) sections(kinds []string) []section {
	var out []section
	for _, k := range kinds {
		if v := y.At().Get(k); v != nil && v.Kind != strict.Null {
			out = append(out, section{k, v})
		}
	}
	return out
}
