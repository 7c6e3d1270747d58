package desired

import (
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"reconciler/internal/resource"
)

// layered is a tree of layers, lowest first, each one file.
func layered(layers ...string) fstest.MapFS {
	tree := make(fstest.MapFS)
	own := "version: 1\nlayers:\n"
	for i, text := range layers {
		tree[fmt.Sprintf("l%d/net.yaml", i)] = &fstest.MapFile{Data: []byte(text)}
		own += fmt.Sprintf("  - l%d\n", i)
	}
	tree[treeFile] = &fstest.MapFile{Data: []byte(own)}
	return tree
}

// flat is a tree of one layer.
func flat(files ...string) fstest.MapFS {
	tree := make(fstest.MapFS)
	for i, text := range files {
		tree[fmt.Sprintf("f%d.yaml", i)] = &fstest.MapFile{Data: []byte(text)}
	}
	return tree
}

func mustLoad(t testing.TB, tree fs.FS) *Desired {
	t.Helper()
	d, err := Load(tree, Options{Host: "h", Balancer: ownBalancer()})
	if err != nil {
		t.Fatalf("%v", err)
	}
	return d
}

// texts are the wanted resources, without where they are declared.
func texts(s *resource.Set) []string {
	var out []string
	for _, o := range s.All() {
		out = append(out, fmt.Sprintf("%+v", o.Resource))
	}
	return out
}

func rendered(t testing.TB, tree fs.FS) string {
	t.Helper()
	text, err := mustLoad(t, tree).Merged.YAML(false)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestMerge(t *testing.T) {
	const base = `version: 1
tables: {wan: 100}
interfaces:
  br0:
    kind: bridge
    mtu: 1500
    exact: [addresses]
    addresses: [10.0.0.1/24, "2001:db8:0::1/64"]
    bridge: {stp: true, ports: [p0, p1]}
    neighbours: [{to: 10.0.0.7, lladdr: "02:00:00:00:00:07"}]
routes:
  - {to: default, via: 10.0.0.254, table: wan}
  - {to: "2001:db8:1::/48", type: blackhole}
rules:
  - {priority: 1000, from: 10.0.0.0/24, table: wan}
`
	for _, tt := range []struct{ name, layer, has, lacks string }{
		{"a mapping merges at depth", "interfaces: {br0: {bridge: {stp: false}}}", "stp: false", "stp: true"},
		{"and keeps the rest", "interfaces: {br0: {bridge: {stp: false}}}", "- p0", ""},
		{"a plain list is replaced", "interfaces: {br0: {bridge: {ports: [p2]}}}", "- p2", "- p0"},
		{"another plain list is replaced", "interfaces: {br0: {exact: []}}", "exact: []", "- addresses"},
		{"addresses join", "interfaces: {br0: {addresses: [10.0.0.2/24]}}", "- 10.0.0.1/24\n      - \"2001:db8:0::1/64\"\n      - 10.0.0.2/24", ""},
		{"an address joins in another form", "interfaces: {br0: {addresses: [{address: \"2001:db8::1/64\", nodad: true}]}}", "nodad: true", "2001:db8:0::1"},
		{"an address goes", "interfaces: {br0: {addresses: [{address: 10.0.0.1/24, absent: true}]}}", "2001", "10.0.0.1/24"},
		{"a neighbour goes", "interfaces: {br0: {neighbours: [{to: 10.0.0.7, absent: true}]}}", "neighbours: []", "02:00"},
		{"a key goes", "interfaces: {br0: {mtu: null}}", "kind: bridge", "mtu"},
		{"a section goes", "rules: null", "routes", "rules"},
		{"an interface goes", "interfaces: {br0: null}", "interfaces: {}", "bridge"},
		{"a route wins as a whole", "routes: [{to: 0.0.0.0/0, dev: up, table: 100}]", "dev: up", "via"},
		{"metric 0 is 1024 in IPv6", "routes: [{to: \"2001:db8:1::/48\", metric: 1024, type: prohibit}]", "prohibit", "blackhole"},
		{"another metric is another route", "routes: [{to: \"2001:db8:1::/48\", metric: 1, type: prohibit}]", "blackhole", ""},
		{"a rule wins", "rules: [{priority: 1000, family: ipv4, iif: br0, table: wan}]", "iif: br0", "from"},
		{"a scalar in place of a mapping", "interfaces: {br0: {bridge: null, kind: dummy}}", "kind: dummy", "stp"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := rendered(t, layered(base, "version: 1\n"+tt.layer+"\n"))
			if !strings.Contains(got, tt.has) || tt.lacks != "" && strings.Contains(got, tt.lacks) {
				t.Errorf("want %q and not %q in:\n%s", tt.has, tt.lacks, got)
			}
		})
	}
}

func TestConflictsInOneLayer(t *testing.T) {
	const a = "version: 1\ninterfaces: {br0: {kind: bridge, mtu: 1500, exact: [routes], addresses: [10.0.0.1/24]}}\n"
	for _, tt := range []struct{ text, want string }{
		{"version: 1\ninterfaces: {br0: {mtu: 9000}}\n", "f1.yaml:2:25: interfaces.br0.mtu: this is also set at f0.yaml:2, in the same layer [set-twice]"},
		{"version: 1\ninterfaces: {br0: {mtu: 1500}}\n", "f1.yaml:2:25: interfaces.br0.mtu: this is also set at f0.yaml:2, in the same layer [set-twice]"},
		{"version: 1\ninterfaces: {br0: {mtu: null}}\n", "f1.yaml:2:25: interfaces.br0.mtu: this is also set at f0.yaml:2, in the same layer [set-twice]"},
		{"version: 1\ninterfaces: {br0: {exact: [addresses]}}\n", "f1.yaml:2:27: interfaces.br0.exact: this is also set at f0.yaml:2, in the same layer [set-twice]"},
		{"version: 1\ninterfaces: {br0: {addresses: [10.0.0.1/24]}}\n", "f1.yaml:2:32: interfaces.br0.addresses[0]: the same entry is at f0.yaml:2, in the same layer [list-twice]"},
		{"version: 1\ninterfaces: {br0: 5}\n", "set at f0.yaml:2, in the same layer [set-twice]"},
		{"version: 2\n", "f1.yaml:1:10: version: this is also set at f0.yaml:1, in the same layer [set-twice]"},
	} {
		_, err := Load(flat(a, tt.text), Options{})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v\nwant %s", tt.text, err, tt.want)
		}
	}
	mustLoad(t, flat(a, "version: 1\ninterfaces: {br0: {addresses: [10.0.0.2/24]}}\n---\nversion: 1\nroutes: []\n"))
}

// TestWhatWasOverruledIsChecked finds faults in values without effect.
func TestWhatWasOverruledIsChecked(t *testing.T) {
	_, err := Load(layered(
		"version: 1\ninterfaces: {br0: {kind: bridge, mtu: many}}\nroutes: [{to: 10.0.0.0/8, vai: 10.0.0.1}]\nrules: {}\n",
		"version: 1\ninterfaces: {br0: {mtu: 1500}}\nroutes: [{to: 10.0.0.0/8, via: 10.0.0.1}]\nrules: null\n"), Options{Host: "h"})
	var got []string
	for _, f := range faultsOf(t, err) {
		got = append(got, fmt.Sprintf("%s:%d:%d %s %s", f.File, f.Line, f.Column, f.Path, f.Code))
	}
	want := []string{
		"l0/net.yaml:2:39 interfaces.br0.mtu wrong-type",
		"l0/net.yaml:3:27 routes[0].vai unknown-key",
		"l0/net.yaml:4:8 rules wrong-type",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// parts are pieces of a document that can stand in any file of one layer.
var parts = []string{
	"interfaces: {br0: {kind: bridge}}", "interfaces: {br0: {mtu: 1500}}", "interfaces: {br0: {addresses: [10.0.0.1/24]}}",
	"interfaces: {br0: {addresses: [10.0.0.2/24, {address: \"2001:db8::1/64\", nodad: true}]}}",
	"interfaces: {br0: {bridge: {stp: false}}}", "interfaces: {br0: {bridge: {ports: [p0]}}}",
	"interfaces: {p0: {kind: veth, veth: {peer: q0}}}", "interfaces: {q0: {kind: veth, veth: {peer: p0}}}",
	"interfaces: {q0: {mtu: 1400}}", "interfaces: {mv0: {kind: macvlan, parent: br0}}",
	"routes: [{to: default, via: 10.0.0.254, table: wan}]", "routes: [{to: 203.0.113.0/24, via: 10.0.0.254}]",
	"tables: {wan: 100}", "rules: [{priority: 1000, from: 10.0.0.0/24, table: wan}]", "sysctl: {net.ipv4.ip_forward: 1}",
}

// TestOrderOfFiles: within a layer it makes no difference how the pieces are
// spread over files.
func TestOrderOfFiles(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	want := texts(mustLoad(t, flat(pieces(parts)...)).Want)
	if len(want) < 12 {
		t.Fatalf("only %d resources", len(want))
	}
	for range 200 {
		shuffled := slices.Clone(parts)
		random.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		if got := texts(mustLoad(t, flat(pieces(shuffled)...)).Want); !slices.Equal(got, want) {
			t.Fatalf("order %q:\ngot  %q\nwant %q", shuffled, got, want)
		}
	}
}

func pieces(parts []string) []string {
	var out []string
	for _, p := range parts {
		out = append(out, "version: 1\n"+p+"\n")
	}
	return out
}

// TestMergeTwice: a layer over itself changes nothing, and what is rendered
// means what it was rendered from.
func TestMergeTwice(t *testing.T) {
	var trees []string
	for _, pattern := range []string{"testdata/ok*/*.yaml", "../../examples/*.yaml"} {
		names, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			content, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if filepath.Base(name) != "agent.yaml" {
				trees = append(trees, string(content))
			}
		}
	}
	if len(trees) < 7 {
		t.Fatalf("found only %d trees", len(trees))
	}
	for _, text := range trees {
		once := texts(mustLoad(t, flat(text)).Want)
		if twice := texts(mustLoad(t, layered(text, text)).Want); !slices.Equal(once, twice) {
			t.Errorf("over itself:\ngot  %q\nwant %q", twice, once)
		}
		if again := texts(mustLoad(t, flat(rendered(t, flat(text)))).Want); !slices.Equal(once, again) {
			t.Errorf("rendered:\ngot  %q\nwant %q", again, once)
		}
	}
}

func FuzzMerge(f *testing.F) {
	for _, pattern := range []string{"testdata/ok*/*.yaml", "testdata/bad/*.yaml", "testdata/fleet/*/*.yaml", "testdata/fleet/*/*/*.yaml"} {
		names, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, name := range names {
			content, err := os.ReadFile(name)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(string(content), "version: 1\nroutes: null\n")
		}
	}
	f.Fuzz(func(t *testing.T, low, high string) {
		tree := layered(low, high)
		d, err := Load(tree, Options{Host: "h", Balancer: ownBalancer()})
		for _, fault := range faultsOf(t, err) {
			if fault.Line < 1 || fault.Column < 1 || fault.Code == "" || fault.Message == "" {
				t.Errorf("incomplete fault: %+v", fault)
			}
		}
		if err != nil {
			return
		}
		again := flat(rendered(t, tree))
		if got, want := texts(mustLoad(t, again).Want), texts(d.Want); !slices.Equal(got, want) {
			t.Errorf("rendered:\ngot  %q\nwant %q", got, want)
		}
		both := maps.Clone(tree)
		both["l1/copy.yaml"] = &fstest.MapFile{Data: []byte("version: 1\n")}
		if got, want := texts(mustLoad(t, both).Want), texts(d.Want); !slices.Equal(got, want) {
			t.Errorf("an empty file changed something:\ngot  %q\nwant %q", got, want)
		}
	})
}
