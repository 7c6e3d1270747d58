package desired

import (
	"cmp"
	"net/netip"
	"slices"

	"reconciler/internal/resource"
	"reconciler/internal/strict"
)

// addressYAML is an address of a link as written.
type addressYAML struct {
	strict.Here
	Address strict.V[netip.Prefix] `yaml:"address" required:"true" short:"true" doc:"With prefix length, host bits kept: 192.0.2.1/24."`
	Peer    strict.V[netip.Addr]   `yaml:"peer" doc:"The other end of a point-to-point link; the length of address is then that of the peer's network."`
	Scope   strict.V[string]       `yaml:"scope" enum:"global,site,link,host,nowhere"`
	NoDAD   strict.V[bool]         `yaml:"nodad" doc:"Use the address at once, without duplicate detection."`
	Absent  strict.V[bool]         `yaml:"absent" doc:"Take the entry of a lower layer away."`
}

func (b *builder) address(link string, y *linkYAML, a *addressYAML) {
	p, ok := a.Address.Get()
	if !ok {
		return
	}
	if problem := unusable(p.Addr()); problem != nil {
		b.report.At(a.Address.At(), problem)
		return
	}
	if problem := badPeer(p, a.Peer); problem != nil {
		b.report.At(a.Peer.At(), problem)
		return
	}
	b.add(resource.Address{
		Link: link, Prefix: p, Peer: a.Peer.Val, Scope: resource.Scope(a.Scope.Val), NoDAD: a.NoDAD.Val,
		Protocol: resource.Protocol, Adopt: y.Adopt.Val,
	}, a.At())
}

// badPeer tells what is wrong with the peer of an address.
func badPeer(p netip.Prefix, peer strict.V[netip.Addr]) *strict.Problem {
	a, ok := peer.Get()
	switch {
	case !ok:
		return nil
	case a.Is4() != p.Addr().Is4():
		return strict.Problemf("family", "%s is %s, its address %s is %s", a, resource.FamilyOf(a), p, resource.FamilyOf(p.Addr()))
	case a == p.Addr():
		return strict.Problemf("bad-peer", "%s is the address itself", a).Hinted("leave peer away, or name the other end")
	}
	return unusable(a)
}

// scopes warns of IPv4 addresses of one network on one link that differ in
// scope: all but the first are its secondaries to the kernel, which refuses
// those of another scope.
func (b *builder) scopes(y *linkYAML) {
	first := make(map[netip.Prefix]*addressYAML)
	for i := range y.Addresses {
		a := &y.Addresses[i]
		p, ok := a.Address.Get()
		if !ok || !p.Addr().Is4() {
			continue
		}
		network := resource.Address{Prefix: p, Peer: a.Peer.Val}.Network()
		other := first[network]
		switch {
		case other == nil:
			first[network] = a
		case other.scope() != a.scope():
			b.report.Warn(a.Address.At(), strict.Problemf("scope-mismatch", "%s has scope %s, and %s of the same network has scope %s: the kernel refuses the later one",
				p, a.scope(), other.Address.Val, other.scope()).Hinted("give both one scope, or write %s/32", p.Addr()))
		}
	}
}

// scope is what the kernel takes an address for.
func (a *addressYAML) scope() string {
	if a.Address.Val.Addr().IsLoopback() {
		return a.Scope.Or("host")
	}
	return a.Scope.Or("global")
}

// unusable reports addresses that no link can have.
func unusable(a netip.Addr) *strict.Problem {
	switch {
	case a.IsUnspecified():
		return strict.Problemf("bad-address", "%s is no address of a link", a).
			Hinted("write one of the host with its length, as 192.0.2.1/24")
	case a.IsMulticast():
		return strict.Problemf("bad-address", "%s is a multicast address", a).
			Hinted("programs join groups; a link has none of its own")
	}
	return nil
}

// declaredAddress is an address of the whole namespace.
type declaredAddress struct {
	link   string
	prefix netip.Prefix
	at     *strict.Value
}

// addressesOverall compares the addresses of all links: one address on two of
// them is a fault, overlapping prefixes are a warning. Link-local addresses
// are told apart by their link, those of point-to-point links by their peer.
func (b *builder) addressesOverall() {
	var all []declaredAddress
	first := make(map[netip.Addr]declaredAddress)
	for i := range b.doc.Interfaces {
		e := &b.doc.Interfaces[i]
		for _, a := range e.Val.Addresses {
			p, ok := a.Address.Get()
			if !ok || a.Peer.Given() || p.Addr().IsLinkLocalUnicast() || unusable(p.Addr()) != nil {
				continue
			}
			d := declaredAddress{e.Name, p, a.Address.At()}
			if other, had := first[p.Addr()]; had && other.link != e.Name {
				b.fault(d.at, "same-address", "%s is also on %s, at %s", p.Addr(), other.link, other.at.Pos).
					Hinted("keep it on one of them, or give each its peer on point-to-point links")
				continue
			}
			first[p.Addr()] = d
			all = append(all, d)
		}
	}
	b.onLinks = first
	b.overlaps(all)
}

// overlaps warns of prefixes on different links that lie within each other.
// Sorted by their first address and length, a prefix is followed by all that
// lie within it. Addresses for themselves alone are no concern.
func (b *builder) overlaps(all []declaredAddress) {
	all = slices.DeleteFunc(all, func(d declaredAddress) bool { return d.prefix.IsSingleIP() })
	slices.SortStableFunc(all, func(x, y declaredAddress) int {
		a, b := x.prefix.Masked(), y.prefix.Masked()
		return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
	})
	var open []declaredAddress // each within the one before
	for _, d := range all {
		for len(open) > 0 && !open[len(open)-1].prefix.Overlaps(d.prefix) {
			open = open[:len(open)-1]
		}
		for _, o := range open {
			if o.link != d.link {
				b.report.Warn(d.at, strict.Problemf("overlap", "%s overlaps %s on %s, at %s", d.prefix, o.prefix, o.link, o.at.Pos))
				break
			}
		}
		if n := len(open); n == 0 || open[n-1].link != d.link || open[n-1].prefix.Masked() != d.prefix.Masked() {
			open = append(open, d)
		}
	}
}
