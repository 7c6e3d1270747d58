package desired

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"reconciler/internal/resource"
	"reconciler/internal/strict"
)

// claim is packets that a VIP is for.
type claim struct {
	prefix netip.Prefix
	port   resource.ServicePort // zero: every packet
	vip    string
	at     *strict.Value
	order  int // in which it was declared
}

// Bounds of all VIPs together, each address and backend as often as VIPs have
// it: what few lines can make of each other.
const (
	maxExpanded = 1 << 20 // addresses
	maxClaims   = 1 << 20 // addresses and prefixes, with their ports
	maxMembers  = 1 << 20 // backends
)

// vipAddresses are the addresses of a VIP, sorted.
func (b *builder) vipAddresses(name string, at strict.Child, y *vipYAML, ports []resource.ServicePort) []netip.Addr {
	blocks := make([]strict.V[block], 0, len(y.Addresses)+1)
	if y.Address.Given() {
		blocks = append(blocks, y.Address)
	}
	for _, a := range y.Addresses {
		blocks = append(blocks, a.Address)
	}
	switch {
	case y.Address.Given() && y.Addresses != nil:
		b.fault(y.Address.At(), "two-ways", "address stands in place of addresses, not beside them")
	case len(blocks) == 0 && y.At().Kind == strict.Mapping:
		b.faultKey(at, "missing-key", "the VIP has no address").Hinted("add address: 192.0.2.1, or addresses")
	}
	var out []netip.Addr
	for _, v := range blocks {
		p, ok := v.Get()
		if !ok || !b.fitsVIPs(netip.Prefix(p), v.At()) {
			continue
		}
		if len(b.lb.claims)+len(ports) > maxClaims {
			b.fault(v.At(), "too-many", "more than %d addresses with their ports in all VIPs together", maxClaims)
			break
		}
		b.claimPackets(netip.Prefix(p), name, ports, v.At())
		b.lb.blocks = append(b.lb.blocks, netip.Prefix(p))
		for a := netip.Prefix(p).Addr(); netip.Prefix(p).Contains(a); a = a.Next() {
			out = append(out, a)
		}
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return out
}

// fitsVIPs reports a prefix that is too large to be each of its addresses.
func (b *builder) fitsVIPs(p netip.Prefix, at *strict.Value) bool {
	bits := p.Addr().BitLen() - p.Bits()
	if bits > 16 || 1<<bits > int(b.lb.sizes.VIPs) {
		b.fault(at, "too-many", "%s has more addresses than the %d of max-vips", p, b.lb.sizes.VIPs).Hinted("each of them takes a place in the dataplane")
		return false
	}
	if b.lb.expanded += 1 << bits; b.lb.expanded > maxExpanded {
		b.fault(at, "too-many", "more than %d addresses in all VIPs together", maxExpanded)
		return false
	}
	return true
}

// claimPackets notes what packets to a prefix a VIP is for.
func (b *builder) claimPackets(p netip.Prefix, name string, ports []resource.ServicePort, at *strict.Value) {
	for _, port := range ports {
		b.lb.claims = append(b.lb.claims, claim{prefix: p, port: port, vip: name, at: at, order: len(b.lb.claims)})
	}
}

// claimsOverall reports packets that two VIPs are for. Of prefixes, one lies
// within the other or they have nothing in common, so sorted by their first
// address and length one is followed by all that lie within it.
func (b *builder) claimsOverall() {
	all := b.lb.claims
	slices.SortStableFunc(all, func(x, y claim) int {
		return cmp.Or(strings.Compare(x.port.Protocol, y.port.Protocol), cmp.Compare(x.port.Number, y.port.Number),
			x.prefix.Addr().Compare(y.prefix.Addr()), cmp.Compare(x.prefix.Bits(), y.prefix.Bits()))
	})
	var open []claim // each within the one before
	for _, c := range all {
		for len(open) > 0 && (open[len(open)-1].port != c.port || !open[len(open)-1].prefix.Overlaps(c.prefix)) {
			open = open[:len(open)-1]
		}
		if n := len(open); n > 0 {
			b.twoClaims(open[n-1], c)
		}
		open = append(open, c)
	}
}

// twoClaims reports the later one of two claims to the same packets; inner lies
// within outer.
func (b *builder) twoClaims(outer, inner claim) {
	packets := "every packet"
	if inner.port != (resource.ServicePort{}) {
		packets = inner.port.String()
	}
	what := inner.prefix.String()
	if inner.prefix.IsSingleIP() {
		what = inner.prefix.Addr().String()
	}
	former, later := outer, inner
	if inner.order < outer.order {
		former, later = inner, outer
	}
	if former.vip == later.vip {
		b.fault(later.at, "same-address", "%s is in the list already, at %s", what, column(former.at.Pos))
		return
	}
	b.fault(later.at, "claimed-twice", "%s to %s is also for vip %s, at %s", packets, what, former.vip, former.at.Pos).
		Hinted("give one of them other ports or addresses")
}

// distinct counts the addresses of blocks, each once.
func distinct(blocks []netip.Prefix) int {
	slices.SortFunc(blocks, func(x, y netip.Prefix) int {
		return cmp.Or(x.Addr().Compare(y.Addr()), cmp.Compare(x.Bits(), y.Bits()))
	})
	n := 0
	var last netip.Prefix
	for _, p := range blocks {
		if !last.IsValid() || !last.Overlaps(p) {
			n += 1 << (p.Addr().BitLen() - p.Bits())
			last = p
		}
	}
	return n
}
