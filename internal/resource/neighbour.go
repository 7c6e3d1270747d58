package resource

import "net/netip"

// KindNeighbour is a permanent entry of a link's neighbour table.
const KindNeighbour Kind = "neighbour"

// Neighbour is a permanent entry: an address and the MAC it is reached by, or
// a proxy entry without one.
type Neighbour struct {
	Link     string     `json:"link"`
	To       netip.Addr `json:"to"`
	LLAddr   MAC        `json:"lladdr,omitzero"`
	Proxy    bool       `json:"proxy,omitempty"`
	Protocol uint8      `json:"protocol,omitempty"`
	Adopt    bool       `json:"adopt,omitempty"`
}

// NeighbourKey identifies a neighbour by address and link.
func NeighbourKey(link string, to netip.Addr) Key {
	return Key{Netlink, KindNeighbour, to.String() + " dev " + link}
}

// Key identifies the neighbour.
func (n Neighbour) Key() Key { return NeighbourKey(n.Link, n.To) }

// Requires its link.
func (n Neighbour) Requires() []Key { return []Key{LinkKey(n.Link)} }

// Parent is its link.
func (n Neighbour) Parent() string { return n.Link }

// Equal compares what the kernel holds.
func (n Neighbour) Equal(o Resource) bool {
	b, ok := o.(Neighbour)
	n.Adopt, b.Adopt = false, false
	return ok && n == b
}

// Inherit keeps the mark of an entry that is not ours.
func (n Neighbour) Inherit(have Resource) Resource {
	h, ok := have.(Neighbour)
	if ok && !n.Adopt {
		n.Protocol = h.Protocol
	}
	return n
}

// Replaces: a proxy and an entry are two tables of the kernel.
func (n Neighbour) Replaces(from Resource) bool {
	h, ok := from.(Neighbour)
	return ok && n.Proxy != h.Proxy
}

// Rename passes the link's name on.
func (n Neighbour) Rename(to func(string) string) Resource {
	n.Link = to(n.Link)
	return n
}

// Fields lists the attributes that are set.
func (n Neighbour) Fields() []Field {
	var f fields
	f.add("lladdr", n.LLAddr.String())
	if n.Proxy {
		f.add("proxy", "true")
	}
	f.add("protocol", number(uint64(n.Protocol)))
	return f
}
