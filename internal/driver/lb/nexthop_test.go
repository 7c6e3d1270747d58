package lb

import (
	"context"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"reconciler/internal/resource"
)

// hop is the next hop of one way.
func (b *bench) hop(w way) hop {
	b.t.Helper()
	hops, err := b.d.hops(context.Background(), []way{w})
	if err != nil {
		b.t.Fatal(err)
	}
	return hops[w]
}

// kept is the next hop once the kernel keeps its neighbour.
func (b *bench) kept(w way) hop {
	b.t.Helper()
	if err := b.d.keep(context.Background(), []neighbour{b.hop(w).next}); err != nil {
		b.t.Fatal(err)
	}
	eventually(b.t, "an answer of "+w.to.String(), func() bool { return b.hop(w).answers() })
	return b.hop(w)
}

func TestNextHopOnTheLink(t *testing.T) {
	b := newNet(t)
	for _, to := range []string{"192.0.2.2", "2001:db8::2"} {
		w := way{to: addr(to), encap: resource.IPIP}
		if h := b.hop(w); h.why != nil || h.answers() || h.managed || h.state != 0 {
			t.Fatalf("nobody asked yet: %+v", h)
		}
		h := b.kept(w)
		if h.link != "up0" || h.src != mac(1) || h.dst != mac(2) || h.mtu != 1500 || h.vlan != 0 || !h.managed {
			t.Errorf("%s: %+v", to, h)
		}
		if want := strings.TrimSuffix(to, "2") + "1"; h.source != addr(want) {
			t.Errorf("source %s, want %s", h.source, want)
		}
	}
}

func TestNextHopBehindAGateway(t *testing.T) {
	b := newNet(t)
	b.IP("route", "add", "198.51.100.0/24", "via", "192.0.2.2", "mtu", "1400")
	b.IP("route", "add", "203.0.113.0/24", "via", "inet6", "2001:db8::2", "dev", "up0")
	b.IP("route", "add", "2001:db8:1::/48", "via", "2001:db8::2", "src", "2001:db8::1")
	for to, gateway := range map[string]string{"198.51.100.7": "192.0.2.2", "203.0.113.7": "2001:db8::2", "2001:db8:1::7": "2001:db8::2"} {
		h := b.kept(way{to: addr(to), encap: resource.IPIP})
		if h.next.addr != addr(gateway) || h.dst != mac(2) {
			t.Errorf("%s: %+v", to, h)
		}
		if to == "198.51.100.7" && h.mtu != 1400 {
			t.Errorf("mtu %d, want the route's", h.mtu)
		}
	}
	if h := b.hop(way{to: addr("198.51.100.7"), encap: resource.L2DSR}); h.why == nil || !strings.Contains(h.why.Error(), "leads through 192.0.2.2") {
		t.Errorf("l2dsr through a gateway: %v", h.why)
	}
}

func TestNextHopOfATable(t *testing.T) {
	b := newNet(t)
	b.IP("route", "add", "198.51.100.0/24", "via", "192.0.2.9", "table", "1000")
	b.IP("route", "add", "198.51.100.0/25", "via", "192.0.2.2", "table", "1000", "metric", "7")
	b.IP("route", "add", "198.51.100.0/25", "via", "192.0.2.8", "table", "1000", "metric", "9")
	b.IP("route", "add", "198.51.100.128/32", "via", "192.0.2.8", "table", "1000", "tos", "0x10")
	b.IP("route", "add", "2001:db8:1::/48", "table", "1000", "nexthop", "via", "2001:db8::2", "nexthop", "via", "2001:db8::3")
	b.IP("route", "add", "throw", "198.51.100.7/32", "table", "1000")
	next := func(to string) string {
		h := b.hop(way{to: addr(to), table: 1000, encap: resource.IPIP})
		if h.why != nil {
			return h.why.Error()
		}
		return h.next.addr.String() + " from " + h.source.String()
	}
	for to, want := range map[string]string{
		"198.51.100.6":   "192.0.2.2 from 192.0.2.1",
		"198.51.100.128": "192.0.2.9 from 192.0.2.1",
		"198.51.100.7":   "the route in the table says to look elsewhere",
		"192.0.2.2":      "no route to 192.0.2.2 in table 1000",
		"2001:db8:1::7":  "2001:db8::2 from 2001:db8::1",
		"2001:db8:2::7":  "no route to 2001:db8:2::7 in table 1000",
	} {
		if got := next(to); got != want {
			t.Errorf("%s: %s, want %s", to, got, want)
		}
	}
	if h := b.hop(way{to: addr("192.0.2.2"), table: 1001}); h.why == nil {
		t.Error("a way in a table that is not there")
	}
}

func TestNextHopThatIsNone(t *testing.T) {
	b := newNet(t)
	b.IP("link", "add", "dead0", "type", "veth", "peer", "name", "dead1")
	b.IP("route", "add", "unreachable", "198.51.100.0/24")
	b.IP("tuntap", "add", "tun0", "mode", "tun")
	b.IP("link", "set", "tun0", "up")
	b.IP("addr", "add", "10.9.0.1/24", "dev", "tun0")
	for to, want := range map[string]string{
		"192.0.2.1":   "the address is this host's own",
		"192.0.2.255": "the address is not one host's",
		"8.8.8.8":     "no route to 8.8.8.8",
		"2001:db9::1": "no route to 2001:db9::1",
		"198.51.100.": "no route to 198.51.100.4",
		"10.9.0.2":    "link tun0 is not Ethernet",
	} {
		if strings.HasSuffix(to, ".") {
			to += "4"
		}
		h := b.hop(way{to: addr(to), encap: resource.IPIP})
		if h.why == nil || !strings.HasPrefix(h.why.Error(), want) {
			t.Errorf("%s: %v, want %s", to, h.why, want)
		}
	}
}

func TestNextHopThatDoesNotAnswer(t *testing.T) {
	b := newNet(t)
	w := way{to: addr("192.0.2.77"), encap: resource.L2DSR}
	if err := b.d.keep(context.Background(), []neighbour{b.hop(w).next}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a failed entry", func() bool { return b.hop(w).failed() })
}

func TestNeighboursOfOthersStay(t *testing.T) {
	b := newNet(t)
	b.IP("neigh", "add", "192.0.2.50", "lladdr", "02:00:00:00:00:50", "dev", "up0", "nud", "permanent")
	b.IP("neigh", "add", "192.0.2.51", "dev", "up0", "managed")
	h := b.kept(way{to: addr("192.0.2.2"), encap: resource.L2DSR})
	for _, to := range []string{"192.0.2.50", "192.0.2.51"} {
		if other := b.hop(way{to: addr(to), encap: resource.L2DSR}); !other.managed {
			t.Errorf("%s is to be left to others: %+v", to, other)
		}
	}
	if err := b.d.release(context.Background(), map[neighbour]bool{h.next: true}); err != nil {
		t.Fatal(err)
	}
	if !b.kept(way{to: addr("192.0.2.2"), encap: resource.L2DSR}).answers() {
		t.Error("what is needed was let go")
	}
	if err := b.d.release(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	if h := b.hop(way{to: addr("192.0.2.2"), encap: resource.L2DSR}); h.state != 0 {
		t.Errorf("nobody needs it: %+v", h)
	}
	if h := b.hop(way{to: addr("192.0.2.50"), encap: resource.L2DSR}); h.state != unix.NUD_PERMANENT || h.dst != mac(0x50) {
		t.Errorf("another's: %+v", h)
	}
	if h := b.hop(way{to: addr("192.0.2.51"), encap: resource.L2DSR}); !h.managed {
		t.Errorf("another's: %+v", h)
	}
}

func TestGuestNextHopBehindAVLAN(t *testing.T) {
	b := newNet(t)
	b.NeedKind("vlan")
	b.IP("link", "add", "link", "up0", "name", "up0.7", "type", "vlan", "id", "7")
	b.IP("link", "set", "up0.7", "mtu", "1400", "up")
	b.IP("addr", "add", "10.7.0.1/24", "dev", "up0.7")
	b.far.IP("link", "add", "link", "far0", "name", "far0.7", "type", "vlan", "id", "7")
	b.far.IP("link", "set", "far0.7", "up")
	b.far.IP("addr", "add", "10.7.0.2/24", "dev", "far0.7")
	h := b.kept(way{to: addr("10.7.0.2"), encap: resource.L2DSR})
	if h.link != "up0" || h.vlan != 7 || h.mtu != 1400 || h.src != mac(1) || h.dst != mac(2) {
		t.Errorf("%+v", h)
	}
	b.IP("link", "add", "link", "up0.7", "name", "up0.7.8", "type", "vlan", "id", "8")
	b.IP("link", "set", "up0.7.8", "up")
	b.IP("addr", "add", "10.8.0.1/24", "dev", "up0.7.8")
	if h := b.hop(way{to: addr("10.8.0.2"), encap: resource.L2DSR}); h.why == nil {
		t.Errorf("two tags: %+v", h)
	}
}
