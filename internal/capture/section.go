package capture

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"reconciler/internal/resource"
)

// body writes the sections that have something in them.
func (w *writer) body() string {
	var text string
	var lines []string
	for _, l := range w.links {
		if m := w.linkMap(l); len(m) > 0 {
			lines = append(lines, entry(l.Name, m))
		}
	}
	text += section("interfaces", lines)
	lines = nil
	for _, r := range w.routes {
		lines = append(lines, "  - "+routeMap(r).flow()+"\n")
	}
	text += section("routes", lines)
	lines = nil
	for _, r := range w.rules {
		lines = append(lines, "  - "+ruleMap(r).flow()+"\n")
	}
	return text + section("rules", lines)
}

// linkMap is a link: what makes it, and what was set on it.
func (w *writer) linkMap(l resource.Link) mapping {
	var m mapping
	made := w.makes(l)
	far := w.isFar(l)
	if made {
		m.add("kind", string(l.Type))
		w.kindMap(&m, l)
	}
	if !l.Seen.Loopback {
		w.attributes(&m, l, made || far)
	}
	m.addList("addresses", addresses(w.on[l.Name].addresses))
	m.addList("neighbours", neighbours(w.on[l.Name].neighbours))
	return m
}

// attributes are those that any link has. A link that we would make needs only
// what differs from a new one.
func (w *writer) attributes(m *mapping, l resource.Link, made bool) {
	const newMTU, newQueue = 1500, 1000 // ETH_DATA_LEN, DEFAULT_TX_QUEUE_LEN
	if d := l.Description.Or(""); d != "" {
		m.add("description", d)
	}
	if !made {
		m.addRaw("mtu", number(l.MTU))
		m.add("state", string(l.State))
		return
	}
	if l.MTU != newMTU {
		m.addRaw("mtu", number(l.MTU))
	}
	if l.State == resource.Down {
		m.add("state", string(l.State))
	}
	if l.MAC != (resource.MAC{}) {
		m.add("mac", l.MAC.String())
	}
	if q, ok := l.TxQueueLen.Get(); ok && q != newQueue {
		m.addRaw("txqueuelen", number(q))
	}
}

// makes reports whether the configuration would make a link: it is of a kind
// that can be made here, and all that it needs can be named.
func (w *writer) makes(l resource.Link) bool {
	switch l.Type {
	case resource.Bridge, resource.Dummy:
		return true
	case resource.MACVLAN, resource.VLAN:
		return w.on[l.Below] != nil
	case resource.VXLAN:
		return l.VXLAN.ID != 0 && (l.Below == "" || w.on[l.Below] != nil)
	case resource.Veth:
		return w.on[l.Peer] != nil && !w.isFar(l)
	}
	return false
}

// isFar tells the end of a pair that the other one makes: of two, the later by
// name.
func (w *writer) isFar(l resource.Link) bool {
	return l.Type == resource.Veth && w.on[l.Peer] != nil && l.Peer < l.Name
}

func (w *writer) kindMap(m *mapping, l resource.Link) {
	if l.Below != "" {
		m.add("parent", l.Below)
	}
	var kind mapping
	switch l.Type {
	case resource.Veth:
		kind.add("peer", l.Peer)
	case resource.MACVLAN:
		kind.add("mode", l.Mode)
	case resource.VLAN:
		kind.addRaw("id", number(uint32(l.VLAN.ID)))
		if l.VLAN.Protocol != "802.1q" {
			kind.add("protocol", l.VLAN.Protocol)
		}
	case resource.VXLAN:
		vxlanMap(&kind, l.VXLAN)
	case resource.Bridge:
		bridgeMap(&kind, l.Bridge)
		kind.addList("ports", names(w.ports[l.Name]))
	}
	if len(kind) > 0 {
		m.addRaw(string(l.Type), kind.flow())
	}
}

func vxlanMap(m *mapping, v resource.VXLANAttr) {
	m.addRaw("id", number(v.ID))
	addAddr(m, "local", v.Local)
	addAddr(m, "remote", v.Remote)
	m.addRaw("port", number(uint32(v.Port)))
	if on, ok := v.Learning.Get(); ok && !on {
		m.addRaw("learning", "false")
	}
	if ttl := v.TTL.Or(0); ttl != 0 {
		m.addRaw("ttl", number(uint32(ttl)))
	}
}

// bridgeMap holds what differs from a new bridge (net/bridge/br_device.c,
// br_dev_setup).
func bridgeMap(m *mapping, b resource.BridgeAttr) {
	addBool(m, "vlan-filtering", b.VLANFiltering, false)
	addBool(m, "stp", b.STP, false)
	addTime(m, "forward-delay", b.ForwardDelay, 15*time.Second)
	addTime(m, "hello-time", b.HelloTime, 2*time.Second)
	addTime(m, "max-age", b.MaxAge, 20*time.Second)
	addTime(m, "ageing-time", b.AgeingTime, 5*time.Minute)
	if p := b.Priority.Or(32768); p != 32768 {
		m.addRaw("priority", number(uint32(p)))
	}
	addBool(m, "multicast-snooping", b.MulticastSnooping, true)
}

func addBool(m *mapping, key string, o resource.Opt[bool], usual bool) {
	if v, ok := o.Get(); ok && v != usual {
		m.addRaw(key, strconv.FormatBool(v))
	}
}

// addTime writes a time that the kernel keeps in hundredths of a second.
func addTime(m *mapping, key string, o resource.Opt[uint32], usual time.Duration) {
	if v, ok := o.Get(); ok {
		if d := time.Duration(v) * 10 * time.Millisecond; d != usual {
			m.addRaw(key, strconv.FormatFloat(d.Seconds(), 'f', -1, 64)+"s")
		}
	}
}

func addAddr(m *mapping, key string, a netip.Addr) {
	if a.IsValid() {
		m.add(key, a.String())
	}
}

func addresses(list []resource.Address) []string {
	// Primaries first: the order in which they are added decides who is one.
	slices.SortStableFunc(list, func(a, b resource.Address) int { return compareBool(a.Secondary, b.Secondary) })
	var out []string
	for _, a := range list {
		var m mapping
		m.add("address", a.Prefix.String())
		addAddr(&m, "peer", a.Peer)
		if a.Prefix.Addr().Is4() && a.Scope != "global" && a.Scope != "" {
			m.add("scope", string(a.Scope))
		}
		if len(m) == 1 {
			out = append(out, m[0].value)
			continue
		}
		out = append(out, m.flow())
	}
	return out
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

func neighbours(list []resource.Neighbour) []string {
	var out []string
	for _, n := range list {
		var m mapping
		m.add("to", n.To.String())
		if n.Proxy {
			m.addRaw("proxy", "true")
		} else {
			m.add("lladdr", n.LLAddr.String())
		}
		out = append(out, m.flow())
	}
	return out
}

func names(list []string) []string {
	var out []string
	for _, n := range list {
		out = append(out, scalar(n))
	}
	return out
}

func routeMap(r resource.Route) mapping {
	var m mapping
	switch {
	case r.To.Bits() > 0:
		m.add("to", r.To.String())
	default:
		m.add("to", "default")
		if !slices.ContainsFunc(r.Hops, func(h resource.NextHop) bool { return h.Via.IsValid() }) {
			m.add("family", string(resource.FamilyOf(r.To.Addr())))
		}
	}
	if r.Type != resource.Unicast && r.Type != "" {
		m.add("type", string(r.Type))
	}
	addHops(&m, r)
	if r.Table != resource.MainTable {
		m.addRaw("table", number(r.Table))
	}
	if r.Metric != 0 && (r.Metric != resource.MetricIPv6 || r.To.Addr().Is4()) {
		m.addRaw("metric", number(r.Metric))
	}
	addAddr(&m, "src", r.PrefSrc)
	if r.Scope != usualScope(r) && r.Scope != "" {
		m.add("scope", string(r.Scope))
	}
	if r.MTU != 0 {
		m.addRaw("mtu", number(r.MTU))
	}
	return m
}

// usualScope is the scope that a route gets when none is asked for
// (iproute2's, and none at all in IPv6).
func usualScope(r resource.Route) resource.Scope {
	switch {
	case r.To.Addr().Is6():
		return r.Scope
	case r.Type == resource.Local:
		return "host"
	case r.Type == resource.Unicast && !slices.ContainsFunc(r.Hops, func(h resource.NextHop) bool { return h.Via.IsValid() }):
		return "link"
	}
	return "global"
}

func addHops(m *mapping, r resource.Route) {
	if len(r.Hops) == 0 || r.Type != resource.Unicast && r.Type != resource.Local {
		return
	}
	if len(r.Hops) == 1 {
		addHop(m, r.Hops[0])
		return
	}
	var hops []string
	for _, h := range r.Hops {
		var hop mapping
		addHop(&hop, h)
		if h.Weight > 1 {
			hop.addRaw("weight", number(uint32(h.Weight)))
		}
		hops = append(hops, hop.flow())
	}
	m.addList("next-hops", hops)
}

func addHop(m *mapping, h resource.NextHop) {
	addAddr(m, "via", h.Via)
	if h.Dev != "" {
		m.add("dev", h.Dev)
	}
	if h.Onlink {
		m.addRaw("onlink", "true")
	}
}

func ruleMap(r resource.Rule) mapping {
	var m mapping
	m.addRaw("priority", number(r.Priority))
	if !r.From.IsValid() && !r.To.IsValid() {
		m.add("family", string(r.Family))
	}
	if r.Not {
		m.addRaw("not", "true")
	}
	addPrefix(&m, "from", r.From)
	addPrefix(&m, "to", r.To)
	if r.FwMark != 0 || r.FwMask != 0 {
		m.addRaw("fwmark", fmt.Sprintf("%#x/%#x", r.FwMark, r.FwMask))
	}
	for _, dev := range []struct{ key, name string }{{"iif", r.IIF}, {"oif", r.OIF}} {
		if dev.name != "" {
			m.add(dev.key, dev.name)
		}
	}
	addNumber(&m, "tos", uint32(r.TOS))
	addNumber(&m, "ipproto", uint32(r.IPProto))
	for _, p := range []struct {
		key   string
		ports resource.PortRange
	}{{"sport", r.SPort}, {"dport", r.DPort}} {
		if text := p.ports.String(); text != "" {
			m.addRaw(p.key, text)
		}
	}
	if r.Action != resource.Lookup {
		m.add("action", string(r.Action))
	}
	addNumber(&m, "table", r.Table)
	addNumber(&m, "goto", r.Goto)
	if n, ok := r.SuppressPrefixLen.Get(); ok {
		m.addRaw("suppress-prefixlength", number(n))
	}
	return m
}

func addPrefix(m *mapping, key string, p netip.Prefix) {
	if p.IsValid() {
		m.add(key, p.String())
	}
}

func addNumber(m *mapping, key string, n uint32) {
	if n != 0 {
		m.addRaw(key, number(n))
	}
}

func number(n uint32) string { return strconv.FormatUint(uint64(n), 10) }
