package desired

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"time"

	"reconciler/internal/resource"
	"reconciler/internal/strict"
)

// vipYAML is a service as written.
type vipYAML struct {
	strict.Here
	Description strict.V[string]        `yaml:"description" max:"255" doc:"For people."`
	Address     strict.V[block]         `yaml:"address" doc:"In place of addresses, if it is one."`
	Addresses   []vipAddressYAML        `yaml:"addresses" doc:"Addresses, and prefixes, which are each of their addresses."`
	Ports       []strict.V[servicePort] `yaml:"ports" doc:"tcp/443, udp/443, tcp, udp. Left out: every packet to the addresses."`
	Driver      strict.V[string]        `yaml:"driver" enum:"xdp,ipvs,vpp" doc:"Which dataplane. Default: that of lb.defaults."`
	Encap       strict.V[string]        `yaml:"encap" enum:"ipip,gue,gre,l2dsr" doc:"How packets get to backends. Default: that of lb.defaults."`
	Sticky      strict.V[bool]          `yaml:"src-ip-sticky" doc:"All flows of a client go to one backend. Default false."`
	FlushOnDown strict.V[bool]          `yaml:"flush-on-down" doc:"A backend that is down loses its flows at once. Default false."`
	Drain       strict.V[time.Duration] `yaml:"drain" max:"86400000" doc:"How long an established flow keeps a backend that left. Default: that of lb.defaults."`
	SlowStart   strict.V[time.Duration] `yaml:"slow-start" max:"86400000" doc:"How long a backend that came back takes to its whole weight. Default: that of lb.defaults."`
	Pools       []poolRefYAML           `yaml:"pools" required:"true" doc:"The first one with a live backend serves, the rest stand by."`
	Guards      *guardsYAML             `yaml:"guards" doc:"They judge changes of YAML, never of health."`
	NoBackend   strict.V[string]        `yaml:"no-backend" enum:"drop,pass,reject" doc:"What becomes of packets while no backend serves. Default drop."`
	Announce    *announceYAML           `yaml:"announce" doc:"The addresses are on a link while the VIP is up, for a routing daemon."`
}

// vipAddressYAML is an address of a VIP as written.
type vipAddressYAML struct {
	strict.Here
	Address strict.V[block] `yaml:"address" required:"true" short:"true"`
	Absent  strict.V[bool]  `yaml:"absent" doc:"Take the entry of a lower layer away."`
}

type guardsYAML struct {
	strict.Here
	MaxChurn   *churnYAML         `yaml:"max-churn" doc:"How much of the flows one change may move."`
	MinHealthy strict.V[permille] `yaml:"min-healthy" doc:"Of its backends: a change that would leave fewer waits."`
}

type churnYAML struct {
	strict.Here
	Limit strict.V[permille]      `yaml:"limit" required:"true" doc:"Of the flows: 60%."`
	Over  strict.V[string]        `yaml:"over" enum:"step,refuse" doc:"What becomes of a change that moves more. Default refuse."`
	Every strict.V[time.Duration] `yaml:"every" min:"1000" max:"86400000" doc:"Of step: from one step to the next. Default 30s."`
}

type announceYAML struct {
	strict.Here
	Interface     strict.V[linkName]      `yaml:"interface" required:"true" doc:"The link that has the addresses."`
	When          strict.V[string]        `yaml:"when" enum:"up,always" doc:"always: also while it is not up. Default up."`
	WithdrawAfter strict.V[time.Duration] `yaml:"withdraw-after" max:"86400000" doc:"How long it may be down before. Default 0s."`
	ReturnAfter   strict.V[time.Duration] `yaml:"return-after" max:"86400000" doc:"How long it has to be up before. Default 0s."`
}

const defaultStep = 30 * time.Second

// vip checks a service and adds it, once for each family of its addresses.
func (b *builder) vip(name string, at strict.Child, y *vipYAML) {
	b.serviceName("VIP", at)
	ports := b.servicePorts(y)
	claimed := ports
	if len(y.Ports) == 0 {
		claimed = []resource.ServicePort{{}} // every packet
	}
	addresses := b.vipAddresses(name, at, y, claimed)
	one := resource.VIP{
		Name: name, Description: y.Description.Val, Ports: ports, Sticky: y.Sticky.Val, FlushOnDown: y.FlushOnDown.Val,
		NoBackend: resource.NoBackend(y.NoBackend.Or(string(resource.NoBackendDrop))),
	}
	b.guards(&one, y.Guards)
	b.announce(&one, y.Announce, addresses)
	s := service{name: name, yaml: y, at: at, pools: b.poolsOf(y)}
	for _, f := range []resource.Family{resource.IPv4, resource.IPv6} {
		if slices.ContainsFunc(addresses, func(a netip.Addr) bool { return resource.FamilyOf(a) == f }) {
			s.families = append(s.families, f)
		}
	}
	driver := y.Driver.Or(b.lb.yaml.Defaults.Driver.Or("xdp"))
	s.serve = driver == "xdp"
	seats := b.seats(&s)
	if driver != "xdp" {
		b.later("driver "+driver+" of vip "+name, declared(at))
		return
	}
	if b.lb.first.Value == nil {
		b.lb.first = at
	}
	if b.around.balancer == nil {
		b.later("vip "+name, declared(at))
		return
	}
	for _, f := range s.families {
		b.vipOf(f, &s, seats, one, addresses)
	}
}

// vipOf adds the service of one family.
func (b *builder) vipOf(f resource.Family, s *service, seats seating, one resource.VIP, addresses []netip.Addr) {
	one.Family = f
	for _, a := range addresses {
		if resource.FamilyOf(a) == f {
			one.Addresses = append(one.Addresses, a)
		}
	}
	one.Pools = seats.pools[f]
	switch {
	case len(one.Pools) > 0:
	case seats.later:
		return // what is not applied leaves it without a backend
	case slices.ContainsFunc(s.pools, func(p *pool) bool { return len(p.members) > 0 }):
		b.report.WarnKey(s.at, strict.Problemf("no-backend", "no backend can serve the %s addresses of vip %s", f, s.name))
	}
	b.lb.made = true
	b.add(one, declared(s.at))
}

// later notes once what is accepted, and not applied by this version.
func (b *builder) later(name string, at *strict.Value) {
	r := resource.Unsupported{Name: name}
	if b.at[r.Key()] == nil {
		b.add(r, at)
	}
}

// servicePorts are those of a VIP, sorted, each once.
func (b *builder) servicePorts(y *vipYAML) []resource.ServicePort {
	if list := y.At().Get("ports"); list != nil && list.Kind == strict.List && len(list.Children) == 0 {
		b.fault(list, "empty-ports", "the VIP has no ports").Hinted("leave ports out for every packet")
	}
	var out []resource.ServicePort
	first := make(map[servicePort]*strict.Value)
	for _, v := range y.Ports {
		p, ok := v.Get()
		if !ok {
			continue
		}
		if other := first[p]; other != nil {
			b.fault(v.At(), "port-twice", "%s is in the list already, at %s", resource.ServicePort(p), column(other.Pos))
			continue
		}
		first[p] = v.At()
		out = append(out, resource.ServicePort(p))
	}
	slices.SortFunc(out, func(a, b resource.ServicePort) int {
		return cmp.Or(strings.Compare(a.Protocol, b.Protocol), cmp.Compare(a.Number, b.Number))
	})
	return out
}

func (b *builder) guards(one *resource.VIP, y *guardsYAML) {
	if y == nil {
		return
	}
	one.MinHealthy = uint16(y.MinHealthy.Val)
	c := y.MaxChurn
	if c == nil {
		return
	}
	one.MaxChurn.Limit = uint16(c.Limit.Val)
	if c.Limit.Ok() && c.Limit.Val == 0 {
		b.fault(c.Limit.At(), "out-of-range", "a limit of 0%% lets nothing ever change").Hinted("leave max-churn out for no limit")
	}
	switch {
	case c.Over.Val == "step":
		one.MaxChurn.Step = c.Every.Or(defaultStep)
	case c.Every.Given():
		b.fault(c.Every.At(), "wrong-section", "every: belongs to over: step")
	}
}

func (b *builder) announce(one *resource.VIP, y *announceYAML, addresses []netip.Addr) {
	if y == nil {
		return
	}
	one.Announce = resource.Announce{
		Link: b.dev(y.Interface), Always: y.When.Val == "always", WithdrawAfter: y.WithdrawAfter.Val, ReturnAfter: y.ReturnAfter.Val,
	}
	if y.Interface.Ok() {
		b.announced(one.Announce.Link, y.Interface.At(), addresses)
	}
}

// announced compares addresses that come and go with those that stand on links
// anyway, and with those that are announced elsewhere.
func (b *builder) announced(link string, at *strict.Value, addresses []netip.Addr) {
	for _, a := range addresses {
		if d, ok := b.onLinks[a]; ok {
			b.fault(at, "same-address", "%s stands on %s all the time, at %s", a, d.link, d.at.Pos).
				Hinted("leave it out there; when: always announces it all the time")
			return
		}
		if d, ok := b.lb.announced[a]; ok && d.link != link {
			b.fault(at, "same-address", "%s is also announced on %s, at %s", a, d.link, d.at.Pos)
			return
		}
		b.lb.announced[a] = declaredAddress{link: link, at: at}
	}
}
