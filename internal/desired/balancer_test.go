package desired

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconciler/internal/resource"
)

// ownBalancer is what a build with a load balancer says of it.
func ownBalancer() *Balancer {
	return &Balancer{Object: ownObject, Maps: func(c resource.Capacities) []resource.MapSettings {
		return []resource.MapSettings{{Name: "lb_flows", MaxEntries: c.Flows, Pin: "../lb/flows", External: true}}
	}}
}

var ownObject = &resource.Blob{SHA256: "abc", Bytes: []byte("ELF")}

func ownProgram() resource.Program {
	return resource.Program{
		Name: resource.BalancerProgram, Source: resource.ObjectSource{File: resource.BalancerProgram, Tree: ownObject},
		Hooks: []resource.Hook{resource.XDPIngress},
		Maps:  []resource.MapSettings{{Name: "lb_flows", MaxEntries: 1_000_000, Pin: "../lb/flows", External: true}},
	}
}

// ownTables is the balancer of a tree that says nothing of it.
func ownTables() resource.Balancer {
	return resource.Balancer{Capacities: resource.DefaultCapacities(), UDPIdle: resource.DefaultUDPIdle}
}

func TestBalancer(t *testing.T) {
	prefix := netip.MustParsePrefix
	sized := ownTables()
	sized.RingSize, sized.VIPs, sized.Backends, sized.Rings, sized.Flows = 251, 10, 20, 30, 40
	sourced := ownTables()
	sourced.Source4, sourced.Source6, sourced.UDPIdle = prefix("10.1.0.0/16"), prefix("2001:db8::1/128"), time.Minute
	for _, tt := range []struct {
		text string
		want []resource.Resource
	}{
		{"lb: {ring-size: 251}", nil},
		{"lb: {}\nbackends: {a: {address: 10.0.0.1}}\npools: {p: {backends: {a: 1}}}\nhealthchecks: {c: {type: icmp}}", nil},
		{"chains: {e0: {xdp-ingress: {programs: [{builtin: lb, enabled: false}]}}}", nil},
		{"chains: {e0: {interfaces: [], xdp-ingress: {programs: [{builtin: lb}]}}}", nil},
		{"chains: {e0: {interfaces: [a, b], xdp-ingress: {programs: [{builtin: lb}]}}}", []resource.Resource{
			runsBalancer("a"), runsBalancer("b"), ownProgram(), ownTables(),
		}},
		{"lb: {ring-size: 251, max-vips: 10, max-backends: 20, max-rings: 30, max-flows: 40}\nvips: {v: {address: 192.0.2.1, pools: [{name: p, backends: {a: 1}}]}}\nbackends: {a: {address: 10.0.0.1}}",
			[]resource.Resource{backendOf("a", "10.0.0.1", resource.IPIP), sized,
				vipOf("v", "192.0.2.1", resource.Pool{Name: "p", Members: []resource.Member{memberOf("a/10.0.0.1/ipip", 1)}})}},
		{"lb: {source-address: {ipv4: 10.1.0.0/16, ipv6: \"2001:db8::1\"}, udp-idle: 60s}\nchains: {a: {xdp-ingress: {programs: [{builtin: lb}]}}}",
			[]resource.Resource{runsBalancer("a"), ownProgram(), sourced}},
	} {
		if diff := cmp.Diff(tt.want, wanted(t, tt.text), plainly); diff != "" {
			t.Errorf("%s:\n%s", tt.text, diff)
		}
	}
}

func runsBalancer(link string) resource.Chain {
	label := link
	if link == "a" || link == "b" {
		label = "e0"
	}
	return resource.Chain{Link: link, Hook: resource.XDPIngress, Label: label, Mode: resource.Native, Slots: []resource.Slot{
		{Program: resource.BalancerProgram, Proceed: resource.XDPIngress.DefaultProceed()}}}
}

// TestProgramIsAsLargeAsItsTables: maps that are pinned with other sizes than
// the program has would not be taken for its own.
func TestProgramIsAsLargeAsItsTables(t *testing.T) {
	d := mustLoad(t, flat("version: 1\nlb: {max-flows: 77}\nchains: {a: {xdp-ingress: {programs: [{builtin: lb}]}}}\n"))
	o, ok := d.Want.Get(resource.ProgramKey(resource.BalancerProgram, "", ""))
	if !ok {
		t.Fatal("no program")
	}
	p := o.Resource.(resource.Program)
	if len(p.Maps) != 1 || p.Maps[0].MaxEntries != 77 {
		t.Errorf("maps %+v", p.Maps)
	}
	if got := p.Requires(); len(got) != 1 || got[0] != resource.BalancerKey() {
		t.Errorf("requires %v", got)
	}
}

const withoutObject = `version: 1
backends: {a: {address: 10.0.0.1}}
vips: {v: {address: 192.0.2.1, pools: [{name: p, backends: {a: 1}}]}}
chains: {e0: {xdp-ingress: {programs: [{builtin: lb}]}}}
`

// TestBuildWithoutBalancer accepts everything, and applies none of it.
func TestBuildWithoutBalancer(t *testing.T) {
	d, err := Load(flat(withoutObject), Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"unsupported/builtin lb of e0 f0.yaml:4", "unsupported/vip v f0.yaml:3"}
	if diff := cmp.Diff(want, origins(d.Want)); diff != "" {
		t.Error(diff)
	}
}

func TestOriginsOfVIPs(t *testing.T) {
	d := mustLoad(t, flat(withoutObject+"lb: {max-flows: 77}\n"))
	want := []string{"chain/chain/e0/xdp-ingress f0.yaml:4", "chain/program/builtin:lb f0.yaml:4", "lb/backend/a/10.0.0.1/ipip f0.yaml:2",
		"lb/balancer/lb f0.yaml:5", "lb/vip/v/ipv4 f0.yaml:3"}
	if diff := cmp.Diff(want, origins(d.Want)); diff != "" {
		t.Error(diff)
	}
}
