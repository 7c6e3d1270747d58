package doctor

import (
	"net/netip"
	"strings"
	"testing"

	"reconciler/internal/resource"
)

func addr(s string) netip.Addr     { return netip.MustParseAddr(s) }
func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

// host is what a test has of one.
type host struct {
	Facts
	chain   resource.Chain
	backend resource.Backend // one of two
	lb      resource.Balancer
	more    []resource.Resource
}

// well is a host with nothing to complain of.
func well() *host {
	pass := resource.XDPIngress.DefaultProceed()
	h := &host{
		chain: resource.Chain{Link: "eth0", Hook: resource.XDPIngress, Seen: resource.ChainSeen{Attach: "xdp-native"}, Slots: []resource.Slot{
			{Program: "count", Proceed: pass}, {Program: resource.BalancerProgram, Proceed: pass},
		}},
		backend: resource.Backend{Name: "web1", Address: addr("10.0.0.11"), Encap: resource.IPIP, Seen: resource.BackendSeen{Link: "eth1", MTU: 1600}},
		lb:      resource.Balancer{Source4: prefix("10.200.0.0/16"), Source6: prefix("2001:db8:200::/64")},
	}
	second := h.backend
	second.Name, second.Address = "web2", addr("10.0.0.12")
	h.more = []resource.Resource{
		resource.Link{Name: "eth0", MTU: 1500, State: resource.Up}, resource.Link{Name: "eth1", MTU: 1600, State: resource.Up},
		resource.Address{Link: "lo", Prefix: prefix("198.51.100.1/32")}, resource.Address{Link: "eth0", Prefix: prefix("192.0.2.1/24")},
		resource.Route{To: prefix("0.0.0.0/0"), Hops: []resource.NextHop{{Dev: "eth0"}}}, second,
	}
	h.VIP = resource.VIP{
		Name: "www", Family: resource.IPv4, Addresses: []netip.Addr{addr("198.51.100.1")}, NoBackend: resource.NoBackendDrop,
		Ports:  []resource.ServicePort{{Protocol: "tcp", Number: 443}},
		Shares: []resource.Share{{Backend: "web1/10.0.0.11/ipip", Weight: 1}, {Backend: "web2/10.0.0.12/ipip", Weight: 1}},
	}
	h.There = true
	h.Links = map[string]Link{}
	h.Members = []Member{{Backend: "web1/10.0.0.11/ipip", Checked: true, State: "up"}, {Backend: "web2/10.0.0.12/ipip", Checked: true, State: "up"}}
	h.Probes = map[string]Answer{"web1/10.0.0.11/ipip": Accepted, "web2/10.0.0.12/ipip": Accepted}
	return h
}

func (h *host) facts() Facts {
	h.Have = resource.NewSet(8)
	for _, r := range append([]resource.Resource{h.chain, h.backend, h.lb}, h.more...) {
		h.Have.Put(resource.Object{Resource: r})
	}
	return h.Facts
}

// at is the host with the VIP on a network of a link, and with the address of it
// where it is said.
func (h *host) at(vip, network, on string) {
	h.VIP.Addresses, h.VIP.Family = []netip.Addr{addr(vip)}, resource.FamilyOf(addr(vip))
	h.more[2] = resource.Address{Link: "eth0", Prefix: prefix(network)}
	if on != "" {
		h.more = append(h.more, resource.Address{Link: on, Prefix: netip.PrefixFrom(addr(vip), addr(vip).BitLen())})
	}
}

func TestNothingToComplainOf(t *testing.T) {
	found := Examine(well().facts())
	for _, f := range found {
		if f.Verdict != OK {
			t.Errorf("%+v", f)
		}
	}
	if len(found) < 8 || Worst(found) != OK {
		t.Errorf("%d findings, at worst %s", len(found), Worst(found))
	}
}

func TestCauses(t *testing.T) {
	no := false
	for _, c := range []struct {
		name    string
		make    func(*host)
		rule    string
		verdict Verdict
		says    string
	}{
		{"address nowhere", func(h *host) { h.more[2] = resource.Address{Link: "lo", Prefix: prefix("198.51.100.7/32")} }, "address", Warning, "no link has it"},
		{"address withdrawn", func(h *host) {
			h.Announced, h.more[2] = &no, resource.Address{Link: "lo", Prefix: prefix("198.51.100.7/32")}
		}, "address", Fault, "not announced"},
		{"address in a network", func(h *host) { h.at("198.51.100.1", "198.51.100.200/24", "") }, "address", Fault, "in the network of eth0"},
		{"address of IPv6 elsewhere", func(h *host) { h.at("2001:db8:1::1", "2001:db8:1::2/64", "lo") }, "address", Fault, "alone"},
		{"address of IPv6 by proxy", func(h *host) {
			h.at("2001:db8:1::1", "2001:db8:1::2/64", "lo")
			h.more = append(h.more, resource.Neighbour{Link: "eth0", To: addr("2001:db8:1::1"), Proxy: true})
		}, "address", OK, "on lo"},
		{"address on a link that is down", func(h *host) {
			h.more = append(h.more, resource.Link{Name: "lo", State: resource.Down})
		}, "address", Fault, "lo has it, and is down"},
		{"arp_ignore", func(h *host) {
			h.at("198.51.100.1", "198.51.100.200/24", "lo")
			h.Links["eth0"] = Link{ARPIgnore: 1}
		}, "arp", Fault, "eth0 answers no ARP"},
		{"no chain", func(h *host) { h.chain.Slots = h.chain.Slots[:1] }, "chain", Fault, "in none"},
		{"chain not attached", func(h *host) { h.chain.Seen.Attach = "" }, "chain", Fault, "not attached"},
		{"chain damaged", func(h *host) { h.chain.Seen.Damage = []string{"slot 1 (lb) is empty"} }, "chain", Fault, "slot 1"},
		{"link of the chain down", func(h *host) { h.more[0] = resource.Link{Name: "eth0", MTU: 1500, State: resource.Down} }, "chain", Fault, "eth0 is down"},
		{"clients by another link", func(h *host) {
			h.more[4] = resource.Route{To: prefix("0.0.0.0/0"), Hops: []resource.NextHop{{Dev: "eth0"}, {Dev: "eth2"}}}
		}, "chain", Warning, "come by eth2"},
		{"clients by a VLAN over the chain", func(h *host) {
			h.more[4] = resource.Route{To: prefix("0.0.0.0/0"), Hops: []resource.NextHop{{Dev: "eth0.7"}}}
			h.more = append(h.more, resource.Link{Name: "eth0.7", Type: resource.VLAN, Below: "eth0"})
		}, "chain", OK, "attached"},
		{"stopped before it", func(h *host) { h.chain.Slots[0].Proceed = 1 << 1 }, "chain-order", Fault, "count runs before"},
		{"generic", func(h *host) { h.chain.Seen.Attach = "xdp-generic" }, "xdp-mode", Warning, "generic"},
		{"LRO", func(h *host) { h.Links["eth0"] = Link{LRO: true} }, "lro", Fault, "large receive offload is on"},
		{"rxvlan", func(h *host) {
			h.Links["eth0"] = Link{RxVLAN: true}
			h.more = append(h.more, resource.Link{Name: "eth0.7", Type: resource.VLAN, Below: "eth0"})
		}, "rxvlan", Fault, "eth0.7 stands on it"},
		{"rxvlan off", func(h *host) {
			h.more = append(h.more, resource.Link{Name: "eth0.7", Type: resource.VLAN, Below: "eth0"})
		}, "rxvlan", OK, "tags of eth0.7"},
		{"strict rp_filter", func(h *host) { h.Links["eth0"] = Link{RPFilter: 1} }, "rp-filter", Warning, "strict"},
		{"not applied", func(h *host) { h.There = false }, "vip-table", Fault, "not in it"},
		{"drift of the table", func(h *host) {
			h.VIP.Seen.Damage = []string{"the VIP table does not lead to it for 198.51.100.1 tcp/443"}
		}, "vip-table", Fault, "does not lead to it"},
		{"ring empty", func(h *host) { h.VIP.Shares = nil }, "ring", Fault, "has no backend (drop)"},
		{"all down", func(h *host) {
			h.VIP.Shares, h.Members[0].State, h.Members[1].State = nil, "down", "down"
		}, "ring", Fault, "all 2 backends are down"},
		{"of another family", func(h *host) { h.VIP.Shares, h.Members = nil, []Member{} }, "ring", Fault, "of this family"},
		{"one down", func(h *host) { h.Members[1].State, h.Members[1].Why = "down", "down (refused)" }, "backends", Warning, "refused"},
		{"no health checks", func(h *host) { h.Members[0].Checked, h.Members[1].Checked = false, false }, "health-checks", Warning, "no backend has one"},
		{"some health checks", func(h *host) { h.Members[0].Checked = false }, "health-checks", OK, "all but web1"},
		{"no next hop", func(h *host) { h.backend.Seen.Link = "" }, "next-hop", Fault, "no next hop"},
		{"no source address", func(h *host) { h.lb.Source4 = netip.Prefix{} }, "source-address", Warning, "of ipv4"},
		{"narrow way", func(h *host) { h.backend.Seen.MTU = 1519 }, "mtu", Warning, "has 1519, and wants 1520"},
		{"wide enough", func(h *host) { h.backend.Seen.MTU = 1520 }, "mtu", OK, "1500 bytes fits"},
		{"narrow way of IPv6", func(h *host) {
			h.backend.Address, h.backend.Seen.MTU = addr("2001:db8::11"), 1539
			h.VIP.Shares[0].Backend = "web1/2001:db8::11/ipip"
		}, "mtu", Warning, "wants 1540"},
		{"no decapsulation", func(h *host) { h.Probes["web1/10.0.0.11/ipip"] = Silent }, "decapsulation", Fault, "does not decapsulate"},
		{"nobody listens", func(h *host) { h.Probes["web1/10.0.0.11/ipip"] = Refused }, "decapsulation", Warning, "refused"},
		{"not probed", func(h *host) { h.Probes = nil }, "decapsulation", Warning, "not looked at"},
		{"drift of a record", func(h *host) { h.backend.Seen.Damage = []string{"mtu 1500 -> 1600"} }, "record", Warning, "mtu 1500"},
		{"drift of the tables", func(h *host) { h.lb.Damage = []string{"map lb_rings is no longer pinned"} }, "record", Fault, "lb_rings"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := well()
			c.make(h)
			all := Examine(h.facts())
			hit := false
			for _, f := range all {
				if f.Rule == c.rule && f.Verdict == c.verdict && strings.Contains(f.Says, c.says) {
					hit = true
					if f.Looked == "" || f.Do == "" && f.Verdict != OK {
						t.Errorf("%+v", f)
					}
				} else if f.Verdict == Fault && f.Rule != c.rule && c.verdict != Fault {
					t.Errorf("a fault besides: %+v", f)
				}
			}
			if !hit {
				t.Errorf("no %s of %s says %q:\n%+v", c.verdict, c.rule, c.says, all)
			}
		})
	}
}

// TestFrames reads back what a probe sends, for each way of encapsulation.
func TestFrames(t *testing.T) {
	for _, c := range []struct {
		vip, own, backend, outer string
		encap                    resource.Encap
		vlan                     uint16
		inner                    int  // where the packet begins that the client would have sent
		proto                    byte // of the outer header
	}{
		{"198.51.100.1", "192.0.2.1", "10.0.0.11", "10.200.0.1", resource.IPIP, 0, 34, 4},
		{"198.51.100.1", "192.0.2.1", "2001:db8::11", "2001:db8:200::1", resource.IPIP, 7, 58, 4},
		{"2001:db8:1::1", "2001:db8::1", "2001:db8::11", "2001:db8:200::1", resource.IPIP, 0, 54, 41},
		{"2001:db8:1::1", "2001:db8::1", "10.0.0.11", "10.200.0.1", resource.IPIP, 0, 34, 41},
		{"198.51.100.1", "192.0.2.1", "10.0.0.11", "", resource.L2DSR, 7, 18, 0},
	} {
		want := flow{netip.AddrPortFrom(addr(c.own), 40000), netip.AddrPortFrom(addr(c.vip), 443)}
		p := probe{backend: resource.Backend{Address: addr(c.backend), Encap: c.encap}, flow: want}
		p.backend.Seen.VLAN = c.vlan
		if c.outer != "" {
			p.outer = addr(c.outer)
		}
		b := p.frame()
		got, flags, ok := parse(b[c.inner:])
		if !ok || got != want || flags != flagSYN {
			t.Errorf("%+v: %v %d %v", c, got, flags, ok)
		}
		at := 14
		if c.vlan != 0 {
			at = 18
		}
		if c.proto != 0 && b[at]>>4 == 4 && (b[at+9] != c.proto || sum(0, b[at:at+20]) != 0xffff) || c.proto != 0 && b[at]>>4 == 6 && b[at+6] != c.proto {
			t.Errorf("%+v: outer header % x", c, b[at:at+40])
		}
		head := b[c.inner:]
		addresses, tcp := head[12:20], head[20:]
		if head[0]>>4 == 6 {
			addresses, tcp = head[8:40], head[40:]
		}
		if s := sum(uint32(sum(6+uint32(len(tcp)), addresses)), tcp); s != 0xffff {
			t.Errorf("%+v: the sum of TCP is %#x", c, s)
		}
	}
	if _, _, ok := parse([]byte{0x45, 0, 0}); ok {
		t.Error("a piece of a packet was read")
	}
}

// TestProbeComesFromNearby picks the address that a backend is most likely to
// answer.
func TestProbeComesFromNearby(t *testing.T) {
	h := well()
	h.more = append(h.more, resource.VIP{Name: "www", Family: resource.IPv4, Addresses: h.VIP.Addresses}, resource.Link{Name: "lo", Seen: resource.Seen{Loopback: true}})
	for _, c := range []struct{ link, prefix, want string }{
		{"lo", "203.0.113.9/32", "192.0.2.1"},
		{"eth1", "172.16.0.1/24", "172.16.0.1"},
		{"eth2", "10.0.0.1/24", "10.0.0.1"},
	} {
		h.more = append(h.more, resource.Address{Link: c.link, Prefix: prefix(c.prefix)})
		if got := h.facts().own(h.backend); got != addr(c.want) {
			t.Errorf("%s, want %s", got, c.want)
		}
	}
}
