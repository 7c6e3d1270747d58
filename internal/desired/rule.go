package desired

import (
	"net/netip"

	"reconciler/internal/resource"
	"reconciler/internal/strict"
)

// ruleYAML is a rule as written.
type ruleYAML struct {
	strict.Here
	Priority          strict.V[uint32]     `yaml:"priority" min:"1" required:"true" doc:"The lower is asked first."`
	Family            strict.V[string]     `yaml:"family" enum:"ipv4,ipv6,both" doc:"Default: what from and to say, else both."`
	Not               strict.V[bool]       `yaml:"not" doc:"Match what the selectors do not."`
	From              strict.V[network]    `yaml:"from"`
	To                strict.V[network]    `yaml:"to"`
	FwMark            strict.V[fwMark]     `yaml:"fwmark" doc:"A mark, or mark/mask: 0x10/0xff."`
	IIF               strict.V[linkName]   `yaml:"iif" doc:"Where the packet came in."`
	OIF               strict.V[linkName]   `yaml:"oif" doc:"The link that a local socket is bound to."`
	TOS               strict.V[uint8]      `yaml:"tos" doc:"A multiple of 4."`
	IPProto           strict.V[ipProtocol] `yaml:"ipproto" doc:"tcp, udp, … or a number."`
	SPort             strict.V[portRange]  `yaml:"sport" doc:"A port, or a range: 8000-8999."`
	DPort             strict.V[portRange]  `yaml:"dport" doc:"A port, or a range: 8000-8999."`
	Action            strict.V[string]     `yaml:"action" enum:"lookup,goto,blackhole,unreachable,prohibit" doc:"Default lookup."`
	Table             strict.V[tableRef]   `yaml:"table" doc:"Of lookup."`
	Goto              strict.V[uint32]     `yaml:"goto" min:"1" doc:"The priority of the rule to go on with."`
	SuppressPrefixLen strict.V[uint32]     `yaml:"suppress-prefixlength" max:"128" doc:"Ignore what the table finds with a prefix this short or shorter."`
	Adopt             strict.V[bool]       `yaml:"adopt" doc:"Mark an existing rule as ours."`
	Absent            strict.V[bool]       `yaml:"absent" doc:"Take the entry of a lower layer away."`
}

func (b *builder) rule(y *ruleYAML) {
	b.checkRule(y)
	if !y.Priority.Ok() {
		return
	}
	r := resource.Rule{
		Priority: y.Priority.Val, Not: y.Not.Val, From: selector(y.From), To: selector(y.To),
		FwMark: y.FwMark.Val.mark, FwMask: y.FwMark.Val.mask, IIF: b.dev(y.IIF), OIF: b.dev(y.OIF),
		TOS: y.TOS.Val, IPProto: uint8(y.IPProto.Val), SPort: resource.PortRange(y.SPort.Val), DPort: resource.PortRange(y.DPort.Val),
		Action: resource.RuleAction(y.Action.Or(string(resource.Lookup))), Goto: y.Goto.Val,
		SuppressPrefixLen: opt(y.SuppressPrefixLen), Protocol: resource.Protocol, Adopt: y.Adopt.Val,
	}
	if y.Table.Given() {
		r.Table = b.table(y.Table, resource.MainTable)
	}
	for _, f := range y.families() {
		r.Family = f
		b.add(r, y.At())
	}
}

// selector is the network that a packet must be of. One of length zero selects
// none: the kernel does not even keep it.
func selector(n strict.V[network]) netip.Prefix {
	if n.Val.IsValid() && n.Val.Bits() == 0 {
		return netip.Prefix{}
	}
	return n.Val.Prefix
}

func (y *ruleYAML) families() []resource.Family {
	switch f := ruleFamily(y.At()); f {
	case resource.IPv4, resource.IPv6:
		return []resource.Family{f}
	}
	return []resource.Family{resource.IPv4, resource.IPv6}
}

// The kernel's own rules: local at 0, main and default.
const mainRule, defaultRule = 32766, 32767

func (b *builder) checkRule(y *ruleYAML) {
	if p := y.Priority; p.Ok() && (p.Val == mainRule || p.Val == defaultRule) {
		b.fault(p.At(), "reserved", "priority %d is the kernel's own", p.Val).Hinted("take a lower one")
	}
	b.checkSelectors(y)
	b.checkAction(y)
	b.checkRuleFamily(y, "from", y.From)
	b.checkRuleFamily(y, "to", y.To)
	if y.TOS.Ok() && y.TOS.Val%4 != 0 {
		b.fault(y.TOS.At(), "out-of-range", "tos %d has its two lowest bits set, which are not its own", y.TOS.Val).
			Hinted("write a multiple of 4")
	}
}

func (b *builder) checkSelectors(y *ruleYAML) {
	selective := selects(y.From) || selects(y.To) || y.FwMark.Given() || y.IIF.Given() || y.OIF.Given() ||
		y.TOS.Given() || y.IPProto.Given() || y.SPort.Given() || y.DPort.Given()
	switch {
	case selective:
	case y.Not.Val:
		b.fault(y.Not.At(), "no-selector", "not without a selector matches nothing").Hinted("add from, to, fwmark, iif or oif")
	case !y.SuppressPrefixLen.Given():
		b.report.Warn(y.At(), strict.Problemf("no-selector", "the rule selects every packet").
			Hinted("add from, to, fwmark, iif or oif, if it should not"))
	}
}

// selects also where it is at fault itself, which is told elsewhere.
func selects(n strict.V[network]) bool {
	return n.Given() && (!n.Ok() || !n.Val.IsValid() || n.Val.Bits() > 0)
}

func (b *builder) checkAction(y *ruleYAML) {
	if y.Action.Given() && !y.Action.Ok() {
		return
	}
	action := resource.RuleAction(y.Action.Or(string(resource.Lookup)))
	switch {
	case action == resource.Lookup && !y.Table.Given():
		b.fault(y.At(), "missing-key", "the rule has no table to look up").Hinted("give table, or another action")
	case action != resource.Lookup && y.Table.Given():
		b.fault(y.Table.At(), "wrong-action", "table belongs to action lookup").Hinted("leave it out")
	case action == resource.GotoRule && !y.Goto.Given():
		b.fault(y.At(), "missing-key", "action goto needs goto: with a priority")
	case action != resource.GotoRule && y.Goto.Given():
		b.fault(y.Goto.At(), "wrong-action", "goto belongs to action goto").Hinted("add action: goto, or leave it out")
	case y.Goto.Ok() && y.Priority.Ok() && y.Goto.Val <= y.Priority.Val:
		b.fault(y.Goto.At(), "goto-back", "goto %d does not lead past priority %d", y.Goto.Val, y.Priority.Val).
			Hinted("a rule jumps only ahead, to a higher priority")
	}
	if action != resource.Lookup && y.SuppressPrefixLen.Given() {
		b.fault(y.SuppressPrefixLen.At(), "wrong-action", "suppress-prefixlength belongs to action lookup").Hinted("leave it out")
	}
}

func (b *builder) checkRuleFamily(y *ruleYAML, key string, n strict.V[network]) {
	switch f := ruleFamily(y.At()); {
	case n.Ok() && n.Val.isDefault:
		b.fault(n.At(), "bad-address", "%s: default selects everything", key).Hinted("leave %s out", key)
	case n.Ok() && y.Family.Or("both") == "both" && f != resource.FamilyOf(n.Val.Addr()) && f != bothFamilies:
		b.fault(n.At(), "family", "%s is %s, the rule is %s", n.Val, resource.FamilyOf(n.Val.Addr()), f)
	case n.Ok() && y.Family.Ok() && y.Family.Val != string(resource.FamilyOf(n.Val.Addr())):
		b.fault(n.At(), "family", "%s is %s, the rule is %s", n.Val, resource.FamilyOf(n.Val.Addr()), y.Family.Val)
	}
}
