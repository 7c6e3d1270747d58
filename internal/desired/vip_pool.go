package desired

import (
	"net/netip"
	"slices"
	"strings"

	"reconciler/internal/resource"
	"reconciler/internal/strict"
)

// service is a VIP with its pools, before it is told apart by family.
type service struct {
	name     string
	yaml     *vipYAML
	at       strict.Child
	families []resource.Family // of its addresses
	pools    []*pool
	later    bool // a backend of it waits for another version
}

// poolsOf are the pools of a VIP: those that it names, and its own.
func (b *builder) poolsOf(y *vipYAML) []*pool {
	if list := y.At().Get("pools"); list != nil && list.Kind == strict.List && len(list.Children) == 0 {
		b.fault(list, "empty-pool", "the VIP has no pools")
	}
	var out []*pool
	for i := range y.Pools {
		r := &y.Pools[i]
		if !r.Name.Ok() {
			continue
		}
		p := b.poolOf(r)
		if p == nil {
			continue
		}
		if j := slices.IndexFunc(out, func(o *pool) bool { return o.name == p.name }); j >= 0 {
			b.fault(r.Name.At(), "pool-twice", "%s is in the list already", p.name)
			continue
		}
		out = append(out, p)
	}
	return out
}

func (b *builder) poolOf(r *poolRefYAML) *pool {
	name := string(r.Name.Val)
	known := b.lb.pools[name]
	list := r.At().Get("backends")
	switch {
	case list == nil || list.Kind == strict.Null:
		if known == nil {
			unknown(b.fault(r.Name.At(), "unknown-pool", "no pool is named %s", name), name, sortedKeys(b.lb.pools), "pools")
		}
		return known
	case known != nil:
		b.fault(r.Name.At(), "declared-twice", "pool %s is also declared at %s", name, known.at.KeyPos).Hinted("give one of them another name")
	}
	at := strict.Child{KeyPos: r.Name.At().Pos, Value: r.Name.At()}
	return b.pool(name, at, list, r.Backends)
}

// encap is how a VIP's packets get to a backend, and who says so.
func (b *builder) encap(s *service, k *backend) (encap, says string) {
	for _, by := range []struct {
		given strict.V[string]
		who   string
	}{{k.yaml.Encap, "backend " + k.name}, {s.yaml.Encap, "vip " + s.name}, {b.lb.yaml.Defaults.Encap, "lb.defaults"}} {
		if by.given.Ok() {
			return by.given.Val, by.who
		}
	}
	return string(resource.IPIP), ""
}

// checkMembers looks for backends that cannot serve a VIP, or that are one.
func (b *builder) checkMembers(s *service) {
	seen := make(map[netip.Addr]*backend)
	for _, p := range s.pools {
		for _, m := range p.members {
			encap, _ := b.encap(s, m.backend)
			var without []string
			for _, f := range s.families {
				a, ok := m.serves(f, encap)
				if !ok {
					without = append(without, string(f))
					continue
				}
				if other := seen[a]; other != nil && other != m.backend {
					b.faultKey(m.at, "same-address", "%s of %s is also that of %s, and both are in vip %s", a, m.name, other.name, s.name)
					break
				}
				seen[a] = m.backend
			}
			b.serves(s, m, encap, without)
		}
	}
}

// serves reports a backend that lacks addresses for a VIP.
func (b *builder) serves(s *service, m member, encap string, without []string) {
	if len(without) == 0 || !m.ipv4.IsValid() && !m.ipv6.IsValid() {
		return // all is well, or it is told where the backend is declared
	}
	missing := strings.Join(without, " and ")
	if len(without) == len(s.families) {
		b.faultKey(m.at, "family", "%s has no address that can serve the %s addresses of vip %s by %s", m.name, missing, s.name, encap)
		return
	}
	if !b.lb.told[m.at.KeyPos] {
		b.lb.told[m.at.KeyPos] = true
		b.report.WarnKey(m.at, strict.Problemf("family", "%s has no address that can serve the %s addresses of vip %s by %s", m.name, missing, s.name, encap))
	}
}

// poolsFor are the pools of a VIP as far as they serve a family. It adds the
// records of their backends.
func (b *builder) poolsFor(f resource.Family, s *service) []resource.Pool {
	var out []resource.Pool
	for _, p := range s.pools {
		one := resource.Pool{Name: p.name}
		for _, m := range p.members {
			if name, ok := b.useBackend(f, s, m); ok {
				y, d := m.yaml, &b.lb.yaml.Defaults
				one.Members = append(one.Members, resource.Member{
					Backend: name, Weight: m.weight,
					Drain:     y.Drain.Or(s.yaml.Drain.Or(d.Drain.Or(defaultDrain))),
					SlowStart: y.SlowStart.Or(s.yaml.SlowStart.Or(d.SlowStart.Val)),
				})
			}
		}
		if len(one.Members) == 0 {
			continue
		}
		slices.SortFunc(one.Members, func(x, y resource.Member) int { return strings.Compare(x.Backend, y.Backend) })
		b.checkRing(p, one.Members)
		out = append(out, one)
	}
	if len(out) == 0 && !s.later && slices.ContainsFunc(s.pools, func(p *pool) bool { return len(p.members) > 0 }) {
		b.report.WarnKey(s.at, strict.Problemf("no-backend", "no backend can serve the %s addresses of vip %s", string(f), s.name))
	}
	return out
}

// useBackend adds the record of a backend for the packets of a family; false if
// it cannot serve them.
func (b *builder) useBackend(f resource.Family, s *service, m member) (string, bool) {
	encap, says := b.encap(s, m.backend)
	a, ok := m.serves(f, encap)
	if !ok {
		return "", false
	}
	if encap != string(resource.IPIP) && encap != string(resource.L2DSR) {
		b.later("encap "+encap+" of "+says, declared(s.at))
		s.later = true
		return "", false
	}
	if m.later != "" {
		b.later(m.later+" of backend "+m.name, declared(m.at))
		s.later = true
		return "", false
	}
	if c := m.check; c != nil && c.later != "" {
		b.later(c.later+" of healthcheck "+c.one.Name, c.yaml.At())
		s.later = true
		return "", false
	}
	if encap == string(resource.IPIP) {
		b.lb.outer[resource.FamilyOf(a)] = true
	}
	return b.record(m.backend, a, resource.Encap(encap)), true
}
