package desired

import (
	"io/fs"
	"maps"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"reconciler/internal/resource"
)

func TestFleet(t *testing.T) {
	d, err := Load(os.DirFS("testdata/fleet"), Options{Host: "lb-fra-01"})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"base", "roles/lb", "hosts/lb-fra-01"}; !slices.Equal(d.Layers, want) {
		t.Errorf("layers %v, want %v", d.Layers, want)
	}
	want := []string{
		"address/10.0.0.1/24 dev br0 base/net.yaml:3",
		"address/10.0.0.9/24 dev br0 hosts/lb-fra-01/net.yaml:3",
		"link/br0 hosts/lb-fra-01/net.yaml:3",
		"route/192.0.2.0/24 roles/lb/net.yaml:6",
		"route/203.0.113.0/24 metric 50 roles/lb/net.yaml:5",
	}
	if got := origins(d.Want); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	o, _ := d.Want.Get(resource.LinkKey("br0"))
	if l := o.Resource.(resource.Link); l.MTU != 9000 || l.Type != resource.Bridge {
		t.Errorf("br0 is %+v", l)
	}
	text, err := d.Merged.YAML(true)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"    mtu: 9000 # roles/lb: net.yaml:3\n", "      - 10.0.0.9/24 # hosts/lb-fra-01: net.yaml:3\n", "    kind: bridge # base: net.yaml:3\n",
	} {
		if !strings.Contains(string(text), line) {
			t.Errorf("%q is not in:\n%s", line, text)
		}
	}
}

func origins(s *resource.Set) []string {
	var out []string
	for _, o := range s.All() {
		out = append(out, strings.TrimPrefix(o.Key().String(), "netlink/")+" "+o.Origin)
	}
	return out
}

// files makes a tree of paths and contents.
func files(pairs ...string) fstest.MapFS {
	tree := make(fstest.MapFS)
	for i := 0; i < len(pairs); i += 2 {
		tree[pairs[i]] = &fstest.MapFile{Data: []byte(pairs[i+1])}
	}
	return tree
}

const (
	nothing = "version: 1\n"
	ownFile = "version: 1\nmin-version: v1.2.0\nlayers: [base, {path: \"roles/{role}\", required: false}, \"hosts/{hostname}\"]\n" +
		"fleet: {a: {role: lb}, b: {role: db}}\n"
)

func ownTree(extra ...string) fstest.MapFS {
	tree := files(append([]string{treeFile, ownFile, "base/n.yaml", nothing, "hosts/a/n.yaml", nothing, "hosts/b/n.yaml", nothing}, extra...)...)
	maps.DeleteFunc(tree, func(_ string, f *fstest.MapFile) bool { return len(f.Data) == 0 })
	return tree
}

func TestLayers(t *testing.T) {
	for _, tt := range []struct {
		name string
		tree fs.FS
		o    Options
		want string // the layers, or the fault
	}{
		{"labels from fleet", ownTree("roles/db/n.yaml", nothing), Options{Host: "b"}, "base roles/db hosts/b"},
		{"labels that agree", ownTree(), Options{Host: "b", Labels: map[string]string{"role": "db"}}, "base hosts/b"},
		{"labels that differ", ownTree(), Options{Host: "b", Labels: map[string]string{"role": "lb"}}, "4:24 labels-differ"},
		{"no labels of the agent's", ownTree(), Options{Host: "b", Labels: map[string]string{}}, "4:24 labels-differ"},
		{"a host that fleet lacks", ownTree(), Options{Host: "c"}, "4:8 unknown-host"},
		{"no host", ownTree(), Options{}, "1:1 no-host"},
		{"a required layer is missing", ownTree("hosts/a/n.yaml", ""), Options{Host: "a"}, "3:57 missing-layer"},
		{"an older build", ownTree("base/n.yaml", "version: [}"), Options{Host: "a", Version: "v1.1.9"}, "2:14 min-version"},
		{"an older build without its v", ownTree(), Options{Host: "a", Version: "1.1.9"}, "2:14 min-version"},
		{"a newer build", ownTree(), Options{Host: "a", Version: "v1.10.0"}, "base hosts/a"},
		{"a build of development", ownTree(), Options{Host: "a", Version: "devel"}, "base hosts/a"},
		{"an undefined label", files(treeFile, "version: 1\nlayers: [\"{site}\"]\n"), Options{Host: "a"}, "2:10 undefined-label"},
		{"labels without fleet", files(treeFile, "version: 1\nlayers: [\"{site}\"]\n", "fra/n.yaml", nothing), Options{Host: "a", Labels: map[string]string{"site": "fra"}}, "fra"},
		{"a path that leads out", files(treeFile, "version: 1\nlayers: [../other, /etc]\n"), Options{Host: "a"}, "2:10 bad-path, 2:20 bad-path"},
		{"a layer twice", files(treeFile, "version: 1\nlayers: [base, base/]\n", "base/n.yaml", nothing), Options{Host: "a"}, "2:16 layer-twice"},
		{"a label that leads out", files(treeFile, "version: 1\nlayers: [base]\nfleet: {a: {role: ../x, hostname: b}}\n"), Options{Host: "a"}, "3:19 bad-name, 3:25 bad-name"},
		{"a section in the wrong file", files(treeFile, "version: 1\nlayers: [base]\nroutes: []\n", "base/n.yaml", nothing), Options{Host: "a"}, "3:1 unknown-key"},
		{"half a file", files(treeFile, "version: 1\nlayers: [\n", "base/n.yaml", nothing), Options{Host: "a"}, "2:9 unclosed"},
		{"no layers named", files(treeFile, "version: 1\nmin-version: v0.1.0\n", "n.yaml", nothing), Options{}, "."},
		{"an empty tree", files(), Options{}, "1:1 empty-tree"},
		{"comments alone", files("n.yaml", "# soon\n"), Options{}, "1:1 empty-tree"},
		{"hidden and other files", files("n.yaml", nothing, ".github/x.yaml", "{", "a/.b.yml", "{", "README.md", "{"), Options{}, "."},
		{"inner layers own their files", files(treeFile, "version: 1\nlayers: [., sub]\n", "n.yaml", "version: 1\nsysctl: {net.a: 1}\n", "sub/n.yaml", "version: 1\nsysctl: {net.a: 2}\n"), Options{Host: "a"}, ". sub"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d, err := Load(tt.tree, tt.o)
			got := strings.Join(d.Layers, " ")
			if err != nil {
				got = positions(t, err)
				if d.Want != nil {
					t.Error("a tree with faults has a wanted set")
				}
			} else if d.Want == nil {
				t.Error("a tree without faults has no wanted set")
			}
			if got != tt.want {
				t.Errorf("got %s, want %s (%v)", got, tt.want, err)
			}
		})
	}
}

// positions prints faults as line:column code.
func positions(t *testing.T, err error) string {
	t.Helper()
	var out []string
	for _, f := range faultsOf(t, err) {
		out = append(out, strings.Join([]string{strconv.Itoa(f.Line) + ":" + strconv.Itoa(f.Column), f.Code}, " "))
	}
	return strings.Join(out, ", ")
}

func TestCheckLooksEverywhere(t *testing.T) {
	tree := ownTree(
		"roles/lb/n.yaml", "version: 1\nroutes: [{to: 10.0.0.0/8, via: 10.0.0.1, table: wan}]\n", // a fault of host a
		"hosts/unused/n.yaml", "version: 1\nmut: 1\n", // of no host
		"docs/n.yaml", "nonsense: [", // no layer
	)
	d, err := Check(tree, Options{})
	var got []string
	for _, f := range faultsOf(t, err) {
		got = append(got, f.File+" "+f.Path+" "+f.Code)
	}
	want := []string{"hosts/unused/n.yaml mut unknown-key", "roles/lb/n.yaml routes[0].table unknown-table"}
	if !slices.Equal(got, want) || !slices.Equal(d.Hosts, []string{"a", "b"}) {
		t.Errorf("got %q of hosts %v\nwant %q", got, d.Hosts, want)
	}
	if _, err := Check(tree, Options{Host: "b"}); err != nil {
		t.Errorf("host b has no fault of its own, and got %v", err)
	}
	d, err = Check(files(treeFile, "version: 1\nlayers: [base]\n", "base/n.yaml", nothing), Options{})
	if err != nil || len(d.Warnings) != 1 || d.Warnings[0].Code != "no-fleet" {
		t.Errorf("without fleet: %v, %v", d.Warnings, err)
	}
}

func TestRescue(t *testing.T) {
	rescue := &File{Path: "/etc/rescue.yaml", Content: []byte("version: 1\ninterfaces: {mgmt0: {state: up}, br0: {mtu: 1400}}\n")}
	alone, err := Load(files(), Options{Host: "a", Rescue: rescue})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := origins(alone.Want), []string{"link/br0 /etc/rescue.yaml:2", "link/mgmt0 /etc/rescue.yaml:2"}; !slices.Equal(got, want) {
		t.Errorf("alone: got %q, want %q", got, want)
	}
	over, err := Load(files("n.yaml", "version: 1\ninterfaces: {br0: {kind: bridge, mtu: 9000}}\n"), Options{Rescue: rescue})
	if err != nil {
		t.Fatal(err)
	}
	o, _ := over.Want.Get(resource.LinkKey("br0"))
	if l := o.Resource.(resource.Link); l.MTU != 1400 || l.Type != resource.Bridge || !reflect.DeepEqual(over.Layers, []string{".", "rescue"}) {
		t.Errorf("over a tree: %+v of %v", l, over.Layers)
	}
}

func TestBounds(t *testing.T) {
	many := make(fstest.MapFS)
	for i := range 2001 {
		many["n"+strconv.Itoa(i)+".yaml"] = &fstest.MapFile{Data: []byte(nothing)}
	}
	big := make(fstest.MapFS)
	for i := range 9 {
		big["n"+strconv.Itoa(i)+".yaml"] = &fstest.MapFile{Data: append([]byte(nothing), make([]byte, 1<<20-20)...)}
	}
	bomb := "version: 1\na: &a [x, x, x, x, x, x, x, x]\n"
	for c := 'b'; c < 'l'; c++ {
		bomb += string(c) + ": &" + string(c) + " [" + strings.Repeat("*"+string(c-1)+", ", 8) + "]\n"
	}
	for _, tt := range []struct {
		name string
		tree fs.FS
		want string
	}{
		{"files", many, "too-large"},
		{"bytes", big, "too-large"},
		{"one file", files("n.yaml", nothing+strings.Repeat("#\n", 1<<19)), "too-large"},
		{"aliases", files("n.yaml", bomb), "too-many-values"},
		{"depth", files("n.yaml", "version: 1\nroutes: "+strings.Repeat("[", 5000)), "unclosed"},
		{"closed depth", files("n.yaml", "version: 1\nroutes: "+strings.Repeat("[", 5000)+strings.Repeat("]", 5000)), "too-deep"},
		{"depth of blocks", files("n.yaml", "version: 1\nroutes:\n "+strings.Repeat("- ", 5000)+"x"), "too-deep"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Load(tt.tree, Options{})
			if err == nil || !strings.Contains(positions(t, err), tt.want) {
				t.Errorf("got %.200v, want %s", err, tt.want)
			}
		})
	}
}

func TestUnreadable(t *testing.T) {
	_, err := Load(os.DirFS("testdata/there-is-no-such-directory"), Options{})
	if got := faultsOf(t, err); len(got) != 1 || got[0].Code != "unreadable" || !got[0].Parse {
		t.Errorf("got %v", err)
	}
}
