package desired

import (
	"net/netip"

	"reconciler/internal/resource"
	"reconciler/internal/strict"
)

// neighbourYAML is a permanent neighbour of a link as written.
type neighbourYAML struct {
	strict.Here
	To     strict.V[netip.Addr] `yaml:"to" required:"true"`
	LLAddr strict.V[mac]        `yaml:"lladdr"`
	Proxy  strict.V[bool]       `yaml:"proxy" doc:"Answer for the address; has no lladdr."`
	Absent strict.V[bool]       `yaml:"absent" doc:"Take the entry of a lower layer away."`
}

// fdbYAML is a permanent forwarding entry of a link as written.
type fdbYAML struct {
	strict.Here
	LLAddr strict.V[mac]        `yaml:"lladdr" required:"true"`
	Dst    strict.V[netip.Addr] `yaml:"dst"`
	VLAN   strict.V[uint16]     `yaml:"vlan" min:"1" max:"4094"`
	Absent strict.V[bool]       `yaml:"absent" doc:"Take the entry of a lower layer away."`
}

func (b *builder) neighbour(link string, y *linkYAML, n *neighbourYAML) {
	to, ok := n.To.Get()
	if !ok {
		return
	}
	switch {
	case !n.LLAddr.Given() && !n.Proxy.Val:
		b.fault(n.At(), "missing-key", "lladdr is missing").Hinted("or give proxy: true")
	case n.LLAddr.Given() && n.Proxy.Val:
		b.fault(n.LLAddr.At(), "proxy", "a proxy entry has no lladdr")
	}
	b.add(resource.Neighbour{
		Link: link, To: to, LLAddr: resource.MAC(n.LLAddr.Val), Proxy: n.Proxy.Val,
		Protocol: resource.Protocol, Adopt: y.Adopt.Val,
	}, n.At())
}
