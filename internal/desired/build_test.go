package desired

import (
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"reconciler/internal/resource"
)

// TestGolden prints what the whole examples of the language declare.
func TestGolden(t *testing.T) {
	for _, dir := range []string{"testdata/ok", "testdata/ok-guest"} {
		d, err := Load(os.DirFS(dir), Options{Balancer: ownBalancer(), Now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)})
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		for _, o := range d.Want.All() {
			fmt.Fprintf(&b, "%s %s", o.Origin, strings.TrimPrefix(o.Key().String(), "netlink/"))
			for _, f := range o.Fields() {
				fmt.Fprintf(&b, "  %s %s", f.Name, f.Value)
			}
			b.WriteByte('\n')
		}
		for _, w := range d.Warnings {
			fmt.Fprintln(&b, w)
		}
		golden := dir + ".golden"
		if *update {
			if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), b.String()); diff != "" {
			t.Errorf("%s:\n%s", golden, diff)
		}
	}
}

func TestResources(t *testing.T) {
	hop := func(via, dev string, weight uint16) resource.NextHop {
		h := resource.NextHop{Dev: dev, Weight: weight}
		if via != "" {
			h.Via = netip.MustParseAddr(via)
		}
		return h
	}
	prefix := netip.MustParsePrefix
	const ours = resource.Protocol
	for _, tt := range []struct {
		text string
		want []resource.Resource
	}{
		{"interfaces: {eth0: {}}", []resource.Resource{resource.Link{Name: "eth0"}}},
		{"interfaces: {eth0: {adopt: true, required: false, exact: [routes, neighbours]}}", []resource.Resource{
			resource.Link{Name: "eth0", Group: resource.LinkGroup, Policy: resource.LinkPolicy{
				Adopt: true, Optional: true, Exact: []resource.Kind{resource.KindRoute, resource.KindNeighbour}}},
		}},
		{"interfaces: {d0: {kind: dummy, mtu: 1400, mac: 02-00-00-00-00-AA, txqueuelen: 0, description: \"\"}}", []resource.Resource{
			resource.Link{Name: "d0", Type: resource.Dummy, Group: resource.LinkGroup, State: resource.Up, MTU: 1400,
				MAC: resource.MAC{2, 0, 0, 0, 0, 0xaa}, TxQueueLen: resource.Some[uint32](0), Description: resource.Some("")},
		}},
		{"interfaces: {p0: {kind: veth, veth: {peer: p1}}}", []resource.Resource{
			resource.Link{Name: "p0", Type: resource.Veth, Peer: "p1", Group: resource.LinkGroup, State: resource.Up},
			resource.Link{Name: "p1", Type: resource.Veth, Peer: "p0", Far: true, Group: resource.LinkGroup, State: resource.Up,
				Policy: resource.LinkPolicy{Optional: true}},
		}},
		{"interfaces: {b: {kind: veth, veth: {peer: a}}, a: {kind: veth, state: down, veth: {peer: b}}}", []resource.Resource{
			resource.Link{Name: "a", Type: resource.Veth, Peer: "b", Group: resource.LinkGroup, State: resource.Down},
			resource.Link{Name: "b", Type: resource.Veth, Peer: "a", Far: true, Group: resource.LinkGroup, State: resource.Up},
		}},
		{"interfaces: {v: {kind: vlan, parent: eth0, vlan: {id: 7}}}", []resource.Resource{
			resource.Link{Name: "v", Type: resource.VLAN, Below: "eth0", Group: resource.LinkGroup, State: resource.Up,
				VLAN: resource.VLANAttr{ID: 7, Protocol: "802.1q"}},
		}},
		{"interfaces: {x: {kind: vxlan, vxlan: {id: 1, ttl: 0}}}", []resource.Resource{
			resource.Link{Name: "x", Type: resource.VXLAN, Group: resource.LinkGroup, State: resource.Up,
				VXLAN: resource.VXLANAttr{ID: 1, Port: 4789, TTL: resource.Some[uint8](0)}},
		}},
		{"interfaces: {br: {kind: bridge, bridge: {forward-delay: 2500ms, ageing-time: 0s}}, p: {master: br}}", []resource.Resource{
			resource.Link{Name: "br", Type: resource.Bridge, Group: resource.LinkGroup, State: resource.Up, Bridge: resource.BridgeAttr{
				ForwardDelay: resource.Some[uint32](250), AgeingTime: resource.Some[uint32](0)}},
			resource.Link{Name: "p"}, resource.Port{Link: "p", Master: "br"},
		}},
		{"interfaces: {d: {adopt: true, addresses: [192.0.2.1/24], neighbours: [{to: 192.0.2.9, proxy: true}]}}", []resource.Resource{
			resource.Address{Link: "d", Prefix: prefix("192.0.2.1/24"), Protocol: ours, Adopt: true},
			resource.Link{Name: "d", Group: resource.LinkGroup, Policy: resource.LinkPolicy{Adopt: true}},
			resource.Neighbour{Link: "d", To: netip.MustParseAddr("192.0.2.9"), Proxy: true, Protocol: ours, Adopt: true},
		}},
		{"routes: [{to: default, via: \"fe80::1\", dev: eth0, onlink: true}]", []resource.Resource{
			resource.Route{To: prefix("::/0"), Table: 254, Metric: 1024, Type: resource.Unicast, Protocol: ours, Hops: []resource.NextHop{
				{Via: netip.MustParseAddr("fe80::1"), Dev: "eth0", Weight: 1, Onlink: true}}},
		}},
		{"routes: [{to: default, family: ipv6, type: unreachable, metric: 7}]", []resource.Resource{
			resource.Route{To: prefix("::/0"), Table: 254, Metric: 7, Type: resource.Unreachable, Protocol: ours},
		}},
		{"routes: [{to: 192.0.2.7, dev: eth0, table: local, src: 192.0.2.1, scope: link, mtu: 1400, adopt: true}]", []resource.Resource{
			resource.Route{To: prefix("192.0.2.7/32"), Table: 255, Type: resource.Unicast, Hops: []resource.NextHop{hop("", "eth0", 1)},
				PrefSrc: netip.MustParseAddr("192.0.2.1"), Scope: "link", MTU: 1400, Protocol: ours, Adopt: true},
		}},
		{"tables: {t: 7}\nroutes: [{to: 192.0.2.0/24, table: t, next-hops: [{via: 10.0.0.1, weight: 9}, {dev: e}]}, {to: 192.0.3.0/24, next-hops: [{dev: e, weight: 9}]}]", []resource.Resource{
			resource.Route{To: prefix("192.0.2.0/24"), Table: 7, Type: resource.Unicast, Protocol: ours,
				Hops: []resource.NextHop{hop("10.0.0.1", "", 9), hop("", "e", 1)}},
			resource.Route{To: prefix("192.0.3.0/24"), Table: 254, Type: resource.Unicast, Protocol: ours, Hops: []resource.NextHop{hop("", "e", 1)}},
		}},
		{"rules: [{priority: 5, fwmark: 16, ipproto: tcp, dport: 80-90, sport: 7, suppress-prefixlength: 0, table: main, not: true}]", []resource.Resource{
			rule(resource.IPv4), rule(resource.IPv6),
		}},
		{"rules: [{priority: 6, to: 192.0.2.0/24, action: goto, goto: 7, oif: e, tos: 8}]", []resource.Resource{
			resource.Rule{Family: resource.IPv4, Priority: 6, To: prefix("192.0.2.0/24"), Action: resource.GotoRule, Goto: 7, OIF: "e", TOS: 8, Protocol: ours},
		}},
		{"rules: [{priority: 7, from: 0.0.0.0/0, iif: e, action: prohibit}, {priority: 8, to: \"::/0\", action: prohibit}]", []resource.Resource{
			resource.Rule{Family: resource.IPv4, Priority: 7, IIF: "e", Action: resource.ProhibitRule, Protocol: ours},
			resource.Rule{Family: resource.IPv6, Priority: 8, Action: resource.ProhibitRule, Protocol: ours},
		}},
		{"sysctl: {net.ipv4.conf.eth0/7.rp_filter: 1, net/ipv6/conf/e.8/mtu: 1400, net.ipv4.tcp_rmem: \"1  2\\t3\", net.ipv4.ip_forward: true}", []resource.Resource{
			resource.Sysctl{Path: "net/ipv4/conf/eth0.7/rp_filter", Link: "eth0.7", Value: "1"},
			resource.Sysctl{Path: "net/ipv4/ip_forward", Value: "1"},
			resource.Sysctl{Path: "net/ipv4/tcp_rmem", Value: "1 2 3"},
			resource.Sysctl{Path: "net/ipv6/conf/e.8/mtu", Link: "e.8", Value: "1400"},
		}},
	} {
		d, err := Load(flat("version: 1\n"+tt.text+"\n"), Options{})
		if err != nil {
			t.Errorf("%s: %v", tt.text, err)
			continue
		}
		var got []resource.Resource
		for _, o := range d.Want.All() {
			got = append(got, o.Resource)
		}
		if diff := cmp.Diff(tt.want, got, cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{}, resource.Opt[uint32]{}, resource.Opt[string]{},
			resource.Opt[uint8]{}, resource.Opt[bool]{}, resource.Opt[uint16]{})); diff != "" {
			t.Errorf("%s:\n%s", tt.text, diff)
		}
	}
}

func rule(f resource.Family) resource.Rule {
	return resource.Rule{
		Family: f, Priority: 5, Not: true, FwMark: 16, FwMask: 0xffffffff, IPProto: 6, SPort: resource.PortRange{First: 7, Last: 7},
		DPort: resource.PortRange{First: 80, Last: 90}, Action: resource.Lookup, Table: 254,
		SuppressPrefixLen: resource.Some[uint32](0), Protocol: resource.Protocol,
	}
}

func TestScopeWarnings(t *testing.T) {
	d := mustLoad(t, flat(`version: 1
interfaces:
  a:
    addresses:
      - 10.0.0.1/24
      - {address: 10.0.0.2/24, scope: link}
      - {address: 10.0.0.3/24, scope: global}
      - {address: 10.0.0.4/32, scope: link}
      - {address: 10.0.1.4/24, scope: link}
      - {address: 127.0.0.2/24, scope: host}
      - 127.0.0.3/24
      - "2001:db8::1/64"
      - {address: "2001:db8::2/64", scope: link}
`))
	if len(d.Warnings) != 1 {
		t.Fatalf("got %v, want one warning", d.Warnings)
	}
	w := d.Warnings[0]
	if w.Code != "scope-mismatch" || w.Line != 6 || w.Path != "interfaces.a.addresses[1].address" || !strings.Contains(w.Hint, "10.0.0.2/32") {
		t.Errorf("got %+v", w)
	}
}

func TestOverlapWarnings(t *testing.T) {
	d := mustLoad(t, flat(`version: 1
interfaces:
  a: {addresses: [10.0.0.1/16, 10.0.0.2/16, 10.9.9.1/32, "fe80::1/64"]}
  b: {addresses: [10.0.5.1/24, 10.1.0.1/24, "fe80::1/64"]}
  c: {addresses: [10.0.5.2/25, 192.0.2.1/24, 10.9.9.0/32]}
`))
	var got []string
	for _, w := range d.Warnings {
		got = append(got, w.Path+" "+w.Code)
	}
	want := []string{"interfaces.b.addresses[0] overlap", "interfaces.c.addresses[0] overlap"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// manyRoutes is a tree of n routes in files below the bound.
func manyRoutes(n int) fstest.MapFS {
	tree := make(fstest.MapFS)
	const each = 10000
	for k := 0; k < n; k += each {
		var b strings.Builder
		b.WriteString("version: 1\nroutes:\n")
		for i := k; i < min(k+each, n); i++ {
			fmt.Fprintf(&b, "  - {to: 10.%d.%d.%d/32, via: 10.0.0.254, dev: br0, metric: 50}\n", i>>16, i>>8&255, i&255)
		}
		tree["routes-"+strconv.Itoa(k)+".yaml"] = &fstest.MapFile{Data: []byte(b.String())}
	}
	return tree
}

// TestLoadIsLinear compares the cost of a route among few and among many.
func TestLoadIsLinear(t *testing.T) {
	cost := func(n int) time.Duration {
		best := time.Hour
		for range 2 {
			start := time.Now()
			if d := mustLoad(t, manyRoutes(n)); d.Want.Len() != n {
				t.Fatalf("%d routes, want %d", d.Want.Len(), n)
			}
			best = min(best, time.Since(start))
		}
		return best / time.Duration(n)
	}
	if few, many := cost(1000), cost(20000); many > 5*few {
		t.Errorf("a route costs %s among 1,000 and %s among 20,000", few, many)
	}
}

func BenchmarkLoad100k(b *testing.B) {
	tree := manyRoutes(100000)
	b.ReportAllocs()
	for b.Loop() {
		mustLoad(b, tree)
	}
}
