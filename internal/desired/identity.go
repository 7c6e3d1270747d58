package desired

import (
	"net/netip"
	"strings"

	"reconciler/internal/resource"
	"reconciler/internal/strict"
)

// identity tells an item of a list from the others; which fields are used
// depends on the list.
type identity struct {
	prefix netip.Prefix
	family resource.Family
	number uint32 // metric, priority, vid
	table  uint32
	name   string
}

// places are the lists whose items have an identity.
func places() *spot {
	link := &spot{below: map[string]*spot{
		"addresses":   {identity: addressIdentity},
		"neighbours":  {identity: neighbourIdentity},
		"fdb":         {identity: fdbIdentity},
		"bridge-port": {below: map[string]*spot{"vlans": {identity: vlanIdentity}}},
	}}
	addresses := func(by func(*merger, *strict.Value) (identity, bool), differ string) *spot {
		return &spot{each: &spot{below: map[string]*spot{"addresses": {identity: by, differ: differ}}}}
	}
	contents := &spot{below: map[string]*spot{"entries": {identity: entryIdentity}}}
	return &spot{below: map[string]*spot{
		"version":    {agree: true},
		"interfaces": {each: link},
		"routes":     {identity: routeIdentity, differ: "metric or table"},
		"rules":      {identity: ruleIdentity, differ: "priority"},
		"backends":   addresses(backendIdentity, "family"),
		"vips":       addresses(vipIdentity, "address"),
		"programs":   {each: &spot{below: map[string]*spot{"maps": {each: contents}}}},
	}}
}

func addressIdentity(_ *merger, v *strict.Value) (identity, bool) {
	if v.Kind == strict.Mapping {
		v = v.Get("address")
	}
	p, ok := prefixOf(v)
	return identity{prefix: p}, ok
}

func prefixOf(v *strict.Value) (netip.Prefix, bool) {
	if v == nil || v.Kind != strict.String {
		return netip.Prefix{}, false
	}
	p, err := netip.ParsePrefix(v.Text)
	return p, err == nil
}

// backendIdentity is the family of an address: a backend has one of each.
func backendIdentity(_ *merger, v *strict.Value) (identity, bool) {
	if v.Kind == strict.Mapping {
		v = v.Get("address")
	}
	a, err := netip.ParseAddr(textOf(v))
	return identity{family: resource.FamilyOf(a)}, err == nil
}

func vipIdentity(_ *merger, v *strict.Value) (identity, bool) {
	if v.Kind == strict.Mapping {
		v = v.Get("address")
	}
	if a, err := netip.ParseAddr(textOf(v)); err == nil {
		return identity{prefix: netip.PrefixFrom(a, a.BitLen())}, true
	}
	p, ok := prefixOf(v)
	return identity{prefix: p}, ok
}

func neighbourIdentity(_ *merger, v *strict.Value) (identity, bool) {
	to := v.Get("to")
	if to == nil {
		return identity{}, false
	}
	a, err := netip.ParseAddr(to.Text)
	return identity{name: a.String()}, err == nil
}

func fdbIdentity(_ *merger, v *strict.Value) (identity, bool) {
	mac, err := resource.ParseMAC(strings.ToLower(textOf(v.Get("lladdr"))))
	dst := textOf(v.Get("dst"))
	if a, err := netip.ParseAddr(dst); err == nil {
		dst = a.String()
	}
	return identity{name: mac.String() + " " + dst}, err == nil && mac != resource.MAC{}
}

func vlanIdentity(_ *merger, v *strict.Value) (identity, bool) {
	n, ok := numberOf(v.Get("vid"))
	return identity{number: n}, ok
}

// entryIdentity is the key of an entry as it is written; only the program's
// types tell whether two texts are one key.
func entryIdentity(_ *merger, v *strict.Value) (identity, bool) {
	key := v.Get("key")
	if key == nil || key.Kind == strict.Null {
		return identity{}, false
	}
	return identity{name: rawText(key)}, true
}

func routeIdentity(m *merger, v *strict.Value) (identity, bool) {
	to, ok := destination(v)
	if !ok {
		return identity{}, false
	}
	id := identity{prefix: to, table: resource.MainTable}
	if metric := v.Get("metric"); metric != nil {
		if id.number, ok = numberOf(metric); !ok {
			return id, false
		}
	}
	if id.number == 0 && to.Addr().Is6() {
		id.number = resource.MetricIPv6
	}
	if table := v.Get("table"); table != nil && table.Kind != strict.Null {
		id.table, ok = m.table(table)
	}
	return id, ok
}

// destination is the masked prefix of a route.
func destination(v *strict.Value) (netip.Prefix, bool) {
	to := textOf(v.Get("to"))
	if to == "default" {
		return defaultRoute(routeFamily(v)), true
	}
	if p, err := netip.ParsePrefix(to); err == nil {
		return p.Masked(), true
	}
	a, err := netip.ParseAddr(to)
	return netip.PrefixFrom(a, a.BitLen()), err == nil
}

// routeFamily is what a default route is told by: its own word, a gateway, or
// else IPv4.
func routeFamily(v *strict.Value) resource.Family {
	if f := textOf(v.Get("family")); f == string(resource.IPv6) {
		return resource.IPv6
	}
	hints := []*strict.Value{v.Get("via"), v.Get("src")}
	if hops := v.Get("next-hops"); hops != nil {
		for _, h := range hops.Children {
			hints = append(hints, h.Get("via"))
		}
	}
	for _, h := range hints {
		if a, err := netip.ParseAddr(textOf(h)); err == nil {
			return resource.FamilyOf(a)
		}
	}
	return resource.IPv4
}

func defaultRoute(f resource.Family) netip.Prefix {
	if f == resource.IPv6 {
		return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
}

// table resolves the name or number of a routing table.
func (m *merger) table(v *strict.Value) (uint32, bool) {
	if v.Kind == strict.Int {
		return numberOf(v)
	}
	if n, ok := wellKnownTables(v.Text); ok {
		return n, true
	}
	n, ok := m.tables[v.Text]
	return n, ok
}

func ruleIdentity(_ *merger, v *strict.Value) (identity, bool) {
	priority, ok := numberOf(v.Get("priority"))
	return identity{number: priority, family: ruleFamily(v)}, ok
}

// ruleFamily is what a rule says, or what its selectors say; empty is both.
func ruleFamily(v *strict.Value) resource.Family {
	if f := textOf(v.Get("family")); f != "" {
		return resource.Family(f)
	}
	for _, key := range []string{"from", "to"} {
		text, _, _ := strings.Cut(textOf(v.Get(key)), "/")
		if a, err := netip.ParseAddr(text); err == nil {
			return resource.FamilyOf(a)
		}
	}
	return bothFamilies
}

const bothFamilies resource.Family = "both"

func textOf(v *strict.Value) string {
	if v == nil {
		return ""
	}
	return v.Text
}

func numberOf(v *strict.Value) (uint32, bool) {
	if v == nil {
		return 0, false
	}
	n, problem := strict.ReadNumber(v)
	return uint32(n), problem == nil && n <= 1<<32-1
}
