package resource

import (
	"net/netip"
	"slices"
)

// KindAddress is an IP address on a link.
const KindAddress Kind = "address"

// AddressKey identifies an address by prefix and link.
func AddressKey(link string, p netip.Prefix) Key {
	return Key{Netlink, KindAddress, p.String() + " dev " + link}
}

// Address is an address with its prefix length on a link.
type Address struct {
	Link   string       `json:"link"`
	Prefix netip.Prefix `json:"prefix"` // host bits kept: 192.0.2.1/24
	// Peer is the other end of a point-to-point link. The length of the prefix
	// is then that of the peer's network.
	Peer     netip.Addr `json:"peer,omitzero"`
	Scope    Scope      `json:"scope,omitempty"`
	Protocol uint8      `json:"protocol,omitempty"` // IFA_PROTO: Protocol on ours
	NoDAD    bool       `json:"nodad,omitempty"`    // set at creation, not compared
	Adopt    bool       `json:"adopt,omitempty"`

	// Expires tells that the kernel removes it, or stops using it, after a while.
	Expires bool `json:"expires,omitempty"`
	// Other is the text of what the kernel's address has beyond all this: it is
	// set by whoever made it, and not compared.
	Other     string `json:"other,omitempty"`
	Secondary bool   `json:"secondary,omitempty"` // the kernel's word: goes with its primary
}

// Scope is an rtnetlink scope by its name in iproute2: global, site, link,
// host or nowhere. Empty is unset, which the kernel makes global for most.
type Scope string

// Key identifies the address.
func (a Address) Key() Key { return AddressKey(a.Link, a.Prefix) }

// Network is the subnet that the kernel makes reachable by the address: the
// peer's where it has one.
func (a Address) Network() netip.Prefix {
	if a.Peer.IsValid() {
		return netip.PrefixFrom(a.Peer, a.Prefix.Bits()).Masked()
	}
	return a.Prefix.Masked()
}

// Requires its link.
func (a Address) Requires() []Key { return []Key{LinkKey(a.Link)} }

// Parent is its link.
func (a Address) Parent() string { return a.Link }

// Equal compares what the kernel holds.
func (a Address) Equal(o Resource) bool {
	b, ok := o.(Address)
	return ok && a.Link == b.Link && a.Prefix == b.Prefix && a.Peer == b.Peer && a.Scope == b.Scope &&
		a.Expires == b.Expires && a.Protocol == b.Protocol
}

// Inherit fills scope, and the mark of an address that is not ours. To have no
// peer is a demand, for it moves the network, and so is to stay for good.
func (a Address) Inherit(have Resource) Resource {
	h, ok := have.(Address)
	if !ok {
		return a
	}
	a.Scope = orZero(a.Scope, h.Scope)
	if !a.Adopt {
		a.Protocol = h.Protocol
	}
	a.Secondary, a.Other = h.Secondary, h.Other
	return a
}

// Replaces: scope and peer of an address are set when it is added; the kernel
// ignores others in a replace.
func (a Address) Replaces(from Resource) bool {
	h, ok := from.(Address)
	return ok && (a.Scope != h.Scope || a.Peer != h.Peer)
}

// Disturbs lists what goes with an IPv4 address: the secondaries of its subnet
// (unless promote_secondaries), the main table's routes that have it as their
// source (the kernel, fib_sync_down_addr, looks at no other), and with the last
// IPv4 address of a link its IPv4 neighbours and the IPv4 routes that have no
// other way.
func (a Address) Disturbs(to Resource, have View) []Key {
	if next, ok := to.(Address); ok && !next.Replaces(a) {
		return nil
	}
	gone := a.secondaries(have)
	last := a.Prefix.Addr().Is4() && a.isLast(have, gone)
	for k, o := range have.On(a.Link) {
		switch r := o.Resource.(type) {
		case Route:
			if r.Protocol != protoKernel && last && r.To.Addr().Is4() && !r.hasWayBeside([]string{a.Link}, have) {
				gone = append(gone, k)
			}
		case Neighbour:
			if last && r.To.Is4() {
				gone = append(gone, k)
			}
		}
	}
	return append(gone, a.sourced(have)...)
}

// sourced lists the routes that go with the address they have as their source.
func (a Address) sourced(have View) []Key {
	if !a.Prefix.Addr().Is4() {
		return nil
	}
	var keys []Key
	for k, o := range have.From(a.Prefix.Addr()) {
		if r, ok := o.Resource.(Route); ok && r.Table == MainTable && r.Protocol != protoKernel {
			keys = append(keys, k)
		}
	}
	return keys
}

// secondaries lists the addresses that go with a primary one.
func (a Address) secondaries(have View) []Key {
	if a.Secondary || !a.Prefix.Addr().Is4() || promotes(a.Link, have) {
		return nil
	}
	var keys []Key
	for _, o := range have.On(a.Link) {
		if b, ok := o.Resource.(Address); ok && b.Secondary && a.Network() == b.Network() {
			keys = append(keys, b.Key())
		}
	}
	return keys
}

// isLast reports whether no IPv4 address stays on the link.
func (a Address) isLast(have View, gone []Key) bool {
	for _, o := range have.On(a.Link) {
		b, ok := o.Resource.(Address)
		if ok && b.Prefix.Addr().Is4() && b.Prefix != a.Prefix && !slices.Contains(gone, b.Key()) {
			return false
		}
	}
	return true
}

const protoKernel = 2 // RTPROT_KERNEL

func promotes(link string, have View) bool {
	o, _ := have.Get(LinkKey(link))
	l, _ := o.Resource.(Link)
	return l.Seen.PromoteSecondaries
}

// Rename passes the link's name on.
func (a Address) Rename(to func(string) string) Resource {
	a.Link = to(a.Link)
	return a
}

// Fields lists the attributes that are set.
func (a Address) Fields() []Field {
	var f fields
	f.add("peer", addrText(a.Peer))
	f.add("scope", string(a.Scope))
	if a.Expires {
		f.add("expires", "true")
	}
	f.add("protocol", number(uint64(a.Protocol)))
	return f
}

func isIPv6(r Resource) bool {
	switch r := r.(type) {
	case Address:
		return r.Prefix.Addr().Is6()
	case Route:
		return r.To.Addr().Is6()
	case Neighbour:
		return r.To.Is6()
	}
	return false
}
