package desired

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"reconciler/internal/resource"
)

var plainly = cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{}, resource.Check{}, time.Time{})

func backendOf(name, address string, encap resource.Encap) resource.Backend {
	return resource.Backend{Name: name, Address: netip.MustParseAddr(address), Encap: encap}
}

// memberOf is one of a pool whose VIP says nothing of times.
func memberOf(key string, weight uint8) resource.Member {
	return resource.Member{Backend: key, Weight: weight, Drain: 5 * time.Minute}
}

// vipOf is one that is told by its address and pools alone.
func vipOf(name, address string, pools ...resource.Pool) resource.VIP {
	a := netip.MustParseAddr(address)
	return resource.VIP{Name: name, Family: resource.FamilyOf(a), Addresses: []netip.Addr{a}, NoBackend: resource.NoBackendDrop, Pools: pools}
}

// balanced are the backends and VIPs of a tree of one file.
func balanced(t *testing.T, text string) []resource.Resource {
	t.Helper()
	var out []resource.Resource
	for _, r := range wanted(t, text) {
		if k := r.Key(); k.Driver == resource.LBDriver && k.Kind != resource.KindBalancer || k.Kind == resource.KindUnsupported {
			out = append(out, r)
		}
	}
	return out
}

const both = "backends: {a: {addresses: [10.0.0.1, \"2001:db8::1\"]}, b: {address: 10.0.0.2}, c: {address: \"2001:db8::3\"}}\n"

// TestFamilies: the VIP's family picks the address of a backend.
func TestFamilies(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"address: 192.0.2.1, pools: [{name: p, backends: {a: 1, b: 1}}]", "v/ipv4: a/10.0.0.1/ipip b/10.0.0.2/ipip"},
		{"address: 192.0.2.1, pools: [{name: p, backends: {a: 1, c: 1}}]", "v/ipv4: a/10.0.0.1/ipip c/2001:db8::3/ipip"},
		{"address: 192.0.2.1, encap: l2dsr, pools: [{name: p, backends: {a: 1, b: 1}}]", "v/ipv4: a/10.0.0.1/l2dsr b/10.0.0.2/l2dsr"},
		{"address: \"2001:db8:1::1\", pools: [{name: p, backends: {a: 1, c: 1}}]", "v/ipv6: a/2001:db8::1/ipip c/2001:db8::3/ipip"},
		{"addresses: [192.0.2.1, \"2001:db8:1::1\"], pools: [{name: p, backends: {a: 1}}]", "v/ipv4: a/10.0.0.1/ipip v/ipv6: a/2001:db8::1/ipip"},
		{"addresses: [192.0.2.1, \"2001:db8:1::1\"], pools: [{name: p, backends: {b: 1, c: 1}}]",
			"v/ipv4: b/10.0.0.2/ipip c/2001:db8::3/ipip v/ipv6: c/2001:db8::3/ipip"},
		{"addresses: [192.0.2.1, \"2001:db8:1::1\"], pools: [{name: p, backends: {b: 1}}, {name: q, backends: {c: 1}}]",
			"v/ipv4: b/10.0.0.2/ipip | c/2001:db8::3/ipip v/ipv6: c/2001:db8::3/ipip"},
		{"addresses: [192.0.2.1, \"2001:db8:1::1\"], pools: [{name: p, backends: {b: 1}}]", "v/ipv4: b/10.0.0.2/ipip v/ipv6:"},
	} {
		var got []string
		records := make(map[string]bool)
		used := make(map[string]bool)
		for _, r := range balanced(t, both+"vips: {v: {"+tt.text+"}}") {
			switch r := r.(type) {
			case resource.Backend:
				records[r.Key().Name] = true
			case resource.VIP:
				got = append(got, r.Key().Name+":")
				for i, p := range r.Pools {
					if i > 0 {
						got = append(got, "|")
					}
					for _, m := range p.Members {
						got = append(got, m.Backend)
						used[m.Backend] = true
					}
				}
			}
		}
		if text := strings.Join(got, " "); text != tt.want {
			t.Errorf("%s:\ngot  %s\nwant %s", tt.text, text, tt.want)
		}
		if diff := cmp.Diff(used, records); diff != "" {
			t.Errorf("%s: records:\n%s", tt.text, diff)
		}
	}
}

func TestVIPs(t *testing.T) {
	pool := func(m ...resource.Member) resource.Pool { return resource.Pool{Name: "p", Members: m} }
	a := backendOf("a", "10.0.0.1", resource.IPIP)
	slow := memberOf("a/10.0.0.1/ipip", 100)
	slow.Drain, slow.SlowStart = time.Hour, time.Minute
	full := vipOf("v", "192.0.2.0", pool(slow))
	full.Addresses = append(full.Addresses, netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.9"))
	full.Description, full.Sticky, full.FlushOnDown, full.NoBackend = "web", true, true, resource.NoBackendReject
	full.Ports = []resource.ServicePort{{Protocol: "tcp", Number: 80}, {Protocol: "tcp", Number: 443}, {Protocol: "udp"}}
	full.MaxChurn, full.MinHealthy = resource.MaxChurn{Limit: 125, Step: 10 * time.Second}, 250
	full.Announce = resource.Announce{Link: "lo", Always: true, WithdrawAfter: time.Second, ReturnAfter: time.Minute}
	refuses := vipOf("v", "192.0.2.1", pool(memberOf("a/10.0.0.1/ipip", 0)))
	refuses.MaxChurn, refuses.Announce = resource.MaxChurn{Limit: 600}, resource.Announce{Link: "eth0"}
	steps := refuses
	steps.MaxChurn.Step, steps.Announce = 30*time.Second, resource.Announce{}
	for _, tt := range []struct {
		text string
		want []resource.Resource
	}{
		{"description: web, addresses: [192.0.2.9, 192.0.2.0/31], ports: [udp, tcp/443, tcp/80], src-ip-sticky: true, flush-on-down: true, no-backend: reject, drain: 1h, slow-start: 1m, pools: [{name: p, backends: {a: {}}}], guards: {max-churn: {limit: 12.5%, over: step, every: 10s}, min-healthy: 25%}, announce: {interface: lo, when: always, withdraw-after: 1s, return-after: 1m}",
			[]resource.Resource{a, full}},
		{"address: 192.0.2.1, pools: [{name: p, backends: {a: 0}}], guards: {max-churn: {limit: 60%}}, announce: {interface: eth0}", []resource.Resource{a, refuses}},
		{"address: 192.0.2.1, pools: [{name: p, backends: {a: 0}}], guards: {max-churn: {limit: 60%, over: step}}", []resource.Resource{a, steps}},
	} {
		if diff := cmp.Diff(tt.want, balanced(t, "backends: {a: {address: 10.0.0.1}}\nvips: {v: {"+tt.text+"}}"), plainly); diff != "" {
			t.Errorf("%s:\n%s", tt.text, diff)
		}
	}
}

// TestWhoDecides: a backend's own over the VIP's over the defaults.
func TestWhoDecides(t *testing.T) {
	for _, tt := range []struct {
		defaults, vip, backend string
		want                   string
	}{
		{"", "", "", "a/10.0.0.1/ipip 5m0s 0s"},
		{"encap: l2dsr, drain: 1m, slow-start: 1s", "", "", "a/10.0.0.1/l2dsr 1m0s 1s"},
		{"encap: l2dsr, drain: 1m, slow-start: 1s", "encap: ipip, drain: 2m, slow-start: 2s", "", "a/10.0.0.1/ipip 2m0s 2s"},
		{"drain: 1m, slow-start: 1s", "encap: ipip, drain: 2m, slow-start: 2s", "encap: l2dsr, drain: 0s, slow-start: 0s", "a/10.0.0.1/l2dsr 0s 0s"},
	} {
		text := "lb: {defaults: {" + tt.defaults + "}}\nbackends: {a: {address: 10.0.0.1, " + tt.backend + "}}\n" +
			"vips: {v: {address: 192.0.2.1, pools: [{name: p, backends: {a: 1}}], " + tt.vip + "}}"
		for _, r := range balanced(t, text) {
			if v, ok := r.(resource.VIP); ok {
				m := v.Pools[0].Members[0]
				if got := m.Backend + " " + m.Drain.String() + " " + m.SlowStart.String(); got != tt.want {
					t.Errorf("%s: got %s, want %s", text, got, tt.want)
				}
			}
		}
	}
}

// TestRecords: a backend is as many records as there are ways to it.
func TestRecords(t *testing.T) {
	full := backendOf("a", "10.0.0.1", resource.IPIP)
	full.Description, full.Table, full.Disabled, full.Flush = "one", 7, true, true
	full.Labels = []resource.Label{{Name: "rack", Value: "12"}, {Name: "site", Value: "fra"}}
	full.Drains = []resource.DrainOrder{{Name: "x", Until: time.Date(2030, 11, 21, 5, 0, 0, 0, time.UTC), Reason: "PDU"}, {Name: "y"}}
	direct := full
	direct.Encap = resource.L2DSR
	var got []resource.Resource
	for _, r := range balanced(t, `tables: {wan: 7}
backends:
  a: {address: 10.0.0.1, description: one, table: wan, enabled: false, flush: true, labels: {site: fra, rack: 12}}
  b: {address: 10.0.0.2, labels: {rack: 13}}
drains:
  x: {select: {rack: 12, site: fra}, until: 2030-11-21T06:00:00+01:00, reason: PDU}
  y: {select: {site: fra}}
  z: {select: {site: fra, rack: 13}}
pools: {p: {backends: {a: 1}}}
vips:
  v: {address: 192.0.2.1, pools: [p]}
  w: {address: 192.0.2.2, pools: [p], encap: l2dsr}
`) {
		if r.Key().Kind == resource.KindBackend {
			got = append(got, r)
		}
	}
	if diff := cmp.Diff([]resource.Resource{full, direct}, got, plainly); diff != "" {
		t.Error(diff)
	}
}

func TestHealthchecks(t *testing.T) {
	plain := resource.Check{Name: "c", Type: resource.CheckICMP, Interval: 2 * time.Second, FastInterval: 2 * time.Second, DownInterval: 2 * time.Second,
		Timeout: time.Second, Jitter: 5, Rise: 2, Fall: 3}
	tcp := plain
	tcp.Type, tcp.Port, tcp.Source, tcp.Netns, tcp.Mark = resource.CheckTCP, 22, netip.MustParseAddr("10.9.9.9"), "blue", 16
	quick := plain
	quick.Interval, quick.FastInterval, quick.DownInterval, quick.Timeout = 100*time.Millisecond, 100*time.Millisecond, 5*time.Second, 100*time.Millisecond
	quick.Rise, quick.Fall = 1, 1
	http := plain
	http.Type, http.Port, http.HTTP = resource.CheckHTTP, 80, resource.HTTPCheck{Method: "GET", Path: "/", Status: "200-399"}
	https := plain
	https.Type, https.Port, https.HTTP = resource.CheckHTTPS, 8443, resource.HTTPCheck{
		Method: "HEAD", Path: "/x?y=1", Host: "www.example", Status: "200-299,404", Body: "ok", ServerName: "a.example", Insecure: true}
	for _, tt := range []struct {
		text string
		want resource.Check
	}{
		{"type: icmp", plain},
		{"type: icmp, jitter: 5.0%", plain},
		{"type: icmp, interval: 100ms, down-interval: 5s, rise: 1, fall: 1", quick},
		{"type: tcp, port: 22, source: 10.9.9.9, netns: blue, mark: 0x10", tcp},
		{"type: tcp, port: 22, source: {ipv4: 10.9.9.9, ipv6: \"2001:db8::9\"}, netns: blue, mark: 0x10", tcp},
		{"type: icmp, source: \"2001:db8::9\"", plain},
		{"type: http", http},
		{"type: https, port: 8443, http: {method: HEAD, path: \"/x?y=1\", host: www.example, status: [200-299, 404], body: ok, server-name: a.example, insecure: true}", https},
	} {
		got := balanced(t, "healthchecks: {c: {"+tt.text+"}}\nbackends: {a: {address: 10.0.0.1, healthcheck: c}}\n"+
			"vips: {v: {address: 192.0.2.1, pools: [{name: p, backends: {a: 1}}]}}")[0].(resource.Backend)
		if diff := cmp.Diff(tt.want, got.Check, plainly); diff != "" {
			t.Errorf("%s:\n%s", tt.text, diff)
		}
	}
}

// TestNotAppliedYet: what waits for another version leaves its backend out, and
// a VIP that has no other.
func TestNotAppliedYet(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"driver", "vips: {v: {address: 192.0.2.1, driver: ipvs, pools: [p]}}", "driver ipvs of vip v"},
		{"default driver", "lb: {defaults: {driver: vpp}}\nvips: {v: {address: 192.0.2.1, pools: [p]}}", "driver vpp of vip v"},
		{"encap", "vips: {v: {address: 192.0.2.1, encap: gue, pools: [p]}}", "encap gue of vip v"},
		{"default encap", "lb: {defaults: {encap: gre}}\nvips: {v: {address: 192.0.2.1, pools: [p]}}", "encap gre of lb.defaults"},
		{"encap of one", "vips: {v: {address: 192.0.2.1, pools: [{name: q, backends: {a: 1, tunnelled: 1}}]}}", "lb/vip/v/ipv4, encap gre of backend tunnelled"},
		{"check", "vips: {v: {address: 192.0.2.1, pools: [{name: q, backends: {a: 1, asked: 1, through: 1}}]}}",
			"lb/vip/v/ipv4, type grpc of healthcheck g, via tunnel of healthcheck t"},
		{"in use only", "vips: {v: {address: 192.0.2.1, pools: [p]}}", "lb/vip/v/ipv4"},
	} {
		base := "healthchecks: {g: {type: grpc, port: 1}, t: {type: icmp, via: tunnel}}\npools: {p: {backends: {a: 1}}}\n" +
			"backends: {a: {address: 10.0.0.1}, tunnelled: {address: 10.0.0.2, encap: gre}, asked: {address: 10.0.0.3, healthcheck: g}, through: {address: 10.0.0.4, healthcheck: t}}\n"
		var got []string
		for _, r := range balanced(t, base+tt.text) {
			switch r.Key().Kind {
			case resource.KindVIP:
				got = append(got, r.Key().String())
			case resource.KindUnsupported:
				got = append(got, r.Key().Name)
			}
		}
		if text := strings.Join(got, ", "); text != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, text, tt.want)
		}
	}
}
