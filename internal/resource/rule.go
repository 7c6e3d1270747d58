package resource

import (
	"fmt"
	"net/netip"
	"strconv"
)

// KindRule is a routing policy rule.
const KindRule Kind = "rule"

// Family is an address family.
type Family string

// Families; empty is unset.
const (
	IPv4 Family = "ipv4"
	IPv6 Family = "ipv6"
)

// FamilyOf is the family of an address.
func FamilyOf(a netip.Addr) Family {
	if a.Is4() {
		return IPv4
	}
	return IPv6
}

// RuleAction is what a rule does with a packet.
type RuleAction string

// Rule actions; the empty one, when wanted, is lookup.
const (
	Lookup          RuleAction = "lookup"
	GotoRule        RuleAction = "goto"
	BlackholeRule   RuleAction = "blackhole"
	UnreachableRule RuleAction = "unreachable"
	ProhibitRule    RuleAction = "prohibit"
)

// PortRange is a range of ports, both ends included. Zero is unset.
type PortRange struct {
	First uint16 `json:"first,omitempty"`
	Last  uint16 `json:"last,omitempty"`
}

func (p PortRange) String() string {
	switch {
	case p == PortRange{}:
		return ""
	case p.First == p.Last:
		return strconv.Itoa(int(p.First))
	}
	return fmt.Sprintf("%d-%d", p.First, p.Last)
}

// Rule is identified by family and priority.
type Rule struct {
	Family   Family       `json:"family"`
	Priority uint32       `json:"priority"`
	Not      bool         `json:"not,omitempty"`
	From     netip.Prefix `json:"from,omitzero"`
	To       netip.Prefix `json:"to,omitzero"`
	FwMark   uint32       `json:"fwmark,omitempty"`
	FwMask   uint32       `json:"fwmask,omitempty"`
	IIF      string       `json:"iif,omitempty"`
	OIF      string       `json:"oif,omitempty"`
	TOS      uint8        `json:"tos,omitempty"`
	IPProto  uint8        `json:"ipproto,omitempty"`
	SPort    PortRange    `json:"sport,omitzero"`
	DPort    PortRange    `json:"dport,omitzero"`
	Action   RuleAction   `json:"action,omitempty"`
	Table    uint32       `json:"table,omitempty"`
	Goto     uint32       `json:"goto,omitempty"` // a priority
	// SuppressPrefixLen ignores routes of the table with a prefix this short or shorter.
	SuppressPrefixLen Opt[uint32] `json:"suppress-prefixlength,omitzero"`
	// Other is the text of what the kernel's rule has beyond all this. No
	// wanted rule has any.
	Other string `json:"other,omitempty"`
	// Twin counts, from 2, the further rules that the kernel has of one family
	// and priority. No wanted rule is one.
	Twin     uint32 `json:"twin,omitempty"`
	Protocol uint8  `json:"protocol,omitempty"`
	Adopt    bool   `json:"adopt,omitempty"`
}

// RuleKey identifies a rule.
func RuleKey(f Family, priority uint32) Key {
	return Key{Netlink, KindRule, string(f) + " " + strconv.FormatUint(uint64(priority), 10)}
}

// Key identifies the rule.
func (r Rule) Key() Key {
	k := RuleKey(r.Family, r.Priority)
	if r.Twin != 0 {
		k.Name += " #" + strconv.FormatUint(uint64(r.Twin), 10)
	}
	return k
}

// Requires nothing: a rule may name a link that is not there.
func (r Rule) Requires() []Key { return nil }

// Equal compares what the kernel holds.
func (r Rule) Equal(o Resource) bool {
	b, ok := o.(Rule)
	if !ok {
		return false
	}
	r.Adopt, b.Adopt = false, false
	return r == b
}

// Inherit keeps the mark of a rule that is not ours. All else is the rule's
// identity to a reader, so that what YAML does not say is not matched on.
func (r Rule) Inherit(have Resource) Resource {
	h, ok := have.(Rule)
	if ok && !r.Adopt {
		r.Protocol = h.Protocol
	}
	return r
}

// Replaces: a rule cannot be changed; the new one is added first.
func (r Rule) Replaces(from Resource) bool { return !r.Equal(from) }

// Rename passes the names of the links on.
func (r Rule) Rename(to func(string) string) Resource {
	if r.IIF != "" {
		r.IIF = to(r.IIF)
	}
	if r.OIF != "" {
		r.OIF = to(r.OIF)
	}
	return r
}

// Fields lists the attributes that are set.
func (r Rule) Fields() []Field {
	var f fields
	if r.Not {
		f.add("not", "true")
	}
	f.add("from", prefixText(r.From))
	f.add("to", prefixText(r.To))
	if r.FwMark != 0 || r.FwMask != 0 {
		f.add("fwmark", fmt.Sprintf("%#x/%#x", r.FwMark, r.FwMask))
	}
	f.add("iif", r.IIF)
	f.add("oif", r.OIF)
	f.add("tos", number(uint64(r.TOS)))
	f.add("ipproto", number(uint64(r.IPProto)))
	f.add("sport", r.SPort.String())
	f.add("dport", r.DPort.String())
	if r.Action != Lookup {
		f.add("action", string(r.Action))
	}
	f.add("table", number(uint64(r.Table)))
	f.add("goto", number(uint64(r.Goto)))
	addOpt(&f, "suppress-prefixlength", r.SuppressPrefixLen)
	f.add("other", r.Other)
	f.add("protocol", number(uint64(r.Protocol)))
	return f
}

func prefixText(p netip.Prefix) string {
	if !p.IsValid() {
		return ""
	}
	return p.String()
}
