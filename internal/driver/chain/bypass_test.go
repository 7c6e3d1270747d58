package chain

import (
	"net/netip"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"reconciler/internal/driver/chain/bpf"
	"reconciler/internal/resource"
)

// controlFrames are what each part of a bypass is for, and what looks like it
// and is not.
func controlFrames() map[string][]frame {
	icmp6 := func(kind, hops byte) []byte {
		b := ip6(unix.IPPROTO_ICMPV6, append([]byte{kind}, make([]byte, 23)...))
		b[7] = hops
		return b
	}
	bfd := func(port int) []byte {
		return ethernet(unix.ETH_P_IP, ip4(unix.IPPROTO_UDP, client4, server4, 0, transport(49152, uint16(port), 24)))
	}
	tagged := func(protocol uint16, payload []byte) []byte {
		return ethernet(unix.ETH_P_8021Q, slices.Concat([]byte{0, 7, byte(protocol >> 8), byte(protocol)}, payload))
	}
	return map[string][]frame{
		"arp": {
			{"arp", ethernet(unix.ETH_P_ARP, make([]byte, 46))},
			{"arp in a vlan", tagged(unix.ETH_P_ARP, make([]byte, 46))},
		},
		"nd": {
			{"router solicitation", ethernet(unix.ETH_P_IPV6, icmp6(133, 255))},
			{"neighbour advertisement", ethernet(unix.ETH_P_IPV6, icmp6(136, 255))},
			{"neighbour solicitation in a vlan", tagged(unix.ETH_P_IPV6, icmp6(135, 255))},
		},
		"lacp": {{"lacp", ethernet(0x8809, make([]byte, 46))}},
		"lldp": {{"lldp", ethernet(0x88cc, make([]byte, 46))}},
		"bfd": {
			{"bfd", bfd(3784)}, {"bfd echo", bfd(3785)}, {"bfd multihop", bfd(4784)}, {"bfd of a lag", bfd(6784)},
			{"bfd over ipv6", ethernet(unix.ETH_P_IPV6, ip6(unix.IPPROTO_UDP, transport(49152, 3784, 24)))},
		},
		"192.0.2.0/31":   {{"from the prefix", ethernet(unix.ETH_P_IP, ip4(unix.IPPROTO_TCP, client4, server4, 0, make([]byte, 20)))}},
		"2001:db8::/120": {{"from the prefix of ipv6", ethernet(unix.ETH_P_IPV6, ip6(unix.IPPROTO_TCP, make([]byte, 20)))}},
		"": {
			{"an echo request of ipv6", ethernet(unix.ETH_P_IPV6, icmp6(128, 255))},
			{"a neighbour solicitation that was routed", ethernet(unix.ETH_P_IPV6, icmp6(135, 254))},
			{"udp to another port", bfd(3783)},
			{"the last fragment of udp", ethernet(unix.ETH_P_IP, ip4(unix.IPPROTO_UDP, server4, client4, 8, make([]byte, 40)))},
			{"from another address", ethernet(unix.ETH_P_IP, ip4(unix.IPPROTO_TCP, server4, client4, 0, make([]byte, 20)))},
			{"cut in its udp header", ethernet(unix.ETH_P_IP, ip4(unix.IPPROTO_UDP, server4, client4, 0, []byte{0, 1, 0xe, 0xc8}))},
			{"unknown", ethernet(0x88b5, make([]byte, 46))},
		},
	}
}

// TestBypass has a program drop everything: what a bypass names reaches the
// kernel all the same, and nothing else does.
func TestBypass(t *testing.T) {
	for _, hook := range resource.Hooks() {
		entry, dropped, passed := "plain", "1", uint32(2)
		if !hook.IsXDP() {
			entry, dropped, passed = "traffic", "2", ^uint32(0) // TC_ACT_SHOT, TC_ACT_UNSPEC
		}
		for name := range controlFrames() {
			t.Run(string(hook)+" "+name, func(t *testing.T) {
				b := newBench(t, func(c *Config) { c.Bypass = bypassNamed(t, name) })
				drop := b.object("drop", "p0", verdictObject, entry, hook)
				drop.Constants = []resource.NamedValue{{Name: "verdict", Value: resource.Scalar(dropped)}}
				b.make(set(drop, b.chain(hook, drop)))
				program := b.dispatcher(hook)
				defer program.Close()
				for of, frames := range controlFrames() {
					for _, f := range frames {
						code, _, err := program.Test(f.bytes)
						if err != nil {
							t.Fatalf("%s: %v", f.name, err)
						}
						if want := of == name && name != "" || coveredBy(name, f); want != (code == passed) {
							t.Errorf("%s: verdict %d, want it to bypass: %v", f.name, int32(code), want)
						}
					}
				}
			})
		}
	}
}

// bypassNamed is a bypass of one kind of frame, or of one prefix; of none.
func bypassNamed(t *testing.T, name string) Bypass {
	t.Helper()
	var frames []string
	var from []netip.Prefix
	if p, err := netip.ParsePrefix(name); err == nil {
		from = append(from, p)
	} else if name != "" {
		frames = append(frames, name)
	}
	b, err := NewBypass(frames, from)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// coveredBy tells frames of other kinds that come from a prefix.
func coveredBy(name string, f frame) bool {
	p, err := netip.ParsePrefix(name)
	if err != nil || len(f.bytes) < 34 {
		return false
	}
	at := f.bytes[12:]
	if at[0] == 0x81 && at[1] == 0 {
		at = at[4:]
	}
	switch {
	case p.Addr().Is4() && at[0] == 8 && at[1] == 0 && len(at) >= 18:
		return p.Contains(netip.AddrFrom4([4]byte(at[14:18])))
	case p.Addr().Is6() && at[0] == 0x86 && at[1] == 0xdd && len(at) >= 26:
		return p.Contains(netip.AddrFrom16([16]byte(at[10:26])))
	}
	return false
}

// TestBypassReadsBack is that a dispatcher tells what it lets by.
func TestBypassReadsBack(t *testing.T) {
	b, err := NewBypass([]string{"bfd", "arp"}, []netip.Prefix{netip.MustParsePrefix("2001:db8::1/32"), netip.MustParsePrefix("10.255.0.1/16")})
	if err != nil {
		t.Fatal(err)
	}
	const words = "arp bfd 10.255.0.0/16 2001:db8::/32"
	if b.String() != words {
		t.Errorf("a bypass is told as %q, want %q", b, words)
	}
	s := stateWith(b)
	if got := bypassOf(s).String(); got != words {
		t.Errorf("read back it is %q, want %q", got, words)
	}
	if _, err := NewBypass([]string{"ospf"}, nil); err == nil {
		t.Error("a frame that there is none of was taken")
	}
	if _, err := NewBypass(nil, slices.Repeat([]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, maxPrefixes+1)); err == nil {
		t.Error("too many prefixes were taken")
	}
}

func stateWith(b Bypass) *bpf.XDPChain {
	s := new(bpf.XDPChain)
	b.fill(s)
	return s
}
