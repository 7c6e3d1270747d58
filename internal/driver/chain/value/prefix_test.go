package value

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/cilium/ebpf/btf"
)

// Keys of LPM tries as programs declare them.
var (
	inet6 = &btf.Struct{Name: "in6_addr", Size: 16, Members: []btf.Member{{Name: "in6_u", Type: &btf.Union{Size: 16, Members: []btf.Member{
		{Name: "u6_addr8", Type: arrayOf(u8, 16)}, {Name: "u6_addr32", Type: arrayOf(be32, 4)},
	}}}}}
	key4 = &btf.Struct{Name: "key4", Size: 8, Members: []btf.Member{
		{Name: "prefixlen", Type: u32}, {Name: "data", Type: arrayOf(u8, 4), Offset: 32},
	}}
	key6 = &btf.Struct{Name: "key6", Size: 20, Members: []btf.Member{
		{Name: "prefixlen", Type: u32}, {Name: "addr", Type: inet6, Offset: 32},
	}}
	key46 = &btf.Struct{Name: "key46", Size: 20, Members: []btf.Member{
		{Name: "prefixlen", Type: u32},
		{Offset: 32, Type: &btf.Union{Size: 16, Members: []btf.Member{{Name: "v4", Type: be32}, {Name: "v6", Type: arrayOf(u8, 16)}}}},
	}}
	keyLong = &btf.Struct{Name: "long", Size: 12, Members: []btf.Member{
		{Name: "prefixlen", Type: u32}, {Name: "ifindex", Type: u32, Offset: 32}, {Name: "addr", Type: be32, Offset: 64},
	}}
)

func TestPrefixes(t *testing.T) {
	const documentation = "2000000020010db8000000000000000000000000"
	for _, c := range []struct {
		of    Codec
		text  string
		bytes string
		told  string // empty: as written
	}{
		{mustOf(t, key4), "203.0.113.0/24", "18000000cb007100", ""},
		{mustOf(t, key4), "0.0.0.0/0", "0000000000000000", ""},
		{mustOf(t, key4), "203.0.113.7", "20000000cb007107", "203.0.113.7/32"},
		{mustOf(t, key4), "{prefixlen: 24, data: 203.0.113.0}", "18000000cb007100", "203.0.113.0/24"},
		{mustOf(t, key4), "{prefixlen: 24, data: 203.0.113.7}", "18000000cb007107", "{prefixlen: 24, data: 0xcb007107}"},
		{mustOf(t, key6), "2001:db8::/32", documentation, ""},
		{mustOf(t, key46), "2001:db8::/32", documentation, ""},
		{mustOf(t, key46), "203.0.113.0/24", "18000000cb007100000000000000000000000000", "cb00:7100::/24"},
		{mustOf(t, key46), "{prefixlen: 24, v4: 203.0.113.0}", "18000000cb007100000000000000000000000000", "cb00:7100::/24"},
		{mustOf(t, keyLong), "{prefixlen: 56, ifindex: 2, addr: 203.0.113.0}", "3800000002000000cb007100", "{prefixlen: 56, ifindex: 2, addr: 3405803776}"},
		{Plain(8), "203.0.113.0/24", "18000000cb007100", ""},
		{Plain(8), "[{u32: 24}, 203.0.113.0]", "18000000cb007100", "203.0.113.0/24"},
		{Plain(20), "2001:db8::/32", documentation, ""},
		{Plain(20), "::ffff:192.0.2.0/120", "7800000000000000000000000000ffffc0000200", ""},
		{Plain(12), "[{u32: 56}, {u32: 2}, 203.0.113.0]", "3800000002000000cb007100", "0x3800000002000000cb007100"},
	} {
		codec := LPM(c.of)
		got, err := codec.Encode(parse(t, c.text))
		if err != nil || hex.EncodeToString(got) != c.bytes {
			t.Errorf("%s became %x (%v), want %s", c.text, got, err, c.bytes)
			continue
		}
		told, err := codec.Decode(got)
		if want := parse(t, orElse(c.told, c.text)); err != nil || !told.Equal(want) {
			t.Errorf("%s is told as %s (%v), want %s", c.bytes, told, err, want)
		}
	}
}

func TestPrefixesThatDoNotFit(t *testing.T) {
	for _, c := range []struct {
		of         Codec
		text, want string
	}{
		{mustOf(t, key4), "203.0.113.7/24", "203.0.113.7/24 has bits beyond its prefix: 203.0.113.0/24 has none"},
		{mustOf(t, key4), "203.0.113.0/33", "such as 203.0.113.0/24"},
		{mustOf(t, key4), "2001:db8::/32", "it takes a prefix such as 203.0.113.0/24"},
		{mustOf(t, key4), "24", "it takes a prefix such as 203.0.113.0/24"},
		{mustOf(t, key4), "{prefixlen: 33}", "the prefix is 33 bits long, but the key has 32"},
		{mustOf(t, key6), "203.0.113.0/24", "it takes a prefix such as 2001:db8::/32"},
		{mustOf(t, key6), "fe80::1%eth0", "it takes a prefix"},
		{mustOf(t, key46), "x", "such as 203.0.113.0/24 or 2001:db8::/32"},
		{mustOf(t, keyLong), "203.0.113.0/24", "a mapping of prefixlen, ifindex, addr"},
		{mustOf(t, keyLong), "{prefixlen: 65}", "65 bits long, but the key has 64"},
		{Plain(8), "[{u32: 64}, 203.0.113.0]", "64 bits long"},
	} {
		got, err := LPM(c.of).Encode(parse(t, c.text))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s became %x (%v), want an error with %q", c.text, got, err, c.want)
		}
	}
}

func TestNormalize(t *testing.T) {
	for _, c := range []struct {
		of   Codec
		text string
		want string
	}{
		{LPM(mustOf(t, key4)), "{prefixlen: 23, data: 203.0.113.7}", "17000000cb007000"},
		{LPM(mustOf(t, key4)), "{prefixlen: 32, data: 203.0.113.7}", "20000000cb007107"},
		{LPM(mustOf(t, key4)), "{data: 203.0.113.7}", "0000000000000000"},
		{LPM(mustOf(t, keyLong)), "{prefixlen: 40, addr: 203.0.113.7}", "2800000000000000cb000000"},
		{mustOf(t, key4), "{prefixlen: 23, data: 203.0.113.7}", "17000000cb007107"},
	} {
		b, err := c.of.Encode(parse(t, c.text))
		if err != nil {
			t.Fatal(err)
		}
		if c.of.Normalize(b); hex.EncodeToString(b) != c.want {
			t.Errorf("%s became %x, want %s", c.text, b, c.want)
		}
	}
}

func TestPrefixesAreToldInTheWordsOfTheWanted(t *testing.T) {
	c := LPM(mustOf(t, key46))
	b, err := c.Encode(parse(t, "203.0.113.0/24"))
	if err != nil {
		t.Fatal(err)
	}
	for want, told := range map[string]string{
		"203.0.113.0/24":                   "203.0.113.0/24",
		"192.0.2.0/24":                     "203.0.113.0/24",
		"2001:db8::/32":                    "cb00:7100::/24",
		"{prefixlen: 8, v4: 10.0.0.0}":     "{prefixlen: 24, v4: 203.0.113.0}",
		"{v4: 203.0.113.0, prefixlen: 24}": "{v4: 203.0.113.0, prefixlen: 24}",
	} {
		if got := Render(c, b, parse(t, want)); got.String() != told {
			t.Errorf("beside %s it is told as %s, want %s", want, got, told)
		}
	}
}
