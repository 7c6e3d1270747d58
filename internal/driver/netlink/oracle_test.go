package netlink

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	oracle "github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"reconciler/internal/observed"
	"reconciler/internal/resource"
)

// TestOracle holds all that is read from a host of many kinds of things against
// a library that shares no code with the driver.
func TestOracle(t *testing.T) {
	b := newBench(t)
	b.manyThings()
	have, seen := b.still()

	ours := map[resource.Key]string{}
	counts := map[resource.Kind]int{}
	for _, o := range have.Objects.All() {
		if text := textOf(o.Resource); text != "" {
			ours[o.Key()] = text
			counts[o.Key().Kind]++
		}
	}
	// What manyThings asks for; how many link-local addresses stand beside it, and
	// when, is the kernel's affair.
	for kind, least := range map[resource.Kind]int{
		resource.KindLink: 8, resource.KindPort: 1, resource.KindAddress: 6, resource.KindRoute: 15, resource.KindRule: 9, resource.KindNeighbour: 3,
	} {
		if counts[kind] < least {
			t.Errorf("read %d of kind %s, want %d or more: not the host that was meant", counts[kind], kind, least)
		}
	}
	for k, text := range ours {
		if !slices.Contains(seen[k], text) {
			t.Errorf("%s: read\n%s\nwant one of\n%s", k, text, strings.Join(seen[k], "\n"))
		}
	}
	for k, text := range seen {
		if _, ok := ours[k]; !ok {
			t.Errorf("%s is not read: %s", k, text)
		}
	}
}

// still reads the host and what the oracle says of it, at a time when nothing
// comes and goes: the kernel gives new links addresses when it likes.
func (b *bench) still() (have observed.State, seen map[resource.Key][]string) {
	b.t.Helper()
	for range 100 {
		var before map[resource.Key][]string
		var err, again error
		b.Do(func() { before, err = readOracle() })
		have = b.look(observed.Query{All: true})
		b.Do(func() { seen, again = readOracle() })
		if err == nil && again == nil && reflect.DeepEqual(before, seen) {
			return have, seen
		}
		time.Sleep(20 * time.Millisecond)
	}
	b.t.Fatal("the host does not come to rest")
	return
}

// manyThings fills a host, with ip.
func (b *bench) manyThings() {
	b.t.Helper()
	script := `link add p0 address 02:00:00:00:00:01 type veth peer name p1
link add br0 type bridge ageing_time 12000 mcast_snooping 0
link add vx0 type vxlan id 77 local 192.0.2.1 dstport 4789 nolearning ttl 9
link add mv0 link p0 type macvlan mode vepa
link add q0 mtu 1400 txqueuelen 77 type veth peer name q1
link set q0 alias some-words group 21059 master br0
link set p0 up
link set p1 up
link set br0 up
link set q0 up
link set vx0 up
link set mv0 up
address add 192.0.2.1/24 dev p0
address add 192.0.2.2/24 dev p0
address add 192.0.2.3/32 dev p0 scope link
address add 10.0.0.1/8 dev br0
address add 10.9.0.1 peer 10.9.0.2/32 dev p0
address add 2001:db8:9::1 peer 2001:db8:9::2/128 dev p0 nodad
address add 10.8.0.1/24 dev p0 valid_lft 3600 preferred_lft 1800
address add 2001:db8::1/64 dev p0 nodad
address add 2001:db8:1::1/64 dev br0 nodad
route add default via 192.0.2.254 dev p0 proto 210 metric 7
route add 198.51.100.0/24 table 100 src 192.0.2.1 mtu 1300 nexthop via 192.0.2.253 dev p0 weight 2 nexthop via 10.0.0.254 dev br0
route add 198.51.101.0/24 dev p0 scope link proto bird
route add blackhole 203.0.113.0/24 table 70000
route add unreachable 2001:db8:ffff::/48
route add 2001:db8:2::/48 via 2001:db8::2 dev p0 metric 5 proto 210
route add 2001:db8:3::/48 nexthop via 2001:db8::2 dev p0 weight 3 nexthop via 2001:db8:1::2 dev br0
rule add priority 100 from 192.0.2.0/24 fwmark 0x10/0xff iif p0 table 70000 protocol 210
rule add priority 101 not to 192.0.2.0/24 tos 8 prohibit
rule add priority 102 ipproto 6 dport 80-90 sport 7 goto 103
rule add priority 103 table main suppress_prefixlength 0
neighbour add 192.0.2.9 lladdr 02:00:00:00:00:09 dev p0 nud permanent protocol 210
neighbour add 192.0.2.10 lladdr 02:00:00:00:00:0a dev p0 nud reachable
neighbour add 2001:db8::9 lladdr 02:00:00:00:00:19 dev p0 nud permanent
neighbour add proxy 192.0.2.99 dev p0
`
	file := filepath.Join(b.t.TempDir(), "script")
	if err := os.WriteFile(file, []byte(script), 0o600); err != nil {
		b.t.Fatal(err)
	}
	b.IP("-batch", file)
	b.IP("-6", "rule", "add", "priority", "104", "from", "2001:db8::/32", "oif", "br0", "blackhole")
}

// textOf says of a resource all that the oracle knows, in its words; nothing of
// a kind that it does not.
func textOf(r resource.Resource) string {
	switch r := r.(type) {
	case resource.Link:
		return linkText(r)
	case resource.Port:
		return "master " + r.Master
	case resource.Address:
		return fmt.Sprintf("peer %s scope %s expires %v secondary %v nodad %v", r.Peer, r.Scope, r.Expires, r.Secondary, r.NoDAD)
	case resource.Route:
		var hops []string
		for _, h := range r.Hops {
			hops = append(hops, hopText(h.Via, h.Dev, int(h.Weight)))
		}
		return routeText(string(r.Type), int(r.Protocol), string(r.Scope), r.PrefSrc, int(r.MTU), hops)
	case resource.Rule: // the library does not read the action
		suppress := -1
		if n, ok := r.SuppressPrefixLen.Get(); ok {
			suppress = int(n)
		}
		return words(r.Not, prefixText(r.From), prefixText(r.To), r.FwMark, r.FwMask, r.IIF, r.OIF, r.TOS, r.IPProto, r.SPort, r.DPort,
			r.Table, r.Goto, suppress, r.Protocol)
	case resource.Neighbour:
		return words(net.HardwareAddr(r.LLAddr[:]), r.Proxy)
	}
	return ""
}

func words(v ...any) string { return strings.TrimSpace(fmt.Sprintln(v...)) }

func linkText(l resource.Link) string {
	extra := ""
	switch l.Type {
	case resource.Veth:
		extra = l.Peer
	case resource.MACVLAN:
		extra = words(l.Below, l.Mode)
	case resource.VXLAN:
		extra = words(l.VXLAN.ID, l.VXLAN.Local, l.VXLAN.Port, l.VXLAN.Learning.Or(true), l.VXLAN.TTL.Or(0))
	case resource.Bridge:
		extra = words(l.Bridge.VLANFiltering.Or(false), l.Bridge.AgeingTime.Or(0), l.Bridge.MulticastSnooping.Or(true), l.Bridge.HelloTime.Or(0))
	}
	return words(l.Type, l.Seen.Index, l.MTU, net.HardwareAddr(l.MAC[:]), l.State == resource.Up, l.Description.Or(""),
		l.TxQueueLen.Or(0), l.Group, l.Seen.Master, extra)
}

func hopText(via netip.Addr, dev string, weight int) string {
	return fmt.Sprintf("via %s dev %s weight %d", via, dev, weight)
}

func routeText(kind string, protocol int, scope string, src netip.Addr, mtu int, hops []string) string {
	return words(kind, protocol, scope, src, mtu, hops)
}

func prefixText(p netip.Prefix) string {
	if !p.IsValid() {
		return "all"
	}
	return p.String()
}

// oracleHost is a host as the library reads it.
type oracleHost struct {
	err   error // of lists that could not be read, or were interrupted
	seen  map[resource.Key][]string
	names map[int]string
}

// listed passes a list on and keeps its error.
func listed[T any](h *oracleHost) func([]T, error) []T {
	return func(list []T, err error) []T {
		h.err = errors.Join(h.err, err)
		return list
	}
}

// readOracle reads the namespace of the calling thread. Where the kernel has
// several objects of one identity there are several texts.
func readOracle() (map[resource.Key][]string, error) {
	h := &oracleHost{seen: map[resource.Key][]string{}, names: map[int]string{}}
	h.links()
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		h.addresses(family)
		h.routes(family)
		h.rules(family)
		h.neighbours(family)
	}
	return h.seen, h.err
}

func (h *oracleHost) add(k resource.Key, text string) { h.seen[k] = append(h.seen[k], text) }

func (h *oracleHost) links() {
	links := listed[oracle.Link](h)(oracle.LinkList())
	for _, l := range links {
		h.names[l.Attrs().Index] = l.Attrs().Name
	}
	for _, l := range links {
		a := l.Attrs()
		kind, extra := l.Type(), ""
		switch l := l.(type) {
		case *oracle.Device:
			kind = ""
		case *oracle.Veth:
			extra = h.names[a.ParentIndex]
		case *oracle.Macvlan:
			extra = words(h.names[a.ParentIndex], map[oracle.MacvlanMode]string{oracle.MACVLAN_MODE_VEPA: "vepa"}[l.Mode])
		case *oracle.Vxlan:
			extra = words(l.VxlanId, l.SrcAddr, l.Port, l.Learning, l.TTL)
		case *oracle.Bridge:
			extra = words(*l.VlanFiltering, *l.AgeingTime, *l.MulticastSnooping, *l.HelloTime)
		}
		mac := a.HardwareAddr
		if mac == nil {
			mac = make(net.HardwareAddr, 6)
		}
		h.add(resource.LinkKey(a.Name), words(resource.LinkType(kind), int32(a.Index), uint32(a.MTU), mac, a.RawFlags&unix.IFF_UP != 0, a.Alias,
			uint32(a.TxQLen), a.Group, h.names[a.MasterIndex], extra))
		if a.MasterIndex != 0 {
			h.add(resource.PortKey(a.Name), "master "+h.names[a.MasterIndex])
		}
	}
}

func (h *oracleHost) addresses(family int) {
	for _, a := range listed[oracle.Addr](h)(oracle.AddrList(nil, family)) {
		k := resource.AddressKey(h.names[a.LinkIndex], prefixOf(a.IPNet))
		peer := netip.Addr{}
		if a.Peer != nil && !a.Peer.IP.Equal(a.IP) {
			peer = addrOf(a.Peer.IP)
		}
		h.add(k, fmt.Sprintf("peer %s scope %s expires %v secondary %v nodad %v", peer, scopeName(uint8(a.Scope)), uint32(a.ValidLft) != forever,
			family == unix.AF_INET && a.Flags&unix.IFA_F_SECONDARY != 0, a.Flags&unix.IFA_F_NODAD != 0))
	}
}

func (h *oracleHost) routes(family int) {
	for _, r := range listed[oracle.Route](h)(oracle.RouteListFiltered(family, &oracle.Route{Table: unix.RT_TABLE_UNSPEC}, oracle.RT_FILTER_TABLE)) {
		var hops []string
		for _, n := range r.MultiPath {
			hops = append(hops, hopText(addrOf(n.Gw), h.names[n.LinkIndex], n.Hops+1))
		}
		kind := oracleRouteTypes[r.Type]
		if len(hops) == 0 && (kind == "unicast" || kind == "local" || kind == "broadcast" || kind == "multicast" || kind == "anycast") {
			hops = []string{hopText(addrOf(r.Gw), h.names[r.LinkIndex], 1)}
		}
		h.add(resource.RouteKey(prefixOf(r.Dst), uint32(r.Table), uint32(r.Priority)),
			routeText(kind, int(r.Protocol), string(scopeName(uint8(r.Scope))), addrOf(r.Src), r.MTU, hops))
	}
}

var oracleRouteTypes = map[int]string{
	unix.RTN_UNICAST: "unicast", unix.RTN_LOCAL: "local", unix.RTN_BROADCAST: "broadcast", unix.RTN_ANYCAST: "anycast",
	unix.RTN_MULTICAST: "multicast", unix.RTN_BLACKHOLE: "blackhole", unix.RTN_UNREACHABLE: "unreachable", unix.RTN_PROHIBIT: "prohibit",
}

func (h *oracleHost) rules(family int) {
	for _, r := range listed[oracle.Rule](h)(oracle.RuleList(family)) {
		mask := uint32(0)
		if r.Mask != nil {
			mask = *r.Mask
		}
		f := resource.IPv4
		if family == unix.AF_INET6 {
			f = resource.IPv6
		}
		h.add(resource.RuleKey(f, uint32(max(r.Priority, 0))), words(r.Invert, networkText(r.Src), networkText(r.Dst), r.Mark, mask, r.IifName, r.OifName,
			uint8(r.Tos), r.IPProto, portsOf(r.Sport), portsOf(r.Dport), r.Table, max(r.Goto, 0), r.SuppressPrefixlen, r.Protocol))
	}
}

func portsOf(p *oracle.RulePortRange) resource.PortRange {
	if p == nil {
		return resource.PortRange{}
	}
	return resource.PortRange{First: p.Start, Last: p.End}
}

func (h *oracleHost) neighbours(family int) {
	known := slices.Concat(listed[oracle.Neigh](h)(oracle.NeighList(0, family)), listed[oracle.Neigh](h)(oracle.NeighProxyList(0, family)))
	for _, n := range known {
		proxy := n.Flags&unix.NTF_PROXY != 0
		if !proxy && n.State&unix.NUD_PERMANENT == 0 {
			continue
		}
		mac := n.HardwareAddr
		if mac == nil {
			mac = make(net.HardwareAddr, 6)
		}
		k := resource.Neighbour{Link: h.names[n.LinkIndex], To: addrOf(n.IP), Proxy: proxy}.Key()
		h.add(k, words(mac, proxy))
	}
}

func addrOf(ip net.IP) netip.Addr {
	a, _ := netip.AddrFromSlice(ip)
	return a.Unmap()
}

func prefixOf(n *net.IPNet) netip.Prefix {
	bits, _ := n.Mask.Size()
	return netip.PrefixFrom(addrOf(n.IP), bits)
}

func networkText(n *net.IPNet) string {
	if n == nil {
		return "all"
	}
	return prefixOf(n).String()
}
