package walk

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"reconciler/internal/resource"
	"reconciler/internal/testns"
)

// facts are lines that say what is there, in a form that both a set and the
// output of ip lead to.
type facts map[string]bool

func (f facts) add(format string, args ...any) { f[fmt.Sprintf(format, args...)] = true }

// minus lists what is in f and not in other.
func (f facts) minus(other facts) []string {
	var out []string
	for line := range f {
		if !other[line] {
			out = append(out, line)
		}
	}
	slices.Sort(out)
	return out
}

// told turns a predicted set into facts. What the kernel makes by itself is
// left out on both sides.
func told(set *resource.Set) facts {
	f := facts{}
	for _, o := range set.All() {
		if o.Owner == resource.Kernel && o.Key().Kind != resource.KindLink {
			continue
		}
		switch r := o.Resource.(type) {
		case resource.Link:
			f.add("link %s type %q state %s group %d alias %q", r.Name, r.Type, r.State, r.Group, r.Description.Or(""))
			if r.MTU != 0 && certain(set, o) {
				f.add("mtu %s %d", r.Name, r.MTU)
			}
			if r.Type == resource.VXLAN {
				f.add("vxlan %s id %d", r.Name, r.VXLAN.ID)
			}
			if r.Below != "" {
				f.add("below %s %s", r.Name, r.Below)
			}
		case resource.Port:
			f.add("port %s %s", r.Link, r.Master)
		case resource.Address:
			f.add("address %s dev %s", r.Prefix, r.Link)
		case resource.Route:
			f.add("route %s", r.Key().Name+way(r))
		case resource.Rule:
			f.add("rule %d from %s table %d", r.Priority, r.From, r.Table)
		case resource.Neighbour:
			f.add("neighbour %s dev %s %s", r.To, r.Link, r.LLAddr)
		}
	}
	return f
}

// certain reports an MTU that can be predicted: a bridge that was given none
// has what its ports let it have, and so has what stands on it.
func certain(set *resource.Set, o resource.Object) bool {
	l, ok := o.Resource.(resource.Link)
	if !ok || l.Type == resource.Bridge && (o.Origin == "" || l.Kept.MTU) {
		return false
	}
	if !l.LimitedBelow() {
		return true
	}
	below, _ := set.Get(resource.LinkKey(l.Below))
	return certain(set, below)
}

func way(r resource.Route) string {
	if len(r.Hops) == 0 {
		return " " + string(r.Type)
	}
	text := " via " + r.Hops[0].Via.String() + " dev " + r.Hops[0].Dev
	if r.PrefSrc.IsValid() {
		text += " src " + r.PrefSrc.String()
	}
	return text
}

// seen asks ip.
func seen(ns *testns.NS) facts {
	f := facts{}
	seenLinks(ns, f)
	seenAddresses(ns, f)
	seenRoutes(ns, f)
	seenRules(ns, f)
	seenNeighbours(ns, f)
	return f
}

type ipLink struct {
	Name     string   `json:"ifname"`
	Flags    []string `json:"flags"`
	MTU      uint32   `json:"mtu"`
	Master   string   `json:"master"`
	Group    string   `json:"group"`
	Alias    string   `json:"ifalias"`
	Below    string   `json:"link"`
	LinkInfo struct {
		Kind string `json:"info_kind"`
		Data struct {
			ID uint32 `json:"id"`
		} `json:"info_data"`
	} `json:"linkinfo"`
}

func seenLinks(ns *testns.NS, f facts) {
	var links []ipLink
	ns.JSON([]string{"-d", "-N", "link"}, &links)
	for _, l := range links {
		state := resource.Down
		if slices.Contains(l.Flags, "UP") {
			state = resource.Up
		}
		group, _ := strconv.Atoi(strings.Replace(l.Group, "default", "0", 1))
		f.add("link %s type %q state %s group %d alias %q", l.Name, l.LinkInfo.Kind, state, group, l.Alias)
		f.add("mtu %s %d", l.Name, l.MTU)
		if l.LinkInfo.Kind == "vxlan" {
			f.add("vxlan %s id %d", l.Name, l.LinkInfo.Data.ID)
		}
		if l.LinkInfo.Kind == "macvlan" {
			f.add("below %s %s", l.Name, l.Below)
		}
		if l.Master != "" {
			f.add("port %s %s", l.Name, l.Master)
		}
	}
}

func seenAddresses(ns *testns.NS, f facts) {
	var links []struct {
		Name string `json:"ifname"`
		Info []struct {
			Local    string `json:"local"`
			Length   int    `json:"prefixlen"`
			Protocol string `json:"protocol"`
		} `json:"addr_info"`
	}
	ns.JSON([]string{"addr"}, &links)
	for _, l := range links {
		for _, a := range l.Info {
			addr := netip.MustParseAddr(a.Local)
			if addr.IsLinkLocalUnicast() || addr.IsLoopback() {
				continue
			}
			f.add("address %s dev %s", netip.PrefixFrom(addr, a.Length), l.Name)
		}
	}
}

func seenRoutes(ns *testns.NS, f facts) {
	var routes []struct {
		Dst      string `json:"dst"`
		Gateway  string `json:"gateway"`
		Dev      string `json:"dev"`
		Type     string `json:"type"`
		Protocol string `json:"protocol"`
		Table    string `json:"table"`
		Metric   uint32 `json:"metric"`
		PrefSrc  string `json:"prefsrc"`
	}
	ns.JSON([]string{"-N", "route", "show", "table", "all"}, &routes)
	for _, r := range routes {
		if r.Protocol == "2" || r.Protocol == "kernel" {
			continue
		}
		to, err := netip.ParsePrefix(r.Dst)
		if err != nil {
			to = netip.PrefixFrom(netip.MustParseAddr(r.Dst), 32)
		}
		table := uint64(resource.MainTable)
		if r.Table != "" {
			table, _ = strconv.ParseUint(r.Table, 10, 32)
		}
		key := resource.RouteKey(to, uint32(table), r.Metric).Name
		if r.Gateway == "" {
			kind := map[string]string{"6": "blackhole"}[r.Type]
			if kind == "" {
				kind = r.Type
			}
			f.add("route %s %s", key, kind)
			continue
		}
		src := ""
		if r.PrefSrc != "" {
			src = " src " + r.PrefSrc
		}
		f.add("route %s via %s dev %s%s", key, r.Gateway, r.Dev, src)
	}
}

func seenRules(ns *testns.NS, f facts) {
	var rules []struct {
		Priority uint32 `json:"priority"`
		Src      string `json:"src"`
		Length   int    `json:"srclen"`
		Table    string `json:"table"`
	}
	ns.JSON([]string{"-N", "rule"}, &rules)
	for _, r := range rules {
		if r.Priority >= 1000 && r.Priority < 2000 {
			f.add("rule %d from %s/%d table %s", r.Priority, r.Src, r.Length, r.Table)
		}
	}
}

func seenNeighbours(ns *testns.NS, f facts) {
	var all []struct {
		Dst    string   `json:"dst"`
		Dev    string   `json:"dev"`
		LLAddr string   `json:"lladdr"`
		State  []string `json:"state"`
	}
	ns.JSON([]string{"neigh", "show", "nud", "permanent"}, &all)
	for _, n := range all {
		f.add("neighbour %s dev %s %s", n.Dst, n.Dev, n.LLAddr)
	}
}
