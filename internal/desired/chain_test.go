package desired

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"reconciler/internal/resource"
)

// wanted are the resources of a tree of one file.
func wanted(t *testing.T, text string) []resource.Resource {
	t.Helper()
	var out []resource.Resource
	for _, o := range mustLoad(t, flat("version: 1\n"+text+"\n")).Want.All() {
		out = append(out, o.Resource)
	}
	return out
}

const twoPrograms = "programs: {a: {object: {file: /a.o}}, b: {version: v2, instances: shared, object: {file: /b.o}}}\n"

func instance(name, link string, hooks ...resource.Hook) resource.Program {
	p := resource.Program{Name: name, Link: link, Source: resource.ObjectSource{File: "/" + name + ".o"}, Hooks: hooks}
	if name == "b" {
		p.Version = "v2"
	}
	return p
}

func TestChains(t *testing.T) {
	const xdp, in, out = resource.XDPIngress, resource.TCIngress, resource.TCEgress
	runs := func(program, link string, hook resource.Hook) resource.Slot {
		return resource.Slot{Program: program, Link: link, Proceed: hook.DefaultProceed()}
	}
	shared := resource.Slot{Program: "b", Version: "v2", Proceed: xdp.DefaultProceed()}
	for _, tt := range []struct {
		text string
		want []resource.Resource
	}{
		{"", nil},
		{"chains: {}", nil},
		{"chains: {eth0: {}}", nil},
		{"chains: {eth0: {xdp-ingress: {mode: generic}}}", nil},
		{"chains: {eth0: {xdp-ingress: {programs: []}}}", nil},
		{"chains: {all: {interfaces: [], xdp-ingress: {programs: [a]}}}", nil},
		{"chains: {eth0: {xdp-ingress: {programs: [{program: a, enabled: false}]}}}", nil},
		{"chains: {eth0: {xdp-ingress: {programs: [a]}}}", []resource.Resource{
			resource.Chain{Link: "eth0", Hook: xdp, Label: "eth0", Mode: resource.Native, Slots: []resource.Slot{runs("a", "eth0", xdp)}},
			instance("a", "eth0", xdp),
		}},
		{"chains: {lo: {xdp-ingress: {mode: auto, takeover: true, programs: [b, {program: a, enabled: true, proceed-on: [drop, aborted]}]}}}", []resource.Resource{
			resource.Chain{Link: "lo", Hook: xdp, Label: "lo", Mode: resource.Auto, Takeover: true, Slots: []resource.Slot{
				shared, {Program: "a", Link: "lo", Proceed: 1<<0 | 1<<1}}},
			instance("a", "lo", xdp), instance("b", "", xdp),
		}},
		{"chains: {eth0: {tc-egress: {programs: [{program: a, proceed-on: []}]}, tc-ingress: {programs: [a]}}}", []resource.Resource{
			resource.Chain{Link: "eth0", Hook: out, Label: "eth0", Slots: []resource.Slot{{Program: "a", Link: "eth0"}}},
			resource.Chain{Link: "eth0", Hook: in, Label: "eth0", Slots: []resource.Slot{runs("a", "eth0", in)}},
			instance("a", "eth0", out, in),
		}},
		{"chains: {up: {interfaces: [e1, e0], xdp-ingress: {programs: [a, b]}}}", []resource.Resource{
			resource.Chain{Link: "e0", Hook: xdp, Label: "up", Mode: resource.Native, Slots: []resource.Slot{runs("a", "e0", xdp), shared}},
			resource.Chain{Link: "e1", Hook: xdp, Label: "up", Mode: resource.Native, Slots: []resource.Slot{runs("a", "e1", xdp), shared}},
			instance("a", "e0", xdp), instance("a", "e1", xdp), instance("b", "", xdp),
		}},
		{"chains: {up: {interfaces: [e0], xdp-ingress: {programs: [a]}}, e0: {tc-ingress: {programs: [a]}}}", []resource.Resource{
			resource.Chain{Link: "e0", Hook: in, Label: "e0", Slots: []resource.Slot{runs("a", "e0", in)}},
			resource.Chain{Link: "e0", Hook: xdp, Label: "up", Mode: resource.Native, Slots: []resource.Slot{runs("a", "e0", xdp)}},
			instance("a", "e0", in, xdp),
		}},
		{"chains: {e0: {xdp-ingress: {programs: [{builtin: lb}, a]}}, e1: {xdp-ingress: {programs: [{builtin: lb, enabled: false}]}}}", []resource.Resource{
			resource.Chain{Link: "e0", Hook: xdp, Label: "e0", Mode: resource.Native, Slots: []resource.Slot{
				{Program: resource.BalancerProgram, Proceed: xdp.DefaultProceed()}, runs("a", "e0", xdp)}},
			instance("a", "e0", xdp), ownProgram(), ownTables(),
		}},
	} {
		if diff := cmp.Diff(tt.want, wanted(t, twoPrograms+tt.text)); diff != "" {
			t.Errorf("%s:\n%s", tt.text, diff)
		}
	}
}

func TestSixteenPrograms(t *testing.T) {
	text := "chains: {eth0: {tc-egress: {programs: ["
	programs := "programs:\n"
	for _, c := range "abcdefghijklmnop" {
		programs += "  " + string(c) + ": {object: {file: /x.o}}\n"
		text += string(c) + ", "
	}
	for _, r := range wanted(t, programs+text+"]}}}") {
		if c, ok := r.(resource.Chain); ok && len(c.Slots) != resource.MaxSlots {
			t.Errorf("%d slots", len(c.Slots))
		}
	}
}

// TestChainFaultsTellMore holds the words that name other places, or what was
// meant.
func TestChainFaultsTellMore(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"chains: {eth0: {xdp-ingress: {programs: [aa]}}}", "did you mean a?"},
		{"chains: {eth0: {xdp-ingress: {programs: [zzzz]}}}", "declare it under programs:"},
		{"chains: {eth0: {xdp-ingress: {programs: [a, b, a]}}}", "a is in this chain already, at f0.yaml:3:42"},
		{"chains:\n  eth0: {tc-egress: {programs: [a]}}\n  up: {interfaces: [eth0], tc-egress: {programs: [b]}}", "tc-egress of eth0 has a chain already, at f0.yaml:4"},
		{"chains: {eth0: {xdp-ingress: {programs: [{program: a, proceed-on: [shot]}]}}}", "known are aborted, drop, pass, tx, redirect"},
		{"chains: {eth0: {tc-egress: {programs: [{program: a, proceed-on: [oc]}]}}}", "did you mean ok?"},
	} {
		_, err := Load(flat("version: 1\n"+twoPrograms+tt.text+"\n"), Options{})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.text, err, tt.want)
		}
	}
}

func TestChainsOfLayers(t *testing.T) {
	base := "version: 1\n" + twoPrograms + "chains: {eth0: {xdp-ingress: {mode: generic, programs: [a, b]}, tc-egress: {programs: [a]}}}\n"
	for _, tt := range []struct{ name, over, want string }{
		{"another order", "chains: {eth0: {xdp-ingress: {programs: [b, a]}}}", "tc-egress: a; xdp-ingress generic: b a; "},
		{"another mode", "chains: {eth0: {xdp-ingress: {mode: native}}}", "tc-egress: a; xdp-ingress native: a b; "},
		{"one away", "chains: {eth0: {tc-egress: ~}}", "xdp-ingress generic: a b; "},
		{"all away", "chains: {eth0: ~}", ""},
		{"one more", "chains: {eth0: {tc-ingress: {programs: [b]}}}", "tc-egress: a; tc-ingress: b; xdp-ingress generic: a b; "},
		{"elsewhere", "chains: {eth0: {interfaces: []}}", ""},
	} {
		var got string
		for _, o := range mustLoad(t, layered(base, "version: 1\n"+tt.over+"\n")).Want.All() {
			c, ok := o.Resource.(resource.Chain)
			if !ok {
				continue
			}
			got += strings.TrimSpace(string(c.Hook)+" "+string(c.Mode)) + ":"
			for _, s := range c.Slots {
				got += " " + s.Program
			}
			got += "; "
		}
		if got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestOriginsOfChains(t *testing.T) {
	d := mustLoad(t, flat(`version: 1
programs:
  a:
    object: {file: /a.o}
    maps:
      m:
        entries: [{key: 1, value: 2}]
chains:
  eth0:
    xdp-ingress:
      programs:
        - a
`))
	want := []string{"chain/chain/eth0/xdp-ingress f0.yaml:10", "chain/map/a@eth0/m f0.yaml:6", "chain/program/a@eth0 f0.yaml:3"}
	if diff := cmp.Diff(want, origins(d.Want)); diff != "" {
		t.Error(diff)
	}
}
