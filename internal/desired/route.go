package desired

import (
	"net/netip"

	"reconciler/internal/resource"
	"reconciler/internal/strict"
)

// routeYAML is a route as written.
type routeYAML struct {
	strict.Here
	To       strict.V[network]    `yaml:"to" required:"true" doc:"A prefix, an address, or default."`
	Family   strict.V[string]     `yaml:"family" enum:"ipv4,ipv6" doc:"Of a default route that names no gateway; ipv4 by default."`
	Type     strict.V[string]     `yaml:"type" enum:"unicast,blackhole,unreachable,prohibit,throw,local"`
	Via      strict.V[netip.Addr] `yaml:"via" doc:"Gateway."`
	Dev      strict.V[linkName]   `yaml:"dev" doc:"Left out: where the kernel finds the gateway."`
	Onlink   strict.V[bool]       `yaml:"onlink" doc:"The gateway is on the link, whatever the addresses say."`
	NextHops []nextHopYAML        `yaml:"next-hops" doc:"Several ways; in place of via and dev."`
	Table    strict.V[tableRef]   `yaml:"table" doc:"A number, a name of tables:, main, local or default. Default main."`
	Metric   strict.V[uint32]     `yaml:"metric" doc:"The lower wins. IPv6 makes 1024 of 0."`
	Src      strict.V[netip.Addr] `yaml:"src" doc:"The source address that the host prefers."`
	Scope    strict.V[string]     `yaml:"scope" enum:"global,site,link,host,nowhere"`
	MTU      strict.V[uint32]     `yaml:"mtu" min:"68" max:"65535" doc:"Of the path, in bytes."`
	Adopt    strict.V[bool]       `yaml:"adopt" doc:"Mark an existing route as ours."`
	Absent   strict.V[bool]       `yaml:"absent" doc:"Take the entry of a lower layer away."`
}

type nextHopYAML struct {
	strict.Here
	Via    strict.V[netip.Addr] `yaml:"via"`
	Dev    strict.V[linkName]   `yaml:"dev"`
	Weight strict.V[uint16]     `yaml:"weight" min:"1" max:"256" doc:"Default 1."`
	Onlink strict.V[bool]       `yaml:"onlink"`
}

func (b *builder) route(y *routeYAML) {
	if !y.To.Ok() {
		return
	}
	r := resource.Route{
		To: y.To.Val.Prefix, Table: b.table(y.Table, resource.MainTable), Metric: y.Metric.Val,
		Type: resource.RouteType(y.Type.Or(string(resource.Unicast))), PrefSrc: y.Src.Val,
		Scope: resource.Scope(y.Scope.Val), MTU: y.MTU.Val, Protocol: resource.Protocol, Adopt: y.Adopt.Val,
	}
	if y.To.Val.isDefault {
		r.To = defaultRoute(routeFamily(y.At()))
	}
	if r.Metric == 0 && r.To.Addr().Is6() {
		r.Metric = resource.MetricIPv6
	}
	r.Hops = b.hops(y)
	b.checkRoute(y, r)
	b.add(r, y.At())
}

func (b *builder) hops(y *routeYAML) []resource.NextHop {
	if y.Via.Ok() || y.Dev.Ok() {
		return []resource.NextHop{{Via: y.Via.Val, Dev: b.dev(y.Dev), Weight: 1, Onlink: y.Onlink.Val}}
	}
	var hops []resource.NextHop
	for _, h := range y.NextHops {
		hops = append(hops, resource.NextHop{Via: h.Via.Val, Dev: b.dev(h.Dev), Weight: h.Weight.Or(1), Onlink: h.Onlink.Val})
	}
	if len(hops) == 1 {
		hops[0].Weight = 1
	}
	return hops
}

// dev is the name of a link that something else refers to. It need not be
// declared; the kernel's name has its limit then.
func (b *builder) dev(v strict.V[linkName]) string {
	name := string(v.Val)
	if _, declared := b.links[name]; !declared && len(name) > maxLinkName {
		b.fault(v.At(), "bad-name", "%q has %d bytes, the name of an interface at most %d", name, len(name), maxLinkName)
	}
	return name
}

func (b *builder) checkRoute(y *routeYAML, r resource.Route) {
	b.checkWays(y, r)
	f := resource.FamilyOf(r.To.Addr())
	b.family(f, y.Via)
	b.family(f, y.Src)
	for _, h := range y.NextHops {
		b.family(f, h.Via)
		b.checkHop(h.At(), h.Via, h.Dev, h.Onlink)
	}
	if y.Via.Given() || y.Dev.Given() || y.Onlink.Given() {
		b.checkHop(y.At(), y.Via, y.Dev, y.Onlink)
	}
	if y.Family.Ok() && y.Family.Val != string(f) {
		b.fault(y.Family.At(), "family", "the route is %s", f)
	}
	if f == resource.IPv6 && y.MTU.Ok() && y.MTU.Val < minIPv6MTU {
		b.fault(y.MTU.At(), "mtu-ipv6", "IPv6 needs an mtu of at least %d", minIPv6MTU).Hinted("raise it, or leave it out")
	}
	if r.To.Addr().IsMulticast() && r.To.Bits() > 0 {
		b.report.Warn(y.To.At(), strict.Problemf("multicast", "%s is multicast, which unicast routes do not forward", r.To))
	}
}

// checkWays compares the type of a route with the ways it names.
func (b *builder) checkWays(y *routeYAML, r resource.Route) {
	if y.Type.Given() && !y.Type.Ok() {
		return
	}
	direct := firstGiven(y.Via.At(), y.Dev.At())
	hops := y.At().Get("next-hops")
	switch {
	case direct != nil && hops != nil:
		b.fault(hops, "two-ways", "next-hops stands in place of via and dev, not beside them")
	case r.Type == resource.Unicast && direct == nil && len(y.NextHops) == 0:
		b.fault(y.At(), "missing-key", "the route leads nowhere").Hinted("give via, dev or next-hops, or type: blackhole")
	case r.Type == resource.Local:
	case r.Type != resource.Unicast && (direct != nil || hops != nil):
		b.fault(firstGiven(direct, hops), "no-next-hop", "a route of type %s has no next hop", r.Type).
			Hinted("leave via, dev and next-hops out")
	}
}

func firstGiven(values ...*strict.Value) *strict.Value {
	for _, v := range values {
		if v != nil {
			return v
		}
	}
	return nil
}

func (b *builder) checkHop(at *strict.Value, via strict.V[netip.Addr], dev strict.V[linkName], onlink strict.V[bool]) {
	switch {
	case !via.Given() && !dev.Given():
		b.fault(at, "missing-key", "a next hop needs via or dev")
	case onlink.Val && !(via.Given() && dev.Given()):
		b.fault(onlink.At(), "missing-key", "onlink needs both via and dev")
	case via.Ok() && (via.Val.IsUnspecified() || via.Val.IsMulticast()):
		b.fault(via.At(), "bad-address", "%s is no gateway", via.Val)
	case via.Ok() && via.Val.Is6() && via.Val.IsLinkLocalUnicast() && !dev.Given():
		b.fault(via.At(), "missing-key", "a link-local gateway needs dev").Hinted("add dev: and the link that it is on")
	}
}

func (b *builder) family(f resource.Family, v strict.V[netip.Addr]) {
	if a, ok := v.Get(); ok && resource.FamilyOf(a) != f {
		b.fault(v.At(), "family", "%s is %s, the route is %s", a, resource.FamilyOf(a), f)
	}
}
