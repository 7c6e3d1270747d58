package desired

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconciler/internal/resource"
)

const pinned = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

// running is a tree of one program, and a chain that runs it.
func running(program string) string {
	return "version: 1\nprograms: {a: " + program + "}\nchains: {eth0: {xdp-ingress: {programs: [a]}}}\n"
}

// onlyProgram is the one program of a set.
func onlyProgram(t *testing.T, s *resource.Set) resource.Program {
	t.Helper()
	for _, o := range s.All() {
		if p, ok := o.Resource.(resource.Program); ok {
			return p
		}
	}
	t.Fatal("no program")
	return resource.Program{}
}

func TestObjects(t *testing.T) {
	other := strings.Repeat("ab", 32)
	for _, tt := range []struct {
		text string
		want resource.ObjectSource
	}{
		{"{object: {file: /lib/a.o}}", resource.ObjectSource{File: "/lib/a.o"}},
		{"{object: {file: /lib/a.tar.gz, path: x/a.o, sha256: " + strings.ToUpper(pinned) + "}}", resource.ObjectSource{File: "/lib/a.tar.gz", Path: "x/a.o", SHA256: pinned}},
		{"{object: {file: \"/lib/a-{arch}.o\"}}", resource.ObjectSource{File: "/lib/a-arm64.o"}},
		{"{object: {url: \"file:///lib/a.o\"}}", resource.ObjectSource{URL: "file:///lib/a.o"}},
		{"{version: v2.1.0, object: {url: \"https://r.example/{version}/a-{platform}-{arch}.tgz\", path: \"a-{version}/{arch}.o\", sha256: " + pinned + "}}",
			resource.ObjectSource{URL: "https://r.example/v2.1.0/a-linux-arm64.tgz", Path: "a-v2.1.0/arm64.o", SHA256: pinned}},
		{"{object: {url: \"http://r.example/a\", sha256: {amd64: " + pinned + ", arm64: " + other + "}}}", resource.ObjectSource{URL: "http://r.example/a", SHA256: other}},
		{"{object: {url: \"http://[2001:db8::1]:8080/a?x=1\", sha256: \"" + strings.Repeat("1", 64) + "\"}}",
			resource.ObjectSource{URL: "http://[2001:db8::1]:8080/a?x=1", SHA256: strings.Repeat("1", 64)}},
		{"{object: {url: \"http://r.example/a\", sha256: " + strings.Repeat("1", 64) + "}}", resource.ObjectSource{URL: "http://r.example/a", SHA256: strings.Repeat("1", 64)}},
	} {
		d, err := Load(flat(running(tt.text)), Options{Arch: "arm64"})
		if err != nil {
			t.Errorf("%s: %v", tt.text, err)
			continue
		}
		if diff := cmp.Diff(tt.want, onlyProgram(t, d.Want).Source); diff != "" {
			t.Errorf("%s:\n%s", tt.text, diff)
		}
	}
}

func TestDigestOfAnotherArchitecture(t *testing.T) {
	text := running("{object: {url: \"http://r.example/a\", sha256: {amd64: " + pinned + "}}}")
	if _, err := Load(flat(text), Options{Arch: "amd64"}); err != nil {
		t.Error(err)
	}
	for _, arch := range []string{"arm64", "riscv64"} {
		if _, err := Load(flat(text), Options{Arch: arch}); err == nil || positions(t, err) != "2:60 missing-key" {
			t.Errorf("%s: %v", arch, err)
		}
	}
}

// TestNoSecretIsTold wants faults that repeat no password.
func TestNoSecretIsTold(t *testing.T) {
	for _, url := range []string{"https://me:hunter2@r.example/a", "https://me:hunter2@r.example:x/a", "ftp://me:hunter2@r.example/a", "https://me:hunter2%zz@r.example/a"} {
		_, err := Load(flat(running("{object: {url: \""+url+"\", sha256: "+pinned+"}}")), Options{})
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func digestOf(content string) string {
	sum := sha256.Sum256([]byte(content))
	return hex.EncodeToString(sum[:])
}

func TestObjectsOfTheTree(t *testing.T) {
	text := running("{object: {file: bpf/a.o, sha256: " + digestOf("elf") + "}}")
	for _, tt := range []struct{ name, want string }{
		{"net.yaml", "bpf/a.o"},
		{"deep/net.yaml", "bpf/a.o"}, // of a tree without layers
	} {
		d := mustLoad(t, files(tt.name, text, "bpf/a.o", "elf", "bpf/other.o", "x"))
		want := resource.ObjectSource{File: tt.want, SHA256: digestOf("elf"), Tree: &resource.Blob{SHA256: digestOf("elf"), Bytes: []byte("elf")}}
		if diff := cmp.Diff(want, onlyProgram(t, d.Want).Source); diff != "" {
			t.Errorf("%s:\n%s", tt.name, diff)
		}
	}
	for _, tt := range []struct {
		name string
		tree fstest.MapFS
		want string
	}{
		{"missing", files("n.yaml", text), "2:31 missing-file"},
		{"another", files("n.yaml", text, "bpf/a.o", "elves"), "2:48 wrong-digest"},
		{"a directory", files("n.yaml", text, "bpf/a.o/x", ""), "2:31 unreadable"},
		{"large", files("n.yaml", text, "bpf/a.o", strings.Repeat("x", maxObject+1)), "2:31 too-large"},
	} {
		_, err := Load(tt.tree, Options{})
		if err == nil || positions(t, err) != tt.want {
			t.Errorf("%s: got %v, want %s", tt.name, err, tt.want)
		}
	}
}

// TestObjectsOfLayers reads a path as the file that has it means it.
func TestObjectsOfLayers(t *testing.T) {
	tree := layered(running("{object: {file: bpf/a.o}, entry: one}"), "version: 1\nprograms: {a: {entry: two}}\n")
	tree["l0/bpf/a.o"] = &fstest.MapFile{Data: []byte("lower")}
	tree["l1/bpf/a.o"] = &fstest.MapFile{Data: []byte("upper")}
	tree["bpf/a.o"] = &fstest.MapFile{Data: []byte("root")}
	p := onlyProgram(t, mustLoad(t, tree).Want)
	if p.Source.File != "l0/bpf/a.o" || string(p.Source.Tree.Bytes) != "lower" || p.Entry != "two" {
		t.Errorf("got %+v", p)
	}
	tree["l1/net.yaml"].Data = []byte("version: 1\nprograms: {a: {object: {file: bpf/a.o}}}\n")
	p = onlyProgram(t, mustLoad(t, tree).Want)
	if p.Source.File != "l1/bpf/a.o" || string(p.Source.Tree.Bytes) != "upper" {
		t.Errorf("got %+v", p)
	}
}

// TestInstancesShareAnObject reads the bytes once.
func TestInstancesShareAnObject(t *testing.T) {
	d := mustLoad(t, files("bpf/a.o", "elf", "n.yaml",
		"version: 1\nprograms: {a: {object: {file: bpf/a.o}}, b: {object: {file: bpf/a.o}}}\nchains: {up: {interfaces: [e0, e1], tc-egress: {programs: [a, b]}}}\n"))
	seen := make(map[*resource.Blob]int)
	for _, o := range d.Want.All() {
		if p, ok := o.Resource.(resource.Program); ok {
			seen[p.Source.Tree]++
		}
	}
	if len(seen) != 1 || seen[nil] != 0 {
		t.Errorf("got %v", seen)
	}
}

func TestPrograms(t *testing.T) {
	scalar := resource.Scalar
	for _, tt := range []struct {
		text string
		want resource.Program
	}{
		{"{version: v1, entry: xdp_a, on-new-version: copy}", resource.Program{Version: "v1", Entry: "xdp_a", OnNewVersion: resource.Copy}},
		{"{constants: {rate: 100, net: [10.0.0.0/8, \"x\"], flag: true, be: {be16: 80}, none: {}, also: []}}", resource.Program{Constants: []resource.NamedValue{
			{Name: "also", Value: resource.Value{List: []resource.Value{}}},
			{Name: "be", Value: resource.Value{Fields: []resource.NamedValue{{Name: "be16", Value: scalar("80")}}}},
			{Name: "flag", Value: scalar("true")},
			{Name: "net", Value: resource.Value{List: []resource.Value{scalar("10.0.0.0/8"), scalar("x")}}},
			{Name: "none", Value: resource.Value{Fields: []resource.NamedValue{}}},
			{Name: "rate", Value: scalar("100")},
		}}},
		{"{maps: {z: {max-entries: 5000}, y: {}, x: {owner: external, pin: ddos/x}, w: {pin: /sys/fs/bpf/tool/w, key-size: 4}}}", resource.Program{Maps: []resource.MapSettings{
			{Name: "w", Pin: "/sys/fs/bpf/tool/w"}, {Name: "x", Pin: "ddos/x", External: true}, {Name: "z", MaxEntries: 5000},
		}}},
		{"{metrics: [{map: m, key: 0, name: drops, as: counter}, {map: m, key: {proto: 6}, name: seen, as: max-rate, window: 10s, field: packets}]}",
			resource.Program{Metrics: []resource.Metric{
				{Map: "m", Key: scalar("0"), Name: "drops", As: resource.MetricCounter},
				{Map: "m", Key: resource.Value{Fields: []resource.NamedValue{{Name: "proto", Value: scalar("6")}}}, Name: "seen",
					As: resource.MetricMaxRate, Window: 10 * time.Second, Field: "packets"},
			}}},
	} {
		tt.want.Name, tt.want.Link, tt.want.Hooks = "a", "eth0", []resource.Hook{resource.XDPIngress}
		tt.want.Source.File = "/a.o"
		d := mustLoad(t, flat(running(strings.Replace(tt.text, "{", "{object: {file: /a.o}, ", 1))))
		if diff := cmp.Diff(tt.want, onlyProgram(t, d.Want)); diff != "" {
			t.Errorf("%s:\n%s", tt.text, diff)
		}
	}
}

func TestMaps(t *testing.T) {
	scalar := resource.Scalar
	one := []resource.MapEntry{{Key: scalar("1"), Value: scalar("2")}}
	for _, tt := range []struct {
		text string
		want []resource.Map
	}{
		{"{}", nil},
		{"{mode: merge}", nil},
		{"{entries: []}", nil},
		{"{mode: initial, entries: []}", nil},
		{"{mode: exact, entries: []}", []resource.Map{{Mode: resource.Exact}}},
		{"{entries: [{key: 1, value: 2}]}", []resource.Map{{Mode: resource.Merge, Entries: one}}},
		{"{mode: initial, key-size: 2, value-size: 1, max-entries: 9, entries: [{key: 1, value: 2}]}",
			[]resource.Map{{Mode: resource.Initial, Entries: one, KeySize: 2, ValueSize: 1}}},
		{"{entries: [{key: 203.0.113.0/24, value: {since: 0, action: [1, {be16: 0x50}]}}, {key: ~~, value: 1.50}]}", []resource.Map{{Mode: resource.Merge,
			Entries: []resource.MapEntry{
				{Key: scalar("203.0.113.0/24"), Value: resource.Value{Fields: []resource.NamedValue{{Name: "since", Value: scalar("0")},
					{Name: "action", Value: resource.Value{List: []resource.Value{scalar("1"), {Fields: []resource.NamedValue{{Name: "be16", Value: scalar("0x50")}}}}}}}}},
				{Key: scalar("~~"), Value: scalar("1.50")},
			}}}},
	} {
		var got []resource.Map
		for _, r := range wanted(t, strings.TrimPrefix(running("{object: {file: /a.o}, maps: {m: "+tt.text+"}}"), "version: 1\n")) {
			if m, ok := r.(resource.Map); ok {
				got = append(got, m)
			}
		}
		for i := range tt.want {
			tt.want[i].Program, tt.want[i].Link, tt.want[i].Name = "a", "eth0", "m"
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s:\n%s", tt.text, diff)
		}
	}
}

func TestMapsOfLayers(t *testing.T) {
	base := running("{object: {file: /a.o}, constants: {c: {x: 1, y: 2}}, maps: {m: {entries: [{key: 80, value: 1}, {key: {a: 1}, value: 2}]}}}")
	for _, tt := range []struct{ name, over, want string }{
		{"one more", "maps: {m: {entries: [{key: 443, value: 3}]}}", "80=1 {a: 1}=2 443=3"},
		{"one changed", "maps: {m: {entries: [{key: \"80\", value: 9}]}}", "80=9 {a: 1}=2"},
		{"one away", "maps: {m: {entries: [{key: {a: 1}, absent: true}]}}", "80=1"},
		{"all away", "maps: {m: {entries: ~}}", ""},
	} {
		var got []string
		for _, o := range mustLoad(t, layered(base, "version: 1\nprograms: {a: {"+tt.over+"}}\n")).Want.All() {
			if m, ok := o.Resource.(resource.Map); ok {
				for _, e := range m.Entries {
					got = append(got, e.Key.String()+"="+e.Value.String())
				}
			}
		}
		if want := strings.Fields(strings.ReplaceAll(tt.want, ": ", ":")); !slices.Equal(got, restored(want)) {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
	p := onlyProgram(t, mustLoad(t, layered(base, "version: 1\nprograms: {a: {constants: {c: {x: ~, z: 3}}}}\n")).Want)
	if got := p.Constants[0].Value.String(); got != "{y: 2, z: 3}" {
		t.Errorf("constants: %s", got)
	}
}

// restored puts the space back that Fields would have cut at.
func restored(words []string) []string {
	for i := range words {
		words[i] = strings.ReplaceAll(words[i], ":", ": ")
	}
	return words
}

func TestProbesAreNotApplied(t *testing.T) {
	got := wanted(t, "probes: {p: {program: a, attach: {tracepoint: sock/x}}}")
	want := []resource.Resource{resource.Unsupported{Name: "probe p"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
