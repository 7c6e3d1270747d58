package diff_test

import (
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"reconciler/internal/diff"
	"reconciler/internal/driver/fake"
	"reconciler/internal/resource"
)

var updateOrder = flag.Bool("update-order", false, "write the goldens of the rules of order")

// rules has a case for each rule in order.go; its golden begins with why.
var rules = []struct {
	name, why  string
	have, want []resource.Resource
}{
	{"requires", "a thing is made after what it requires: port after link and bridge, address after link, route after the address that reaches its gateway",
		nil, of(veth("p0"), bridge("br0"), resource.Port{Link: "p0", Master: "br0"}, addr("br0", "10.0.0.1/24"), route("203.0.113.0/24", "br0", "10.0.0.254"))},
	{"lets-go", "a bridge goes after the port that moves to another has left it",
		of(bridge("br0"), bridge("br1"), veth("p0"), resource.Port{Link: "p0", Master: "br0"}),
		of(bridge("br1"), veth("p0"), resource.Port{Link: "p0", Master: "br1"})},
	{"name", "a pair is made after the link that has its peer's name is gone",
		of(bridge("p0-peer")), of(veth("p0"))},
	{"reach", "a route comes after the address that is its source",
		of(bridge("br0")), of(bridge("br0"), addr("br0", "10.0.0.1/24"), sourced(route("203.0.113.0/24", "br0", ""), "10.0.0.1"))},
	{"busy", "a macvlan comes after its lower link has left its bridge: the kernel has one receive handler a link",
		of(bridge("br0"), veth("p0"), resource.Port{Link: "p0", Master: "br0"}),
		of(bridge("br0"), veth("p0"), resource.Link{Name: "mv0", Type: resource.MACVLAN, Below: "p0", Mode: "bridge", Group: resource.LinkGroup, State: resource.Up})},
	{"returns", "what stands on a replaced link is taken down and put back",
		of(vxlan(100), addr("vx0", "10.0.0.1/24"), route("203.0.113.0/24", "vx0", "10.0.0.254")),
		of(vxlan(101), addr("vx0", "10.0.0.1/24"), route("203.0.113.0/24", "vx0", "10.0.0.254"))},
	{"lets-first", "a route leaves a link before the link goes down, so that no packet finds it gone",
		of(bridge("br0"), bridge("br1"), addr("br0", "10.0.0.1/24"), addr("br1", "10.1.0.1/24"), route("203.0.113.0/24", "br0", "10.0.0.254")),
		of(down(bridge("br0")), bridge("br1"), addr("br0", "10.0.0.1/24"), addr("br1", "10.1.0.1/24"), route("203.0.113.0/24", "br1", "10.1.0.254"))},
	{"mtu-grows", "an upper link's MTU cannot exceed its lower link's: the lower one grows first",
		of(mtu(bridge("br0"), 1500), macvlan(1500)), of(mtu(bridge("br0"), 9000), macvlan(9000))},
	{"mtu-shrinks", "and shrinks last",
		of(mtu(bridge("br0"), 9000), macvlan(9000)), of(mtu(bridge("br0"), 1500), macvlan(1500))},
	{"follows-down", "a vlan goes down with its lower link, and what that takes of it comes back where the kernel lets it",
		of(bridge("br0"), vlan("br0"), addr("q0", "10.0.0.1/24"), addr("q0", "2001:db8::1/64"), route("203.0.113.0/24", "q0", "10.0.0.254")),
		of(down(bridge("br0")), vlan("br0"), addr("q0", "10.0.0.1/24"), addr("q0", "2001:db8::1/64"), route("203.0.113.0/24", "q0", "10.0.0.254"))},
	{"follows-up", "a lower link takes its vlans up: one that is to be down goes down again, which takes its IPv6 addresses",
		of(down(bridge("br0")), down(vlan("br0")), addr("q0", "2001:db8::1/64")),
		of(bridge("br0"), down(vlan("br0")), addr("q0", "2001:db8::1/64"))},
	{"inherits-mtu", "what stands above has no larger MTU: it shrinks first, or is told to want too much",
		of(mtu(bridge("br0"), 9000), macvlan(0), mtu(vlan("br0"), 9000)), of(mtu(bridge("br0"), 1500), macvlan(0), mtu(vlan("br0"), 9000))},
	{"inherits-mac", "a vlan takes over a new MAC address, with which its neighbours go; one that was given its own gets it again",
		of(mac(bridge("br0"), 1), mac(vlan("br0"), 1), neighbour("q0")), of(mac(bridge("br0"), 2), mac(vlan("br0"), 1), neighbour("q0"))},
	{"kinds", "make before break: the new address and route are there before the old ones go",
		of(bridge("br0"), addr("br0", "10.0.0.1/24"), route("203.0.113.0/24", "br0", "10.0.0.254")),
		of(bridge("br0"), addr("br0", "10.9.0.1/24"), route("203.0.114.0/24", "br0", "10.9.0.254"))},
	{"primary", "a new address of the subnet would go with the old primary one: it comes after",
		of(bridge("br0"), addr("br0", "10.0.0.1/24"), route("203.0.113.0/24", "br0", "10.0.0.254")),
		of(bridge("br0"), addr("br0", "10.0.0.2/24"), route("203.0.113.0/24", "br0", "10.0.0.254"))},
}

func TestOrder(t *testing.T) {
	for _, c := range rules {
		t.Run(c.name, func(t *testing.T) {
			host := fake.New()
			for _, r := range c.have {
				if err := host.Create(r); err != nil {
					t.Fatalf("%s: %v", r.Key(), err)
				}
			}
			_, plan, err := planFor(host, setOf(c.want))
			if err != nil {
				t.Fatal(err)
			}
			var b strings.Builder
			b.WriteString("# " + c.why + "\n")
			if err := diff.Text(&b, plan, diff.TextOptions{Full: true}); err != nil {
				t.Fatal(err)
			}
			golden(t, filepath.Join("testdata", "order", c.name+".txt"), b.String())
		})
	}
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *updateOrder {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func of(r ...any) []resource.Resource {
	var out []resource.Resource
	for _, v := range r {
		switch v := v.(type) {
		case []resource.Resource:
			out = append(out, v...)
		case resource.Resource:
			out = append(out, v)
		}
	}
	return out
}

func setOf(rs []resource.Resource) *resource.Set {
	set := resource.NewSet(len(rs))
	for _, r := range rs {
		set.Put(resource.Object{Resource: r, Origin: "net.yaml:1"})
	}
	return set
}

func bridge(name string) resource.Link {
	return resource.Link{Name: name, Type: resource.Bridge, Group: resource.LinkGroup, State: resource.Up}
}

func veth(name string) []resource.Resource {
	near := resource.Link{Name: name, Type: resource.Veth, Peer: name + "-peer", Group: resource.LinkGroup, State: resource.Up}
	far := resource.Link{Name: near.Peer, Type: resource.Veth, Peer: name, Far: true, Group: resource.LinkGroup, State: resource.Up}
	return []resource.Resource{near, far}
}

func vxlan(id uint32) resource.Link {
	return resource.Link{Name: "vx0", Type: resource.VXLAN, VXLAN: resource.VXLANAttr{ID: id, Port: 4789}, Group: resource.LinkGroup, State: resource.Up}
}

func macvlan(bytes uint32) resource.Link {
	return resource.Link{Name: "mv0", Type: resource.MACVLAN, Below: "br0", Mode: "bridge", MTU: bytes, Group: resource.LinkGroup, State: resource.Up}
}

func vlan(below string) resource.Link {
	return resource.Link{Name: "q0", Type: resource.VLAN, Below: below, VLAN: resource.VLANAttr{ID: 7, Protocol: "802.1q"}, Group: resource.LinkGroup, State: resource.Up}
}

func mtu(l resource.Link, bytes uint32) resource.Link { l.MTU = bytes; return l }

func mac(l resource.Link, last byte) resource.Link {
	l.MAC = resource.MAC{2, 0, 0, 0, 0, last}
	return l
}

func neighbour(link string) resource.Neighbour {
	return resource.Neighbour{Link: link, To: netip.MustParseAddr("10.0.0.7"), LLAddr: resource.MAC{2, 0, 0, 0, 0, 7}, Protocol: resource.Protocol}
}

func down(l resource.Link) resource.Link { l.State = resource.Down; return l }

func addr(link, prefix string) resource.Address {
	return resource.Address{Link: link, Prefix: netip.MustParsePrefix(prefix), Protocol: resource.Protocol}
}

func route(to, dev, via string) resource.Route {
	hop := resource.NextHop{Dev: dev, Weight: 1}
	if via != "" {
		hop.Via = netip.MustParseAddr(via)
	}
	return resource.Route{
		To: netip.MustParsePrefix(to), Table: resource.MainTable, Type: resource.Unicast, Scope: "global",
		Hops: []resource.NextHop{hop}, Protocol: resource.Protocol,
	}
}

func sourced(r resource.Route, src string) resource.Route {
	r.PrefSrc = netip.MustParseAddr(src)
	return r
}
