package strict

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

type thing struct {
	Here
	Name   V[string]           `yaml:"name" required:"true" short:"true" min:"1" max:"8"`
	Count  V[uint32]           `yaml:"count" min:"2" max:"9"`
	Small  V[uint8]            `yaml:"small"`
	On     V[bool]             `yaml:"on"`
	Addr   V[netip.Addr]       `yaml:"addr"`
	Prefix V[netip.Prefix]     `yaml:"prefix"`
	Wait   V[time.Duration]    `yaml:"wait" max:"60000"`
	Colour V[colour]           `yaml:"colour" enum:"red,green"`
	Inner  *thing              `yaml:"inner"`
	List   []thing             `yaml:"list"`
	Words  []V[string]         `yaml:"words"`
	Map    Map[V[uint8]]       `yaml:"map" names:"^[a-z]+$"`
	Maps   Map[Map[V[string]]] `yaml:"maps"`
	Absent V[bool]             `yaml:"absent"`
}

type colour string

// decode reads one document and returns it with the faults as text.
func decode(t testing.TB, text string) (*thing, []string) {
	t.Helper()
	r := new(Report)
	docs := NewReader(r).Read(&File{Name: "f"}, []byte(text))
	out := new(thing)
	if len(docs) > 0 {
		out = NewDecoder[thing]().Decode(docs[0], r)
	}
	var faults []string
	for _, f := range r.Faults(docs...) {
		faults = append(faults, fmt.Sprintf("%d:%d %s %s", f.Line, f.Column, f.Path, f.Code))
	}
	return out, faults
}

func TestDecode(t *testing.T) {
	got, faults := decode(t, `
name: x
count: 0x9
small: 255
on: True
addr: "2001:db8::1"
prefix: 192.0.2.1/24
wait: 1m
colour: green
inner: y
list: [a, {name: b, count: 2}, {name: c, absent: true}]
words: [p, q]
map: {one: 1, two: 2}
maps: {m: {k: v}}
`)
	if want := []string{"11:32 list[2] absent"}; !slices.Equal(faults, want) {
		t.Fatalf("got %q, want %q", faults, want)
	}
	for _, tt := range []struct{ got, want any }{
		{got.Name.Val, "x"}, {got.Count.Val, uint32(9)}, {got.Small.Val, uint8(255)}, {got.On.Val, true},
		{got.Addr.Val, netip.MustParseAddr("2001:db8::1")}, {got.Prefix.Val, netip.MustParsePrefix("192.0.2.1/24")},
		{got.Wait.Val, time.Minute}, {got.Colour.Val, colour("green")}, {got.Inner.Name.Val, "y"},
		{len(got.List), 2}, {got.List[0].Name.Val, "a"}, {got.List[1].Count.Val, uint32(2)},
		{got.Words[1].Val, "q"}, {got.Map[1].Name, "two"}, {got.Map.Get("two").Val.Val, uint8(2)}, {got.Map.Get("no") == nil, true},
		{got.Maps[0].Val[0].Val.Val, "v"}, {got.At().Pos.Line, int32(2)}, {got.List[1].At().Pos.Column, int32(11)},
		{got.Absent.Given(), false}, {got.Absent.Ok(), false}, {got.Count.Or(1), uint32(9)}, {got.Inner.Count.Or(1), uint32(1)},
	} {
		if !reflect.DeepEqual(tt.got, tt.want) {
			t.Errorf("got %#v, want %#v", tt.got, tt.want)
		}
	}
}

func TestFaults(t *testing.T) {
	for _, tt := range []struct {
		text string
		want []string
	}{
		{"count: 2", []string{"1:1  missing-key"}},
		{"name: null", []string{"1:1  missing-key", "1:7 name null"}},
		{"name: ''", []string{"1:7 name out-of-range"}},
		{"name: nine-long", []string{"1:7 name out-of-range"}},
		{"{name: x, count: 1, small: 256}", []string{"1:18 count out-of-range", "1:28 small out-of-range"}},
		{"{name: x, count: 99999999999999999999}", []string{"1:18 count wrong-type"}},
		{"{name: x, count: 18446744073709551615}", []string{"1:18 count out-of-range"}},
		{"{name: x, on: 1, addr: 1, prefix: true}", []string{"1:15 on wrong-type", "1:24 addr wrong-type", "1:35 prefix wrong-type"}},
		{"{name: x, wait: 61s}", []string{"1:17 wait out-of-range"}},
		{"{name: x, wait: 5}", []string{"1:17 wait bad-duration"}},
		{"{name: x, colour: rde}", []string{"1:19 colour not-one-of"}},
		{"{name: x, inner: {nmae: y}}", []string{"1:18 inner missing-key", "1:19 inner.nmae unknown-key"}},
		{"{name: x, inner: [y]}", []string{"1:18 inner wrong-type"}},
		{"{name: x, inner: 7}", []string{"1:18 inner wrong-type"}},
		{"{name: x, list: [{}, null]}", []string{"1:18 list[0] missing-key", "1:22 list[1] empty-item"}},
		{"{name: x, list: [{absent: true}, {absent: true, cuont: 1}]}", []string{"1:18 list[0] absent", "1:34 list[1] absent", "1:49 list[1].cuont unknown-key"}},
		{"{name: x, map: {One: 1, two: 256}}", []string{"1:17 map.One bad-name", "1:30 map.two out-of-range"}},
		{"{name: x, maps: {m: {k: {v: w}}}}", []string{"1:25 maps.m.k wrong-type"}},
		{"{name: x, name: 7}", []string{"1:11 name duplicate-key", "1:17 name wrong-type"}},
	} {
		if _, got := decode(t, tt.text); !slices.Equal(got, tt.want) {
			t.Errorf("%s:\ngot  %q\nwant %q", tt.text, got, tt.want)
		}
	}
}

// TestLongMapping finds duplicates where keys are looked up in an index.
func TestLongMapping(t *testing.T) {
	text := "name: x\nmap:\n"
	for c := 'a'; c <= 'z'; c++ {
		text += "  " + string(c) + ": 1\n"
	}
	got, faults := decode(t, text+"  b: 2\n  zz: 3\n")
	if want := []string{"29:3 map.b duplicate-key"}; !slices.Equal(faults, want) || len(got.Map) != 27 {
		t.Errorf("got %q and %d entries, want %q and 27", faults, len(got.Map), want)
	}
}

func TestAliases(t *testing.T) {
	got, faults := decode(t, "name: &n x\ninner: &i {name: *n, count: 3}\nlist: [*i, {<<: *i, count: 4}, {<<: [*i, {small: 1}], name: z}]\n")
	if faults != nil {
		t.Fatal(faults)
	}
	var have []string
	for _, l := range got.List {
		have = append(have, fmt.Sprint(l.Name.Val, l.Count.Val, l.Small.Val))
	}
	if want := []string{"x3 0", "x4 0", "z3 1"}; !slices.Equal(have, want) {
		t.Errorf("got %q, want %q", have, want)
	}
}

// TestSyntax names the place and the mistake where the parser gives up.
func TestSyntax(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"a: {b: {c: d", "1:8  unclosed"},
		{"a: [::1/128]", "1:5  unquoted-colon"},
		{"a: {b: 2001:db8::/32, via: ::1}", "1:28  unquoted-colon"},
		{"\ta: 1", "1:1  tab"},
		{"# é\na:\n\tb: 1", "3:1  tab"},
		{"a: b: c", "1:5  second-colon"},
		{"a: 'x", "1:4  unclosed"},
		{"a: \"x\ny\nz", "1:4  unclosed"},
		{"a: @b", "1:4  unquoted"},
		{"é: [1, `x`]", "1:8  unquoted"},
		{"a: *x", "1:4  unknown-anchor"},
		{"a: b\n c: d", "2:2  indentation"},
		{"# first\na:\n  b: 1\n c: 2\nd: 4", "4:2  indentation"},
		{"- a\nb: 1", "2:1  indentation"},
		{"a: {b: 1]}", "1:9  unclosed"},
		{"a: {b: 1\nc: 2}", "2:1  syntax"},
		{"a: '{' # {\nb: \"[\\\"[\"\nc: ]", "3:4  syntax"},
		{"a: ]", "1:4  syntax"},
		{"a: - b", "1:4  syntax"},
		{"a: \"\\q\"", "1:5  syntax"},
		{"x: \x01", "1:4  bad-byte"},
		{"x: é\xff", "1:5  bad-byte"},
		{"%YAML 3.0\n---\na: 1", "1:1  syntax"},
		{"a: 1\rb: 'x", "2:4  unclosed"},
		{"a: 1\r\nb: 2\u2028\u0085c: d: e", "4:5  second-colon"},
		{"# é\r\ra:\n  b: 1\r\n c: 2", "5:2  indentation"},
		{"\xff\xfea\x00:\x00", "1:1  bad-byte"},
	} {
		r := new(Report)
		NewReader(r).Read(&File{Name: "f"}, []byte(tt.text))
		var got []string
		for _, f := range r.Faults() {
			got = append(got, fmt.Sprintf("%d:%d %s %s", f.Line, f.Column, f.Path, f.Code))
			if !f.Parse {
				t.Errorf("%q: not told to be no YAML", tt.text)
			}
		}
		if strings.Join(got, ", ") != tt.want {
			t.Errorf("%q: got %q, want %q", tt.text, got, tt.want)
		}
	}
}

func TestHints(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"{name: x, cuont: 1}", "did you mean count?"},
		{"{name: x, count: 05}", "write 5"},
		{"{name: x, on: yes}", "yes was a boolean in YAML 1.1 only: write true"},
		{"{name: x, count: '5'}", "take the quotes away"},
		{"{name: 5}", `put it in quotes: "5"`},
		{"{name: x, words: a}", "write [a]"},
		{"{name: x, addr: 10.0.0.1/8}", "leave the prefix length out"},
		{"{name: x, prefix: 10.0.0.1}", "write 10.0.0.1/32 for this address alone"},
		{"{name: x, addr: \"::ffff:10.0.0.1\"}", "write 10.0.0.1"},
		{"name: [::1]", `write "::1"`},
	} {
		r := new(Report)
		for _, d := range NewReader(r).Read(&File{Name: "f"}, []byte(tt.text)) {
			NewDecoder[thing]().Decode(d, r)
		}
		faults := r.Faults()
		if len(faults) != 1 || faults[0].Hint != tt.want {
			t.Errorf("%s: got %v, want the hint %q", tt.text, faults, tt.want)
		}
	}
}

func TestNearest(t *testing.T) {
	known := []string{"addresses", "mtu", "mac", "vlan-filtering", "up"}
	for word, want := range map[string]string{
		"addreses": "addresses", "adresses": "addresses", "addresess": "addresses", "mtv": "mtu", "mut": "mtu",
		"vlan_filtering": "vlan-filtering", "xyz": "", "": "", "gateway": "", strings.Repeat("a", 1<<20): "",
	} {
		if got := Nearest(word, known); got != want {
			t.Errorf("%.20q: got %q, want %q", word, got, want)
		}
	}
}

func TestReportIsBounded(t *testing.T) {
	r := new(Report)
	f := &File{Name: "f"}
	for i := range maxFaults + 5 {
		r.AtPos(Pos{f, int32(i + 1), 1}, Problemf("x", "m"))
	}
	got := r.Faults()
	if last := got[len(got)-1]; len(got) != maxFaults+1 || last.Code != "too-many-faults" || !strings.Contains(last.Message, "5 more") {
		t.Errorf("got %d, the last %v", len(got), last)
	}
}

func TestSummary(t *testing.T) {
	var faults []error
	for i := range 12 {
		faults = append(faults, &Fault{File: "f", Line: i + 1, Column: 2, Path: "p", Code: "c", Message: "m", Hint: "h"})
	}
	got := strings.Split(Summary(faults), "\n")
	if len(got) != 11 || got[0] != "f:1:2: p: m [c] (h)" || got[10] != "and 2 more" {
		t.Errorf("got %q", got)
	}
}

// TestSlowInput bounds the time for input that is slow to read for some
// parsers.
func TestSlowInput(t *testing.T) {
	const n = 200_000
	for name, text := range map[string]string{
		"open brackets": strings.Repeat("[", n), "open braces": strings.Repeat("{a: ", n/4), "dashes": strings.Repeat("- ", n/2),
		"keys": strings.Repeat("a: ", n/3), "questions": strings.Repeat("? ", n/2), "duplicates": strings.Repeat("a: 1\n", n/5),
		"documents": strings.Repeat("---\na: 1\n", n/9), "anchors": strings.Repeat("- &a [*a]\n", n/10),
		"quotes": "a: \"" + strings.Repeat("\\\\", n/2), "bad last line": "a: 1\n" + strings.Repeat("# x\n", n/4) + " b: 1\n",
	} {
		start := time.Now()
		decode(t, text)
		if took := time.Since(start); took > 20*time.Second {
			t.Errorf("%s took %s", name, took)
		} else if took > time.Second {
			t.Logf("%s took %s", name, took)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, pattern := range []string{"../desired/testdata/bad/*.yaml", "../desired/testdata/ok*/*.yaml", "../agent/testdata/*.yaml"} {
		names, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, name := range names {
			content, err := os.ReadFile(name)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(content)
		}
	}
	f.Add([]byte("name: &n x\ninner: {<<: {name: *n}}\nlist: [*n, {absent: true}]\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		r := new(Report)
		lines, _ := splitLines(string(content))
		docs := NewReader(r).Read(&File{Name: "f"}, content)
		d := NewDecoder[thing]()
		for _, doc := range docs {
			d.Decode(doc, r)
		}
		for _, fault := range r.Faults(docs...) {
			if fault.File != "f" || fault.Line < 1 || fault.Line > len(lines)+1 || fault.Column < 1 || fault.Code == "" || fault.Message == "" {
				t.Errorf("incomplete: %+v", fault)
			}
		}
	})
}

// TestHintAfterTheReport: whoever reports a problem may go on to say what to do.
func TestHintAfterTheReport(t *testing.T) {
	r := new(Report)
	p := Problemf("code", "message")
	r.AtPos(Pos{&File{Name: "f"}, 1, 1}, p)
	p.Hinted("do %s", "this")
	if got := r.Faults()[0].Hint; got != "do this" {
		t.Errorf("got %q", got)
	}
}
