package desired

import (
	"crypto/sha256"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

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
	serve    bool // by the driver xdp
}

// seating is what the pools of a VIP are for the packets of its families. VIPs
// with equal pools and settings share one.
type seating struct {
	pools map[resource.Family][]resource.Pool
	later bool // a backend waits for another version
}

// seatKey is all that a seating is made of.
type seatKey struct {
	pools, families, encap string
	drain, slowStart       time.Duration
	serve                  bool
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

// seats checks the backends of a VIP, and finds their records.
func (b *builder) seats(s *service) seating {
	k := b.seatKey(s)
	if known, ok := b.lb.seats[k]; ok && applied(k.encap) {
		return known
	}
	for _, p := range s.pools {
		b.lb.members += len(p.members)
	}
	if b.lb.members > maxMembers {
		b.faultKey(s.at, "too-many", "more than %d backends of all VIPs together", maxMembers)
		return seating{}
	}
	b.checkMembers(s, k)
	out := seating{pools: make(map[resource.Family][]resource.Pool)}
	if s.serve {
		for _, f := range s.families {
			out.pools[f] = b.poolsFor(f, s, k, &out)
		}
	}
	b.lb.seats[k] = out
	return out
}

func (b *builder) seatKey(s *service) seatKey {
	y, d := s.yaml, &b.lb.yaml.Defaults
	k := seatKey{
		encap: y.Encap.Or(d.Encap.Or(string(resource.IPIP))), drain: y.Drain.Or(d.Drain.Or(defaultDrain)),
		slowStart: y.SlowStart.Or(d.SlowStart.Val), serve: s.serve,
	}
	for _, f := range s.families {
		k.families += string(f) + " "
	}
	for _, p := range s.pools {
		k.pools += p.id + " "
	}
	return k
}

// applied tells encapsulations of this version from those of others.
func applied(encap string) bool {
	return encap == string(resource.IPIP) || encap == string(resource.L2DSR)
}

// encap is how packets get to a backend.
func (m member) encap(k seatKey) string { return m.yaml.Encap.Or(k.encap) }

// saysEncap is who says so.
func (m member) saysEncap(s *service) string {
	switch {
	case m.yaml.Encap.Ok():
		return "backend " + m.name
	case s.yaml.Encap.Ok():
		return "vip " + s.name
	}
	return "lb.defaults"
}

// checkMembers looks for backends that cannot serve a VIP, or that are one.
func (b *builder) checkMembers(s *service, k seatKey) {
	seen := make(map[netip.Addr]*backend)
	for _, p := range s.pools {
		for _, m := range p.members {
			var without []string
			for _, f := range s.families {
				a, ok := m.serves(f, m.encap(k))
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
			b.serves(s, m, m.encap(k), without)
		}
	}
}

// serves reports a backend that lacks addresses for a VIP.
func (b *builder) serves(s *service, m member, encap string, without []string) {
	if len(without) == 0 || !m.ipv4.IsValid() && !m.ipv6.IsValid() {
		return // all is well, or it is told where the backend is declared
	}
	p := strict.Problemf("family", "%s has no address that can serve the %s addresses of vip %s by %s",
		m.name, strings.Join(without, " and "), s.name, encap)
	if len(without) == len(s.families) {
		b.report.AtKey(m.at, p)
		return
	}
	if !b.lb.told[m.at.KeyPos] {
		b.lb.told[m.at.KeyPos] = true
		b.report.WarnKey(m.at, p)
	}
}

// poolsFor are the pools of a VIP as far as they serve a family. It adds the
// records of their backends.
func (b *builder) poolsFor(f resource.Family, s *service, k seatKey, seats *seating) []resource.Pool {
	var out []resource.Pool
	for _, p := range s.pools {
		one := resource.Pool{Name: p.name}
		for _, m := range p.members {
			a, ok := m.serves(f, m.encap(k))
			if !ok {
				continue
			}
			if b.waits(s, m, k) {
				seats.later = true
				continue
			}
			w := way{a, resource.Encap(m.encap(k))}
			if w.encap == resource.IPIP {
				b.lb.outer[resource.FamilyOf(a)] = true
			}
			one.Members = append(one.Members, resource.Member{
				Backend: b.record(m.backend, w), Weight: m.weight,
				Drain: m.yaml.Drain.Or(k.drain), SlowStart: m.yaml.SlowStart.Or(k.slowStart),
			})
		}
		if len(one.Members) == 0 {
			continue
		}
		slices.SortFunc(one.Members, func(x, y resource.Member) int { return strings.Compare(x.Backend, y.Backend) })
		b.checkRing(p, one.Members)
		out = append(out, one)
	}
	if len(out) > 0 {
		b.lb.rings[ringOf(out[0])] = true
	}
	return out
}

// ringOf tells pools apart that cannot share a ring while they serve.
func ringOf(p resource.Pool) [sha256.Size]byte {
	h := sha256.New()
	for _, m := range p.Members {
		fmt.Fprintln(h, m.Backend, m.Weight)
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// waits reports a backend of which something is not applied by this version.
func (b *builder) waits(s *service, m member, k seatKey) bool {
	c, encap := m.check, m.encap(k)
	switch {
	case !applied(encap):
		b.later("encap "+encap+" of "+m.saysEncap(s), declared(s.at))
	case m.later != "":
		b.later(m.later+" of backend "+m.name, declared(m.at))
	case c != nil && c.later != "":
		b.later(c.later+" of healthcheck "+c.one.Name, c.yaml.At())
	default:
		return false
	}
	return true
}
