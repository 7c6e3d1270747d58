package netlink

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"reconciler/internal/driver/netlink/wire"
	"reconciler/internal/resource"
)

// What a rule or a route carries and the configuration has no word for is kept
// as text: an object that has it is not the one without it.

// Attributes that x/sys does not name, from linux/fib_rules.h and
// linux/rtnetlink.h.
const (
	fraDSCP          = 25
	fraFlowLabel     = 26
	fraFlowLabelMask = 27
	fraSPortMask     = 28
	fraDPortMask     = 29
	fraDSCPMask      = 30
	fraFindSource    = 0x10000 // FIB_RULE_FIND_SADDR, a flag
	rtaNextHopID     = 30
)

// addressMore is what an address has that is not modelled.
type addressMore struct {
	label     string
	broadcast netip.Addr
	metric    uint32
}

func (m *addressMore) read(kind uint16, v []byte) {
	switch kind {
	case unix.IFA_LABEL:
		m.label = wire.Text(v)
	case unix.IFA_BROADCAST:
		m.broadcast = wire.IP(v)
	case unix.IFA_RT_PRIORITY:
		m.metric = wire.U32(v)
	}
}

// text tells what of it differs from what the kernel or any tool makes of an
// address alone.
func (m *addressMore) text(a resource.Address) (text string) {
	if m.label != "" && m.label != a.Link {
		text = also(text, "label "+m.label)
	}
	if m.broadcast.IsValid() && m.broadcast != lastOf(a.Network()) {
		text = also(text, "broadcast "+m.broadcast.String())
	}
	if m.metric != 0 {
		text = also(text, "metric "+number(m.metric))
	}
	return text
}

// lastOf is the last address of an IPv4 network.
func lastOf(p netip.Prefix) netip.Addr {
	if !p.IsValid() || !p.Addr().Is4() {
		return netip.Addr{}
	}
	b := p.Addr().As4()
	host := uint32(1<<(32-p.Bits()) - 1)
	binary.BigEndian.PutUint32(b[:], binary.BigEndian.Uint32(b[:])|host)
	return netip.AddrFrom4(b)
}

// ruleOthers are the words of iproute2.
var ruleOthers = map[uint16]string{
	unix.FRA_FLOW: "realms", unix.FRA_TUN_ID: "tun_id", unix.FRA_SUPPRESS_IFGROUP: "suppress_ifgroup",
	unix.FRA_L3MDEV: "l3mdev", unix.FRA_UID_RANGE: "uidrange", fraDSCP: "dscp", fraDSCPMask: "dscp mask",
	fraFlowLabel: "flowlabel", fraFlowLabelMask: "flowlabel mask", fraSPortMask: "sport mask", fraDPortMask: "dport mask",
}

// readRuleOther notes an attribute of a rule that is not modelled.
func readRuleOther(r *resource.Rule, kind uint16, v []byte) {
	switch kind {
	case unix.FRA_PAD:
		return
	case fraSPortMask, fraDPortMask:
		if wire.U16(v) == 0xffff {
			return // of a single port
		}
	case unix.FRA_UID_RANGE:
		if len(v) >= 8 {
			r.Other = also(r.Other, fmt.Sprintf("uidrange %d-%d", wire.U32(v), wire.U32(v[4:])))
			return
		}
	}
	r.Other = also(r.Other, attributeText(ruleOthers, kind, v))
}

var routeOthers = map[uint16]string{
	unix.RTA_FLOW: "realms", unix.RTA_PREF: "pref", unix.RTA_ENCAP_TYPE: "encap type", unix.RTA_ENCAP: "encap",
	unix.RTA_TTL_PROPAGATE: "ttl-propagate", unix.RTA_NEWDST: "as", rtaNextHopID: "nhid",
}

// readRouteOther notes an attribute of a route, or of a way of it, that is not
// modelled.
func readRouteOther(r *resource.Route, kind uint16, v []byte) {
	switch kind {
	case unix.RTA_CACHEINFO:
		if len(v) >= 12 && wire.U32(v[8:]) != 0 { // rta_expires, which is less each time
			r.Other = also(r.Other, "a lifetime: it is dynamic")
		}
		return
	case unix.RTA_IIF, unix.RTA_PAD:
		return
	case unix.RTA_PREF:
		if wire.U8(v) == 0 {
			return // medium
		}
	}
	r.Other = also(r.Other, attributeText(routeOthers, kind, v))
}

var metricOthers = map[uint16]string{
	unix.RTAX_LOCK: "lock", unix.RTAX_WINDOW: "window", unix.RTAX_RTT: "rtt", unix.RTAX_RTTVAR: "rttvar",
	unix.RTAX_SSTHRESH: "ssthresh", unix.RTAX_CWND: "cwnd", unix.RTAX_ADVMSS: "advmss", unix.RTAX_REORDERING: "reordering",
	unix.RTAX_HOPLIMIT: "hoplimit", unix.RTAX_INITCWND: "initcwnd", unix.RTAX_FEATURES: "features", unix.RTAX_RTO_MIN: "rto_min",
	unix.RTAX_INITRWND: "initrwnd", unix.RTAX_QUICKACK: "quickack", unix.RTAX_FASTOPEN_NO_COOKIE: "fastopen_no_cookie",
}

func readMetrics(r *resource.Route, v []byte) {
	for a := wire.Attributes(v); a.Next(); {
		switch a.Type {
		case unix.RTAX_MTU:
			r.MTU = wire.U32(a.Value)
		case unix.RTAX_CC_ALGO:
			r.Other = also(r.Other, "congctl "+wire.Text(a.Value))
		default:
			r.Other = also(r.Other, attributeText(metricOthers, a.Type, a.Value))
		}
	}
}

// attributeText names an attribute and its value: a number where it has the
// size of one, else its bytes.
func attributeText(names map[uint16]string, kind uint16, v []byte) string {
	name, ok := names[kind]
	if !ok {
		name = "attribute " + number(kind)
	}
	switch len(v) {
	case 0:
		return name
	case 1:
		return name + " " + number(wire.U8(v))
	case 2:
		return name + " " + number(wire.U16(v))
	case 4:
		return name + " " + number(wire.U32(v))
	}
	return name + " 0x" + hex.EncodeToString(v)
}

func also(list, item string) string {
	if list == "" {
		return item
	}
	return list + ", " + item
}
