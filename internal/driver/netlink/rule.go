package netlink

import (
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"reconciler/internal/diff"
	"reconciler/internal/driver/netlink/wire"
	"reconciler/internal/resource"
)

// rules reads all rules.
func (l *look) rules() error {
	for _, family := range families {
		err := l.d.dump(l.ctx, wire.Query{
			Type:  unix.RTM_GETRULE,
			Head:  func(b *wire.Batch) { b.Rule(unix.RtMsg{Family: family}) },
			Reset: l.mark(),
			See: func(m wire.Message) {
				if r, ok := readRule(m); ok {
					owner, origin := ownerOf(r.Protocol)
					l.add(r, owner, origin)
				}
			},
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// ruleActions are the actions of a rule, from linux/fib_rules.h.
var ruleActions = []struct {
	name  resource.RuleAction
	value uint8
}{
	{resource.Lookup, unix.FR_ACT_TO_TBL}, {resource.GotoRule, unix.FR_ACT_GOTO}, {"nop", unix.FR_ACT_NOP},
	{resource.BlackholeRule, unix.FR_ACT_BLACKHOLE}, {resource.UnreachableRule, unix.FR_ACT_UNREACHABLE},
	{resource.ProhibitRule, unix.FR_ACT_PROHIBIT},
}

func ruleAction(v uint8) resource.RuleAction {
	for _, a := range ruleActions {
		if a.value == v {
			return a.name
		}
	}
	return resource.RuleAction(number(v))
}

const noSuppress = 0xffffffff

// readRule reads an RTM_NEWRULE or RTM_DELRULE.
func readRule(m wire.Message) (r resource.Rule, ok bool) {
	if len(m.Body) < unix.SizeofRtMsg || m.Type != unix.RTM_NEWRULE && m.Type != unix.RTM_DELRULE {
		return r, false
	}
	h := m.Body
	switch h[0] {
	case unix.AF_INET:
		r.Family = resource.IPv4
	case unix.AF_INET6:
		r.Family = resource.IPv6
	default:
		return r, false // of a multicast table
	}
	r.TOS = h[3]
	r.Table = uint32(h[4])
	r.Action = ruleAction(h[7])
	flags := wire.U32(h[8:])
	r.Not = flags&unix.FIB_RULE_INVERT != 0
	if flags&fraFindSource != 0 {
		r.Other = "find_saddr"
	}
	for a := wire.After(h, unix.SizeofRtMsg); a.Next(); {
		readRuleAttr(&r, h, a.Type, a.Value)
	}
	if r.Action != resource.Lookup {
		r.Table = 0
	}
	return r, true
}

func readRuleAttr(r *resource.Rule, h []byte, kind uint16, v []byte) {
	switch kind {
	case unix.FRA_DST:
		r.To = netip.PrefixFrom(wire.IP(v), int(h[1]))
	case unix.FRA_SRC:
		r.From = netip.PrefixFrom(wire.IP(v), int(h[2]))
	case unix.FRA_IIFNAME:
		r.IIF = wire.Text(v)
	case unix.FRA_OIFNAME:
		r.OIF = wire.Text(v)
	case unix.FRA_GOTO:
		r.Goto = wire.U32(v)
	case unix.FRA_PRIORITY:
		r.Priority = wire.U32(v)
	case unix.FRA_FWMARK:
		r.FwMark = wire.U32(v)
	case unix.FRA_FWMASK:
		r.FwMask = wire.U32(v)
	case unix.FRA_TABLE:
		r.Table = wire.U32(v)
	case unix.FRA_SUPPRESS_PREFIXLEN:
		if n := wire.U32(v); n != noSuppress {
			r.SuppressPrefixLen = resource.Some(n)
		}
	case unix.FRA_PROTOCOL:
		r.Protocol = wire.U8(v)
	case unix.FRA_IP_PROTO:
		r.IPProto = wire.U8(v)
	case unix.FRA_SPORT_RANGE:
		r.SPort = ports(v)
	case unix.FRA_DPORT_RANGE:
		r.DPort = ports(v)
	default:
		readRuleOther(r, kind, v)
	}
}

func ports(v []byte) resource.PortRange {
	if len(v) < 4 {
		return resource.PortRange{}
	}
	return resource.PortRange{First: wire.U16(v), Last: wire.U16(v[2:])}
}

// writeRule writes the requests of a round and returns how many rounds there
// are. A rule cannot be changed: the new one stands before the old one goes.
func (w *writer) writeRule(b *wire.Batch, op *diff.Op, round int) (int, error) {
	if to, ok := op.To.(resource.Rule); ok && to.Other != "" {
		return 0, fmt.Errorf("%w: %s", ErrOther, to.Other) // without it the rule would match more
	}
	switch op.Verb {
	case diff.Create:
		encodeRule(b, unix.RTM_NEWRULE, unix.NLM_F_CREATE|unix.NLM_F_EXCL, op.To.(resource.Rule))
	case diff.Update, diff.Replace:
		if round == 0 {
			encodeRule(b, unix.RTM_NEWRULE, unix.NLM_F_CREATE, op.To.(resource.Rule))
			return 2, nil
		}
		encodeRule(b, unix.RTM_DELRULE, 0, op.From.(resource.Rule))
		return 2, nil
	case diff.Delete:
		encodeRule(b, unix.RTM_DELRULE, 0, op.From.(resource.Rule))
	}
	return 1, nil
}

func encodeRule(b *wire.Batch, kind, flags uint16, r resource.Rule) {
	b.Begin(kind, flags)
	b.Rule(ruleHead(r))
	b.U32(unix.FRA_PRIORITY, r.Priority)
	if r.Action == resource.Lookup || r.Action == "" {
		b.U32(unix.FRA_TABLE, r.Table)
	}
	if r.Action == resource.GotoRule {
		b.U32(unix.FRA_GOTO, r.Goto)
	}
	writeSelectors(b, r)
	if v, ok := r.SuppressPrefixLen.Get(); ok {
		b.U32(unix.FRA_SUPPRESS_PREFIXLEN, v)
	}
	if r.Protocol != 0 {
		b.U8(unix.FRA_PROTOCOL, r.Protocol)
	}
	b.End()
}

func ruleHead(r resource.Rule) unix.RtMsg {
	head := unix.RtMsg{Family: family(r.Family == resource.IPv4), Tos: r.TOS, Type: unix.FR_ACT_TO_TBL}
	for _, a := range ruleActions {
		if a.name == r.Action {
			head.Type = a.value
		}
	}
	if head.Type == unix.FR_ACT_TO_TBL {
		head.Table = tableByte(r.Table)
	}
	if r.Not {
		head.Flags = unix.FIB_RULE_INVERT
	}
	if r.To.IsValid() {
		head.Dst_len = uint8(r.To.Bits())
	}
	if r.From.IsValid() {
		head.Src_len = uint8(r.From.Bits())
	}
	return head
}

// writeSelectors writes what a packet must have for a rule to count.
func writeSelectors(b *wire.Batch, r resource.Rule) {
	if r.To.IsValid() && r.To.Bits() > 0 {
		b.IP(unix.FRA_DST, r.To.Addr())
	}
	if r.From.IsValid() && r.From.Bits() > 0 {
		b.IP(unix.FRA_SRC, r.From.Addr())
	}
	if r.FwMark != 0 || r.FwMask != 0 {
		b.U32(unix.FRA_FWMARK, r.FwMark)
		b.U32(unix.FRA_FWMASK, r.FwMask)
	}
	if r.IIF != "" {
		b.String(unix.FRA_IIFNAME, r.IIF)
	}
	if r.OIF != "" {
		b.String(unix.FRA_OIFNAME, r.OIF)
	}
	if r.IPProto != 0 {
		b.U8(unix.FRA_IP_PROTO, r.IPProto)
	}
	if r.SPort != (resource.PortRange{}) {
		b.Ports(unix.FRA_SPORT_RANGE, r.SPort.First, r.SPort.Last)
	}
	if r.DPort != (resource.PortRange{}) {
		b.Ports(unix.FRA_DPORT_RANGE, r.DPort.First, r.DPort.Last)
	}
}
