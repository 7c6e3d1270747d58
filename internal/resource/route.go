package resource

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// KindRoute is a route in a routing table.
const KindRoute Kind = "route"

// MainTable is RT_TABLE_MAIN, the table of a route that names none.
const MainTable = 254

// MetricIPv6 is what the kernel makes of metric 0 in IPv6.
const MetricIPv6 = 1024

// RouteType is a route type by its name in iproute2.
type RouteType string

// Route types; empty when wanted is unicast.
const (
	Unicast     RouteType = "unicast"
	Blackhole   RouteType = "blackhole"
	Unreachable RouteType = "unreachable"
	Prohibit    RouteType = "prohibit"
	Throw       RouteType = "throw"
	Local       RouteType = "local"
)

// NextHop is one way of a route.
type NextHop struct {
	Via    netip.Addr `json:"via,omitzero"`
	Dev    string     `json:"dev,omitempty"`
	Weight uint16     `json:"weight,omitempty"` // 1 to 256; 1 where the route has one way
	Onlink bool       `json:"onlink,omitempty"`
}

// Route is identified by table, destination, metric and, where it has one, type
// of service; its family is the destination's.
type Route struct {
	To      netip.Prefix `json:"to"` // masked; 0.0.0.0/0 and ::/0 are the defaults
	Table   uint32       `json:"table"`
	Metric  uint32       `json:"metric,omitempty"`
	Type    RouteType    `json:"type,omitempty"`
	Hops    []NextHop    `json:"hops,omitempty"`
	PrefSrc netip.Addr   `json:"src,omitzero"`
	Scope   Scope        `json:"scope,omitempty"`
	MTU     uint32       `json:"mtu,omitempty"` // bytes, of the path
	// Other is the text of what the kernel's route has beyond all this. No
	// wanted route has any, nor a type of service.
	Other    string `json:"other,omitempty"`
	TOS      uint8  `json:"tos,omitempty"`
	Protocol uint8  `json:"protocol,omitempty"`
	Adopt    bool   `json:"adopt,omitempty"`
}

// RouteKey identifies a route.
func RouteKey(to netip.Prefix, table, metric uint32) Key {
	b := make([]byte, 0, 64)
	b = to.AppendTo(b)
	if table != MainTable {
		b = append(b, " table "...)
		b = strconv.AppendUint(b, uint64(table), 10)
	}
	if metric != 0 && (metric != MetricIPv6 || to.Addr().Is4()) {
		b = append(b, " metric "...)
		b = strconv.AppendUint(b, uint64(metric), 10)
	}
	return Key{Netlink, KindRoute, string(b)}
}

// Key identifies the route.
func (r Route) Key() Key {
	k := RouteKey(r.To, r.Table, r.Metric)
	if r.TOS != 0 {
		k.Name += " tos 0x" + strconv.FormatUint(uint64(r.TOS), 16)
	}
	return k
}

// Requires the links of its next hops.
func (r Route) Requires() []Key {
	var keys []Key
	for _, h := range r.Hops {
		if h.Dev != "" {
			keys = append(keys, LinkKey(h.Dev))
		}
	}
	return keys
}

// Parent is the link of the first next hop.
func (r Route) Parent() string {
	if len(r.Hops) == 0 {
		return ""
	}
	return r.Hops[0].Dev
}

// Parents lists the links of all next hops, each once.
func (r Route) Parents() []string {
	var out []string
	for _, h := range r.Hops {
		if h.Dev != "" && !slices.Contains(out, h.Dev) {
			out = append(out, h.Dev)
		}
	}
	return out
}

// Equal compares what the kernel holds.
func (r Route) Equal(o Resource) bool {
	b, ok := o.(Route)
	return ok && r.To == b.To && r.Table == b.Table && r.Metric == b.Metric && r.Type == b.Type &&
		r.PrefSrc == b.PrefSrc && r.Scope == b.Scope && r.MTU == b.MTU && r.Protocol == b.Protocol &&
		r.TOS == b.TOS && r.Other == b.Other &&
		slices.Equal(r.Hops, b.Hops)
}

// Inherit fills what YAML does not say. Of a route that is ours only what the
// kernel chose: its scope while it has the same kind of way, and the link of a
// gateway where none is named.
func (r Route) Inherit(have Resource) Resource {
	h, ok := have.(Route)
	if !ok {
		return r
	}
	r.Type = orZero(r.Type, Unicast)
	if len(r.Hops) == len(h.Hops) && r.direct() == h.direct() {
		r.Scope = orZero(r.Scope, h.Scope)
	}
	if h.Protocol != Protocol && !r.Adopt {
		r.PrefSrc = orZero(r.PrefSrc, h.PrefSrc)
		r.MTU = orZero(r.MTU, h.MTU)
		r.Protocol = h.Protocol
	}
	if len(r.Hops) == len(h.Hops) && len(r.Hops) > 0 {
		hops := slices.Clone(r.Hops)
		for i := range hops {
			if hops[i].Dev == "" && hops[i].Via == h.Hops[i].Via {
				hops[i].Dev = h.Hops[i].Dev
			}
		}
		r.Hops = hops
	}
	if h.Protocol != Protocol && !r.Adopt {
		r.Other = r.otherOf(h)
	}
	return r
}

// otherOf keeps what is beyond words on a route of somebody else's, while no
// change of the route must drop it.
func (r Route) otherOf(have Route) string {
	r.Other = have.Other
	if r.Equal(have) {
		return have.Other
	}
	return ""
}

// direct reports a route whose destination is on the link itself.
func (r Route) direct() bool { return len(r.Hops) == 1 && !r.Hops[0].Via.IsValid() }

// hasWayBeside reports whether a next hop is on a link that is up, and none of
// those named.
func (r Route) hasWayBeside(links []string, have View) bool {
	return slices.ContainsFunc(r.Hops, func(h NextHop) bool {
		o, _ := have.Get(LinkKey(h.Dev))
		other, ok := o.Resource.(Link)
		return !slices.Contains(links, h.Dev) && ok && other.State == Up
	})
}

// Rename passes the names of the links on.
func (r Route) Rename(to func(string) string) Resource {
	r.Hops = slices.Clone(r.Hops)
	for i := range r.Hops {
		if r.Hops[i].Dev != "" {
			r.Hops[i].Dev = to(r.Hops[i].Dev)
		}
	}
	return r
}

// Fields lists the attributes that are set.
func (r Route) Fields() []Field {
	var f fields
	if r.Type != Unicast {
		f.add("type", string(r.Type))
	}
	if r.direct() {
		f.add("dev", r.Hops[0].Dev)
	} else {
		f.add("via", r.hops())
	}
	f.add("src", addrText(r.PrefSrc))
	f.add("scope", string(r.Scope))
	f.add("mtu", number(uint64(r.MTU)))
	f.add("other", r.Other)
	f.add("protocol", number(uint64(r.Protocol)))
	return f
}

func (r Route) hops() string {
	var parts []string
	for _, h := range r.Hops {
		s := addrText(h.Via)
		if h.Dev != "" {
			s = strings.TrimSpace(s + " dev " + h.Dev)
		}
		if h.Weight > 1 {
			s += " weight " + strconv.Itoa(int(h.Weight))
		}
		if h.Onlink {
			s += " onlink"
		}
		parts = append(parts, s)
	}
	return strings.Join(parts, ", ")
}
