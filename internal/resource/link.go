package resource

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// KindLink is an interface: an existing one, or one that is made.
const KindLink Kind = "link"

// LinkKey is the key of a link by the kernel's name.
func LinkKey(name string) Key { return Key{Netlink, KindLink, name} }

// LinkType is the kernel's name of a kind of link (IFLA_INFO_KIND); empty for
// one that has none (hardware, loopback) or, when wanted, for any.
type LinkType string

// The kinds of link that the netlink driver makes.
const (
	Bridge  LinkType = "bridge"
	Dummy   LinkType = "dummy"
	MACVLAN LinkType = "macvlan"
	Veth    LinkType = "veth"
	VLAN    LinkType = "vlan"
	VXLAN   LinkType = "vxlan"
)

// Admin is the administrative state of a link.
type Admin string

// Administrative states; empty is unset.
const (
	Up   Admin = "up"
	Down Admin = "down"
)

// Match selects an existing link. Every part that is set must hold.
type Match struct {
	Name   string `json:"name,omitempty"` // a glob on the kernel's name or an alternative name
	MAC    MAC    `json:"mac,omitzero"`
	Driver string `json:"driver,omitempty"` // as ethtool -i prints it
	PCI    string `json:"pci,omitempty"`    // the bus address, 0000:00:03.0
}

// IsZero reports that nothing is selected.
func (m Match) IsZero() bool { return m == Match{} }

// LinkPolicy says how a link is treated; it is not compared.
type LinkPolicy struct {
	Optional bool   `json:"optional,omitempty"` // required: false
	Protect  bool   `json:"protect,omitempty"`
	Adopt    bool   `json:"adopt,omitempty"`
	Exact    []Kind `json:"exact,omitempty"` // lists from which what is not declared is removed
}

// VXLANAttr are the attributes of a vxlan link. ID, Local, Remote, Port and
// Parent are set at creation only.
type VXLANAttr struct {
	ID       uint32     `json:"id,omitempty"` // 1 to 16777215
	Local    netip.Addr `json:"local,omitzero"`
	Remote   netip.Addr `json:"remote,omitzero"`
	Port     uint16     `json:"port,omitempty"`
	Learning Opt[bool]  `json:"learning,omitzero"`
	TTL      Opt[uint8] `json:"ttl,omitzero"`
}

// VLANAttr are the attributes of a vlan link, set at creation only.
type VLANAttr struct {
	ID       uint16 `json:"id,omitempty"`       // 1 to 4094
	Protocol string `json:"protocol,omitempty"` // 802.1q or 802.1ad
}

// BridgeAttr are the attributes of a bridge. Times are in hundredths of a
// second (USER_HZ), as the kernel keeps them.
type BridgeAttr struct {
	VLANFiltering     Opt[bool]   `json:"vlan-filtering,omitzero"`
	STP               Opt[bool]   `json:"stp,omitzero"`
	ForwardDelay      Opt[uint32] `json:"forward-delay,omitzero"`
	HelloTime         Opt[uint32] `json:"hello-time,omitzero"`
	MaxAge            Opt[uint32] `json:"max-age,omitzero"`
	AgeingTime        Opt[uint32] `json:"ageing-time,omitzero"`
	Priority          Opt[uint16] `json:"priority,omitzero"`
	MulticastSnooping Opt[bool]   `json:"multicast-snooping,omitzero"`
}

// Link is an interface. A wanted link without a Type is one that exists
// already, or the other end of a veth pair.
type Link struct {
	Name   string     `json:"name"`            // the kernel's, once bound
	Label  string     `json:"label,omitempty"` // the name in YAML, where it differs
	Match  Match      `json:"match,omitzero"`
	Policy LinkPolicy `json:"policy,omitzero"`

	Type        LinkType    `json:"type,omitempty"`
	Group       uint32      `json:"group,omitempty"` // LinkGroup on ours
	MTU         uint32      `json:"mtu,omitempty"`   // bytes
	MAC         MAC         `json:"mac,omitzero"`
	State       Admin       `json:"state,omitempty"`
	Description Opt[string] `json:"description,omitzero"` // ifalias
	TxQueueLen  Opt[uint32] `json:"txqueuelen,omitzero"`  // packets

	Below  string     `json:"below,omitempty"` // the lower link of a macvlan, vlan or vxlan
	Peer   string     `json:"peer,omitempty"`  // the other end of a veth pair; empty when in another namespace
	Far    bool       `json:"far,omitempty"`   // made by its peer; not compared
	Mode   string     `json:"mode,omitempty"`  // macvlan: private, vepa, bridge, passthru, source
	VXLAN  VXLANAttr  `json:"vxlan,omitzero"`
	VLAN   VLANAttr   `json:"vlan,omitzero"`
	Bridge BridgeAttr `json:"bridge,omitzero"`

	// Kept tells which attributes YAML leaves alone: a link that is made again
	// need not have them. It is not compared.
	Kept Kept `json:"-"`
	Seen Seen `json:"seen,omitzero"`
}

// Kept names attributes that a link took over from the one that exists.
type Kept struct{ MTU, MAC, TxQueueLen bool }

// Anew returns the link as it is made where it must be made again: without
// what was only taken over, which the kernel chose to suit what stood there.
func (l Link) Anew() Link {
	if l.Kept.MTU {
		l.MTU = 0
	}
	if l.Kept.MAC {
		l.MAC = MAC{}
	}
	if l.Kept.TxQueueLen {
		l.TxQueueLen = Opt[uint32]{}
	}
	return l
}

// Seen is what only the kernel knows of a link; it is not compared. It feeds
// bind and the prediction of side effects.
type Seen struct {
	Index              int32    `json:"index,omitempty"`
	AltNames           []string `json:"alt-names,omitempty"`
	PermanentMAC       MAC      `json:"permanent-mac,omitzero"`
	Driver             string   `json:"driver,omitempty"` // read only where a Match asks for it, as PCI
	PCI                string   `json:"pci,omitempty"`    // the bus address, of whatever bus
	Master             string   `json:"master,omitempty"`
	Loopback           bool     `json:"loopback,omitempty"`
	Running            bool     `json:"running,omitempty"` // IFF_LOWER_UP
	KeepAddrOnDown     bool     `json:"keep-addr-on-down,omitempty"`
	PromoteSecondaries bool     `json:"promote-secondaries,omitempty"`
	LooseBinding       bool     `json:"loose-binding,omitempty"` // a vlan whose state is not its lower link's
}

// Key identifies a link by its name.
func (l Link) Key() Key { return LinkKey(l.Name) }

// Requires lists the lower link, and the peer that makes the far end of a
// pair.
func (l Link) Requires() []Key {
	switch {
	case l.Far && l.Peer != "":
		return []Key{LinkKey(l.Peer)}
	case l.Below != "":
		return []Key{LinkKey(l.Below)}
	}
	return nil
}

// Parent is the lower link of a stacked one.
func (l Link) Parent() string { return l.Below }

// Equal compares what the kernel holds.
func (l Link) Equal(o Resource) bool {
	m, ok := o.(Link)
	return ok && l.Name == m.Name && l.Type == m.Type && l.Group == m.Group && l.MTU == m.MTU && l.MAC == m.MAC &&
		l.State == m.State && l.Description == m.Description && l.TxQueueLen == m.TxQueueLen &&
		l.Below == m.Below && l.Peer == m.Peer && l.Mode == m.Mode &&
		l.VXLAN == m.VXLAN && l.VLAN == m.VLAN && l.Bridge == m.Bridge
}

// Inherit fills what YAML does not say. A link that is not ours keeps its
// group unless it is adopted.
func (l Link) Inherit(have Resource) Resource {
	h, ok := have.(Link)
	if !ok {
		return l
	}
	if l.Type == "" {
		l.Type, l.Below, l.Peer, l.Mode = h.Type, h.Below, h.Peer, h.Mode
		l.VXLAN, l.VLAN, l.Bridge = h.VXLAN, h.VLAN, h.Bridge
		if !l.Policy.Adopt {
			l.Group = h.Group
		}
	}
	if h.Group != LinkGroup && h.Group != DoomedGroup && !l.Policy.Adopt {
		l.Group = h.Group
	}
	l.Kept = Kept{MTU: l.MTU == 0, MAC: l.MAC == MAC{}, TxQueueLen: !l.TxQueueLen.IsSet()}
	l.MTU = orZero(l.MTU, h.MTU)
	l.MAC = orZero(l.MAC, h.MAC)
	l.State = orZero(l.State, h.State)
	l.Description = l.Description.Else(h.Description)
	l.TxQueueLen = l.TxQueueLen.Else(h.TxQueueLen)
	if l.Type == h.Type {
		l.inheritType(h)
	}
	l.Seen = h.Seen
	return l
}

func (l *Link) inheritType(h Link) {
	l.Below = orZero(l.Below, h.Below)
	if h.Type == Veth && h.Peer == "" {
		l.Peer = "" // moved to another namespace, which is no difference
	}
	l.Peer = orZero(l.Peer, h.Peer)
	l.Mode = orZero(l.Mode, h.Mode)
	l.VXLAN = VXLANAttr{
		ID: orZero(l.VXLAN.ID, h.VXLAN.ID), Local: orZero(l.VXLAN.Local, h.VXLAN.Local),
		Remote: orZero(l.VXLAN.Remote, h.VXLAN.Remote), Port: orZero(l.VXLAN.Port, h.VXLAN.Port),
		Learning: l.VXLAN.Learning.Else(h.VXLAN.Learning), TTL: l.VXLAN.TTL.Else(h.VXLAN.TTL),
	}
	l.VLAN = VLANAttr{ID: orZero(l.VLAN.ID, h.VLAN.ID), Protocol: orZero(l.VLAN.Protocol, h.VLAN.Protocol)}
	b, hb := &l.Bridge, h.Bridge
	l.Bridge = BridgeAttr{
		VLANFiltering: b.VLANFiltering.Else(hb.VLANFiltering), STP: b.STP.Else(hb.STP),
		ForwardDelay: b.ForwardDelay.Else(hb.ForwardDelay), HelloTime: b.HelloTime.Else(hb.HelloTime),
		MaxAge: b.MaxAge.Else(hb.MaxAge), AgeingTime: b.AgeingTime.Else(hb.AgeingTime),
		Priority: b.Priority.Else(hb.Priority), MulticastSnooping: b.MulticastSnooping.Else(hb.MulticastSnooping),
	}
}

// orZero returns v where it is set, else other.
func orZero[T comparable](v, other T) T {
	var zero T
	if v != zero {
		return v
	}
	return other
}

// Replaces reports a difference that the kernel takes only at creation (a
// changed vlan id is even ignored with success).
func (l Link) Replaces(from Resource) bool {
	h, ok := from.(Link)
	if !ok {
		return false
	}
	a, b := l.VXLAN, h.VXLAN
	a.Learning, b.Learning, a.TTL, b.TTL = Opt[bool]{}, Opt[bool]{}, Opt[uint8]{}, Opt[uint8]{}
	return l.Type != h.Type || l.Below != h.Below || l.Peer != h.Peer || a != b || l.VLAN != h.VLAN ||
		(l.Mode != h.Mode && (l.Mode == "passthru" || h.Mode == "passthru"))
}

// Rename passes the names of the link, of its lower link and of its peer on.
func (l Link) Rename(to func(string) string) Resource {
	if name := to(l.Name); name != l.Name {
		l.Label, l.Name = l.Name, name
	}
	if l.Below != "" {
		l.Below = to(l.Below)
	}
	if l.Peer != "" {
		l.Peer = to(l.Peer)
	}
	return l
}

// Fields lists the attributes that are set.
func (l Link) Fields() []Field {
	var f fields
	f.add("kind", string(l.Type))
	f.add("parent", l.Below)
	f.add("peer", l.Peer)
	f.add("mode", l.Mode)
	f.add("mtu", number(uint64(l.MTU)))
	f.add("mac", l.MAC.String())
	f.add("state", string(l.State))
	if d, ok := l.Description.Get(); ok && d != "" {
		f.add("description", strconv.Quote(d))
	}
	if q, ok := l.TxQueueLen.Get(); ok {
		f.add("txqueuelen", strconv.FormatUint(uint64(q), 10))
	}
	if l.Group != 0 {
		f.add("group", strconv.FormatUint(uint64(l.Group), 10))
	}
	l.VXLAN.fields(&f)
	if l.VLAN.ID != 0 {
		f.add("vlan-id", number(uint64(l.VLAN.ID)))
		f.add("vlan-protocol", l.VLAN.Protocol)
	}
	l.Bridge.fields(&f)
	return f
}

func (v VXLANAttr) fields(f *fields) {
	f.add("vxlan-id", number(uint64(v.ID)))
	f.add("local", addrText(v.Local))
	f.add("remote", addrText(v.Remote))
	f.add("port", number(uint64(v.Port)))
	addOpt(f, "learning", v.Learning)
	addOpt(f, "ttl", v.TTL)
}

func (b BridgeAttr) fields(f *fields) {
	addOpt(f, "vlan-filtering", b.VLANFiltering)
	addOpt(f, "stp", b.STP)
	addOpt(f, "forward-delay", b.ForwardDelay)
	addOpt(f, "hello-time", b.HelloTime)
	addOpt(f, "max-age", b.MaxAge)
	addOpt(f, "ageing-time", b.AgeingTime)
	addOpt(f, "priority", b.Priority)
	addOpt(f, "multicast-snooping", b.MulticastSnooping)
}

func addOpt[T comparable](f *fields, name string, o Opt[T]) {
	if v, ok := o.Get(); ok {
		f.add(name, fmt.Sprint(v))
	}
}

func number(v uint64) string {
	if v == 0 {
		return ""
	}
	return strconv.FormatUint(v, 10)
}

func addrText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// ParseMAC reads six pairs of hex digits separated by colons or dashes; an
// empty text is the unset address.
func ParseMAC(s string) (MAC, error) {
	var m MAC
	if s == "" {
		return m, nil
	}
	parts := strings.FieldsFunc(s, func(r rune) bool { return r == ':' || r == '-' })
	if len(s) != 17 || len(parts) != len(m) {
		return MAC{}, fmt.Errorf("read MAC address %q: want six pairs of hex digits, 02:00:00:00:00:01", s)
	}
	for i, p := range parts {
		v, err := strconv.ParseUint(p, 16, 8)
		if err != nil || len(p) != 2 {
			return MAC{}, fmt.Errorf("read MAC address %q: %q is no pair of hex digits", s, p)
		}
		m[i] = byte(v)
	}
	return m, nil
}
