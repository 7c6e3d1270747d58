package value

import (
	"strings"
	"testing"

	"github.com/cilium/ebpf"
)

// zoo is an object of a real compiler; zoo.c says how it was made.
func zoo(t testing.TB) *ebpf.CollectionSpec {
	t.Helper()
	spec, err := ebpf.LoadCollectionSpec("testdata/zoo.o")
	if err != nil {
		t.Fatal(err)
	}
	return spec
}

func keyOf(t testing.TB, m *ebpf.MapSpec) Codec {
	t.Helper()
	c, err := Of(m.Key, int(m.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	if m.Type == ebpf.LPMTrie {
		return LPM(c)
	}
	return c
}

func valueOf(t testing.TB, m *ebpf.MapSpec) Codec {
	t.Helper()
	c, err := Of(m.Value, int(m.ValueSize))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// everything sets each field of struct zoo, in the canonical form.
const everything = `{small: 7, cold: -7, on: true, name: uplink, mac: 02:00:5e:10:00:01, count: 18446744073709551615,
 debt: -5, limit: 1000, action: ACTION_LOG, verdict: VERDICT_BAD, gateway: 192.0.2.1, gateway6: 2001:db8::1,
 v6: 0x20010db8000000000000000000000002, either: {number: 65537}, ports: [{low: 1, high: 2}, {low: 3, high: 4}],
 flag: 1, level: 5, rest: 16777215, matrix: [[1, 2, 3], [4]],
 flow: {src: 3221225985, dst: 3221225986, sport: 443, dport: 65535, proto: 6}}`

func TestTypesOfACompiler(t *testing.T) {
	maps := zoo(t).Maps
	for _, c := range []struct {
		codec      Codec
		text, told string
	}{
		{valueOf(t, maps["zoo"]), everything, everything},
		{valueOf(t, maps["zoo"]), "{v4: 192.0.2.1, either: {halves: [1, 2]}, name: '0x41', flag: true}", ""},
		{keyOf(t, maps["flows"]), "{src: 192.0.2.1, dport: 80, proto: 6}", "{src: 3221225985, dst: 0, sport: 0, dport: 80, proto: 6}"},
		{keyOf(t, maps["ports"]), "443", "443"},
		{valueOf(t, maps["ports"]), "true", "true"},
		{keyOf(t, maps["allowed"]), "203.0.113.0/24", "203.0.113.0/24"},
		{valueOf(t, maps["allowed"]), "{action: 1, since: 0}", "{action: ACTION_DROP, since: 0}"},
		{keyOf(t, maps["allowed6"]), "2001:db8::/32", "2001:db8::/32"},
		{keyOf(t, maps["allowed46"]), "203.0.113.0/24", "cb00:7100::/24"},
		{keyOf(t, maps["allowedlong"]), "{prefixlen: 64, ifindex: 3, addr: 192.0.2.1}", "{prefixlen: 64, ifindex: 3, addr: 3221225985}"},
	} {
		want := parse(t, c.text)
		b, err := c.codec.Encode(want)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		if got := Render(c.codec, b, want); !got.Equal(want) {
			t.Errorf("%s is rendered as %s", c.text, got)
		}
		told, err := c.codec.Decode(b)
		if err != nil || c.told != "" && !told.Equal(parse(t, c.told)) {
			t.Errorf("%s is told as %s (%v), want %s", c.text, told, err, c.told)
		}
	}
}

func TestWhatACompilersTypesRefuse(t *testing.T) {
	value := valueOf(t, zoo(t).Maps["zoo"])
	for text, want := range map[string]string{
		"{lock: {val: 1}}":                  "lock: it is a bpf_spin_lock, which only programs set",
		"{pointer: 1}":                      "pointer: it is a pointer",
		"{v4: 1, v6: '::1'}":                "v4 and v6 share their bytes",
		"{either: {number: 1, halves: []}}": "either: number and halves share",
		"{ports: [{}, {low: 70000}]}":       "ports[1].low: 70000 does not fit: it takes an integer from 0 to 65535",
		"{level: 8}":                        "level: 8 does not fit: it takes an integer from 0 to 7",
		"{gatewya: 1}":                      "there is no field gatewya (did you mean gateway?)",
		"{name: an-interface-name}":         "name: an-interface-name does not fit: it takes a text of up to 16 bytes",
		"{action: ACTION_DORP}":             "did you mean ACTION_DROP?",
		"{flow: {sport: 65536}}":            "flow.sport: 65536 does not fit",
	} {
		b, err := value.Encode(parse(t, text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s became %x (%v), want an error with %q", text, b, err, want)
		}
	}
}

func TestConstant(t *testing.T) {
	variables := zoo(t).Variables
	for name, c := range map[string]struct{ text, bytes string }{
		"sample_rate": {"100", "\x64\x00\x00\x00"},
		"device":      {"eth0", "eth0" + strings.Repeat("\x00", 12)},
	} {
		v := variables[name]
		b, err := Constant(v.Type, int(v.Size()), parse(t, c.text))
		if err != nil || string(b) != c.bytes {
			t.Errorf("%s: %s became %x (%v)", name, c.text, b, err)
		}
		if err := v.Set(b); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Constant(variables["sample_rate"].Type, 8, parse(t, "1")); err == nil {
		t.Error("4 bytes were taken for 8")
	}
}
