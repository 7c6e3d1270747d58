package desired

import (
	"fmt"
	"maps"
	"net/netip"
	"os"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"reconciler/internal/resource"
)

// TestVIPFaultsTellMore holds the words that name other places, or what was
// meant.
func TestVIPFaultsTellMore(t *testing.T) {
	const base = "version: 1\nbackends: {web1: {address: 10.0.0.1}, web9: {address: 10.0.0.1}}\npools: {edge: {backends: {web1: 1}}}\nhealthchecks: {ping: {type: icmp}}\n"
	for _, tt := range []struct{ text, want string }{
		{"vips: {v: {address: 192.0.2.1, pools: [egde]}}", "did you mean edge?"},
		{"vips: {v: {address: 192.0.2.1, pools: [zzzzzz]}}", "declare it under pools:"},
		{"vips: {v: {address: 192.0.2.1, pools: [{name: p, backends: {wbe1: 1}}]}}", "did you mean web1?"},
		{"vips: {v: {address: 192.0.2.1, pools: [{name: edge, backends: {web1: 1}}]}}", "pool edge is also declared at f0.yaml:3"},
		{"vips: {v: {address: 192.0.2.1, pools: [edge, {name: p, backends: {web9: 1}}]}}", "10.0.0.1 of web9 is also that of web1"},
		{"vips:\n  v: {address: 192.0.2.1, pools: [edge]}\n  w: {address: 192.0.2.0/24, pools: [edge]}", "every packet to 192.0.2.1 is also for vip v, at f0.yaml:6"},
		{"vips:\n  v: {address: 192.0.2.0/24, ports: [udp], pools: [edge]}\n  w: {address: 192.0.2.1, ports: [udp], pools: [edge]}", "udp to 192.0.2.1 is also for vip v, at f0.yaml:6"},
		{"lb: {ring-size: 1000}", "write 1009"},
	} {
		_, err := Load(flat(base+tt.text+"\n"), Options{})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.text, err, tt.want)
		}
	}
}

// TestVIPWarnings lists what is accepted and said of sections, which stand in
// place of those of a tree without a warning.
func TestVIPWarnings(t *testing.T) {
	const runs, one = "{eth0: {xdp-ingress: {programs: [{builtin: lb}]}}}", "{v: {address: 192.0.2.1, pools: [p]}}"
	type sections map[string]string
	base := sections{
		"chains": runs, "lb": "{source-address: {ipv4: 10.9.0.1, ipv6: \"2001:db8:9::1\"}}", "pools": "{p: {backends: {a4: 1}}}", "vips": one,
		"backends": "{a4: {address: 10.0.0.1, labels: {rack: r1}}, a6: {address: \"2001:db8::1\"}}",
	}
	for _, tt := range []struct {
		name string
		with sections
		want string
	}{
		{"as it is", nil, ""},
		{"in no chain", sections{"chains": "{}"}, "no-lb"},
		{"in a chain of no interface", sections{"chains": "{up: {interfaces: [], xdp-ingress: {programs: [{builtin: lb}]}}}"}, "no-lb"},
		{"disabled in its chain", sections{"chains": "{eth0: {xdp-ingress: {programs: [{builtin: lb, enabled: false}]}}}"}, "no-lb"},
		{"in no chain, for no VIP", sections{"chains": "{}", "vips": "{}"}, ""},
		{"of another driver", sections{"chains": "{}", "vips": "{v: {address: 192.0.2.1, driver: vpp, pools: [p]}}"}, ""},
		{"no source", sections{"lb": "{}"}, "no-source"},
		{"no source of the other family", sections{"lb": "{source-address: {ipv4: 10.9.0.1}}"}, ""},
		{"no source for IPv4 in IPv6", sections{"lb": "{source-address: {ipv4: 10.9.0.1}}", "vips": "{v: {address: 192.0.2.1, pools: [{name: q, backends: {a6: 1}}]}}"}, "no-source"},
		{"no source, and no tunnel", sections{"lb": "{defaults: {encap: l2dsr}}"}, ""},
		{"one family of two", sections{"vips": "{v: {addresses: [192.0.2.1, \"2001:db8:1::1\"], pools: [p, {name: q, backends: {a6: 1}}]}}"}, "family"},
		{"a family without a backend", sections{"vips": "{v: {addresses: [192.0.2.1, \"2001:db8:1::1\"], pools: [p]}}"}, "family no-backend"},
		{"one pool of two VIPs", sections{"vips": "{v: {addresses: [192.0.2.1, \"2001:db8:1::1\"], pools: [p]}, w: {addresses: [192.0.2.2, \"2001:db8:1::2\"], pools: [p]}}"},
			"family no-backend no-backend"},
		{"drain of nobody", sections{"drains": "{d: {select: {rack: r2}}}"}, "selects-nothing"},
		{"drain of nobody who has both", sections{"drains": "{d: {select: {rack: r1, site: fra}}}"}, "selects-nothing"},
		{"drain", sections{"drains": "{d: {select: {rack: r1}, until: 2026-01-01T00:00:01Z}}"}, ""},
		{"drain that is over", sections{"drains": "{d: {select: {rack: r1}, until: 2026-01-01T00:00:00Z}}"}, "past"},
		{"timeout", sections{"healthchecks": "{c: {type: icmp, interval: 1s, timeout: 1001ms}}"}, "timeout"},
		{"timeout by default", sections{"healthchecks": "{c: {type: icmp, interval: 500ms}}"}, ""},
		{"table of another file", sections{"backends": "{a4: {address: 10.0.0.1, table: wan}}"}, "unknown-table"},
	} {
		all := maps.Clone(base)
		maps.Copy(all, tt.with)
		text := "version: 1\n"
		for _, name := range sortedKeys(all) {
			text += name + ": " + all[name] + "\n"
		}
		d, err := Load(flat(text), Options{Balancer: ownBalancer(), Now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)})
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		var got []string
		for _, w := range d.Warnings {
			got = append(got, w.Code)
		}
		if text := strings.Join(got, " "); text != tt.want {
			t.Errorf("%s: got %q (%v), want %q", tt.name, text, d.Warnings, tt.want)
		}
	}
}

// TestNowIsOptional: without a time nothing is over.
func TestNowIsOptional(t *testing.T) {
	d := mustLoad(t, flat("version: 1\nbackends: {a: {address: 10.0.0.1, labels: {x: y}}}\ndrains: {d: {select: {x: y}, until: 2001-01-01T00:00:00Z}}\n"))
	if len(d.Warnings) != 0 {
		t.Errorf("got %v", d.Warnings)
	}
}

func TestVIPsOfLayers(t *testing.T) {
	const base = `version: 1
backends:
  a: {addresses: [10.0.0.1, "2001:db8::1"], labels: {rack: r1, site: fra}}
  b: {address: 10.0.0.2}
pools: {p: {backends: {a: 100, b: {weight: 50}}}}
vips: {v: {addresses: [192.0.2.1, 192.0.2.8/31], ports: [tcp/80], pools: [p]}}
`
	const before = "192.0.2.1 192.0.2.8 192.0.2.9 tcp/80: "
	for _, tt := range []struct{ name, over, want string }{
		{"nothing", "vips: {}", before + "a/10.0.0.1/ipip=100 b/10.0.0.2/ipip=50"},
		{"another weight", "pools: {p: {backends: {a: {weight: 7}, b: 8}}}", before + "a/10.0.0.1/ipip=7 b/10.0.0.2/ipip=8"},
		{"one away", "pools: {p: {backends: {a: ~}}}", before + "b/10.0.0.2/ipip=50"},
		{"one more", "backends: {c: {address: 10.0.0.3}}\npools: {p: {backends: {c: {}}}}", before + "a/10.0.0.1/ipip=100 b/10.0.0.2/ipip=50 c/10.0.0.3/ipip=100"},
		{"another address of one family", "backends: {a: {addresses: [10.0.0.9]}}", before + "a/10.0.0.9/ipip=100 b/10.0.0.2/ipip=50"},
		{"no address of one family", "backends: {a: {addresses: [{address: 10.0.0.1, absent: true}]}}", before + "a/2001:db8::1/ipip=100 b/10.0.0.2/ipip=50"},
		{"one more address", "vips: {v: {addresses: [192.0.2.2]}}", "192.0.2.1 192.0.2.2 192.0.2.8 192.0.2.9 tcp/80: a/10.0.0.1/ipip=100 b/10.0.0.2/ipip=50"},
		{"one address less", "vips: {v: {addresses: [{address: 192.0.2.8/31, absent: true}]}}", "192.0.2.1 tcp/80: a/10.0.0.1/ipip=100 b/10.0.0.2/ipip=50"},
		{"one address less, told at length", "vips: {v: {addresses: [{address: 192.0.2.1/32, absent: true}]}}", "192.0.2.8 192.0.2.9 tcp/80: a/10.0.0.1/ipip=100 b/10.0.0.2/ipip=50"},
		{"other ports", "vips: {v: {ports: [udp]}}", "192.0.2.1 192.0.2.8 192.0.2.9 udp: a/10.0.0.1/ipip=100 b/10.0.0.2/ipip=50"},
		{"every port", "vips: {v: {ports: ~}}", "192.0.2.1 192.0.2.8 192.0.2.9: a/10.0.0.1/ipip=100 b/10.0.0.2/ipip=50"},
		{"another pool", "vips: {v: {pools: [{name: q, backends: {b: 1}}]}}", before + "b/10.0.0.2/ipip=1"},
		{"no VIP", "vips: {v: ~}", ""},
	} {
		var got []string
		for _, o := range mustLoad(t, layered(base, "version: 1\n"+tt.over+"\n")).Want.All() {
			v, ok := o.Resource.(resource.VIP)
			if !ok {
				continue
			}
			for _, a := range v.Addresses {
				got = append(got, a.String())
			}
			for _, p := range v.Ports {
				got = append(got, p.String())
			}
			got[len(got)-1] += ":"
			for _, m := range v.Pools[0].Members {
				got = append(got, fmt.Sprintf("%s=%d", m.Backend, m.Weight))
			}
		}
		if text := strings.Join(got, " "); text != tt.want {
			t.Errorf("%s:\ngot  %s\nwant %s", tt.name, text, tt.want)
		}
	}
}

// TestManyAddresses bounds what a tree can make of a few lines.
func TestManyAddresses(t *testing.T) {
	var b strings.Builder
	b.WriteString("version: 1\nlb: {max-vips: 8192}\nbackends: {a: {address: 10.0.0.1}}\npools: {p: {backends: {a: 1}}}\nvips:\n")
	for i := range 1000 {
		fmt.Fprintf(&b, "  v%d: {address: 10.0.0.0/19, ports: [tcp/%d], pools: [p]}\n", i, i+1)
	}
	_, err := Load(flat(b.String()), Options{Balancer: ownBalancer()})
	faults := faultsOf(t, err)
	if len(faults) != 1000-maxExpanded>>13 || faults[0].Code != "too-many" || faults[0].Line != 6+maxExpanded>>13 {
		t.Errorf("%d faults, first %v", len(faults), faults[0])
	}
}

// manyVIPs is a tree of VIPs that share a pool; each may say more.
func manyVIPs(vips, backends int, more func(i int) string) fstest.MapFS {
	var b strings.Builder
	b.WriteString("version: 1\nlb: {ring-size: 65537, max-vips: 8192}\nbackends:\n")
	for i := range backends {
		fmt.Fprintf(&b, "  b%d: {address: 10.0.%d.%d}\n", i, i>>8, i&255)
	}
	b.WriteString("pools:\n  p:\n    backends:\n")
	for i := range backends {
		fmt.Fprintf(&b, "      b%d: %d\n", i, 50+i%2*50)
	}
	b.WriteString("vips:\n")
	for i := range vips {
		fmt.Fprintf(&b, "  v%d: {address: 192.0.%d.%d, ports: [tcp/443], pools: [p]%s}\n", i, i>>8, i&255, more(i))
	}
	return flat(b.String())
}

// TestManyMembers bounds the same for pools. VIPs that differ in nothing but
// their addresses share what their pools are.
func TestManyMembers(t *testing.T) {
	const vips, backends = 1500, 1000
	d := mustLoad(t, manyVIPs(vips, backends, func(int) string { return "" }))
	if n := d.Want.Len(); n != 1+vips+backends {
		t.Errorf("%d resources", n)
	}
	_, err := Load(manyVIPs(vips, backends, func(i int) string { return fmt.Sprintf(", drain: %dms", i) }), Options{Balancer: ownBalancer()})
	faults := faultsOf(t, err)
	if len(faults) != vips-maxMembers/backends || faults[0].Code != "too-many" {
		t.Errorf("%d faults, first %v", len(faults), faults[0])
	}
}

func BenchmarkLoad2000VIPs(b *testing.B) {
	tree := manyVIPs(2000, 20, func(int) string { return "" })
	b.ReportAllocs()
	for b.Loop() {
		mustLoad(b, tree)
	}
}

// TestVIPExample: what is shown to users is nothing to warn of.
func TestVIPExample(t *testing.T) {
	content, err := os.ReadFile("../../examples/vips.yaml")
	if err != nil {
		t.Fatal(err)
	}
	d := mustLoad(t, flat(string(content)))
	for _, w := range d.Warnings {
		t.Error(w)
	}
	for _, k := range []resource.Key{resource.BalancerKey(), resource.VIPKey("www", resource.IPv4), resource.VIPKey("www", resource.IPv6),
		resource.BackendKey("sorry", netip.MustParseAddr("2001:db8::99"), resource.IPIP)} {
		if !d.Want.Has(k) {
			t.Errorf("there is no %s", k)
		}
	}
}
