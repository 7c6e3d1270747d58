package desired

import (
	"path"
	"slices"

	"reconciler/internal/strict"
)

// maxLinkName is IFNAMSIZ less the final zero.
const maxLinkName = 15

// checkLink reports what is wrong with an interface in itself.
func (b *builder) checkLink(name string, y *linkYAML) {
	at := b.linkAt[name]
	switch {
	case y.Match == nil && len(name) > maxLinkName:
		b.report.AtKey(at, strict.Problemf("bad-name", "%q has %d bytes, the name of an interface at most %d", name, len(name), maxLinkName))
	case name == "lo" && y.Kind.Given():
		b.fault(y.Kind.At(), "bad-name", "lo is the kernel's loopback, and is not made")
	case name == "all" || name == "default":
		b.report.AtKey(at, strict.Problemf("bad-name", "%q stands for every interface in sysctls, so none can be called so", name))
	}
	if y.MAC.Ok() && y.MAC.Val[0]&1 != 0 {
		b.fault(y.MAC.At(), "bad-mac", "a multicast address cannot be an interface's own").Hinted("the first byte must be even: 02:…")
	}
	b.checkMatch(y)
	b.checkKind(y)
	b.checkParent(y)
	if y.MTU.Ok() && y.MTU.Val < minIPv6MTU {
		b.checkSmallMTU(name, y)
	}
}

const minIPv6MTU = 1280 // RFC 8200, section 5

func (b *builder) checkSmallMTU(name string, y *linkYAML) {
	for _, a := range y.Addresses {
		if a.Address.Ok() && a.Address.Val.Addr().Is6() {
			b.fault(y.MTU.At(), "mtu-ipv6", "%s has IPv6 addresses, which need an mtu of at least %d", name, minIPv6MTU).
				Hinted("raise it, or leave the IPv6 addresses out")
			return
		}
	}
}

func (b *builder) checkMatch(y *linkYAML) {
	m := y.Match
	if m == nil {
		return
	}
	if m.resource().IsZero() && !m.Name.Given() && !m.MAC.Given() && !m.Driver.Given() && !m.PCI.Given() {
		b.fault(m.At(), "missing-key", "match selects nothing").Hinted("give name, mac, driver or pci")
	}
	if _, err := path.Match(m.Name.Val, ""); err != nil {
		b.fault(m.Name.At(), "bad-glob", "%q is not a glob", m.Name.Val).Hinted("an opened [ needs its ]")
	}
	if y.Kind.Given() {
		b.fault(m.At(), "match-kind", "match is for links that exist, and kind for those that are made").
			Hinted("leave one of them out")
	}
}

// checkKind compares the sections of an interface with its kind.
func (b *builder) checkKind(y *linkYAML) {
	if y.Kind.Given() && !y.Kind.Ok() {
		return
	}
	for _, s := range y.sections(kindSections) {
		switch {
		case !y.Kind.Given():
			b.fault(s.at, "wrong-section", "%s: without kind: %s", s.kind, s.kind).
				Hinted("add kind: %s; an existing link keeps what its kind gave it", s.kind)
		case s.kind != y.Kind.Val:
			b.fault(s.at, "wrong-section", "%s: belongs to kind %s, this is a %s", s.kind, s.kind, y.Kind.Val).
				Hinted("leave it out, or write kind: %s", s.kind)
		}
	}
	if y.Kind.Ok() {
		b.checkRequired(y)
	}
}

// checkRequired reports what a kind cannot be made without.
func (b *builder) checkRequired(y *linkYAML) {
	switch y.Kind.Val {
	case "veth":
		b.need(y, "veth", y.Veth != nil && y.Veth.Peer.Given(), "peer")
	case "vxlan":
		b.need(y, "vxlan", y.VXLAN != nil && y.VXLAN.ID.Given(), "id")
		b.checkEnds(y.VXLAN)
	case "vlan":
		b.need(y, "vlan", y.VLAN != nil && y.VLAN.ID.Given(), "id")
	case "vrf":
		b.need(y, "vrf", y.VRF != nil && y.VRF.Table.Given(), "table")
		if y.VRF != nil {
			b.table(y.VRF.Table, 0)
		}
	case "ipip", "sit":
		for _, t := range []*tunnelYAML{y.IPIP, y.SIT} {
			if t != nil && t.Key.Given() {
				b.fault(t.Key.At(), "wrong-section", "key belongs to gre")
			}
		}
	}
}

func (b *builder) need(y *linkYAML, kind string, given bool, key string) {
	if given {
		return
	}
	at := y.At().Get(kind)
	if at == nil {
		at = y.Kind.At()
	}
	b.fault(at, "missing-key", "kind %s needs %s: {%s: …}", kind, kind, key)
}

func (b *builder) checkEnds(y *vxlanYAML) {
	if y != nil && y.Local.Ok() && y.Remote.Ok() && y.Local.Val.Is4() != y.Remote.Val.Is4() {
		b.fault(y.Remote.At(), "family", "local and remote are of different families")
	}
}

// checkParent: some kinds stand on another link, some may, the rest do not.
func (b *builder) checkParent(y *linkYAML) {
	if y.Kind.Given() && !y.Kind.Ok() {
		return
	}
	must := []string{"macvlan", "vlan"}
	may := []string{"vxlan", "gre", "ipip", "sit"}
	switch {
	case slices.Contains(must, y.Kind.Val):
		if !y.Parent.Given() {
			b.fault(y.Kind.At(), "missing-key", "kind %s needs a parent", y.Kind.Val).
				Hinted("add parent: and the link that it stands on")
		}
	case y.Parent.Given() && !slices.Contains(may, y.Kind.Val):
		b.fault(y.Parent.At(), "wrong-section", "a link of this kind has no parent").
			Hinted("a port of a bridge names its bridge with master")
	}
}
