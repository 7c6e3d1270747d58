package value

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/cilium/ebpf/btf"
	"gopkg.in/yaml.v3"

	"reconciler/internal/resource"
)

// parse reads a value as the configuration does.
func parse(t testing.TB, text string) resource.Value {
	t.Helper()
	v, ok := read(text)
	if !ok {
		t.Fatalf("%s is no YAML", text)
	}
	return v
}

func read(text string) (resource.Value, bool) {
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil || len(doc.Content) != 1 {
		return resource.Value{}, false
	}
	return fromNode(doc.Content[0]), true
}

func fromNode(n *yaml.Node) resource.Value {
	switch n.Kind {
	case yaml.SequenceNode:
		list := make([]resource.Value, 0, len(n.Content))
		for _, item := range n.Content {
			list = append(list, fromNode(item))
		}
		return resource.Value{List: list}
	case yaml.MappingNode:
		fields := make([]resource.NamedValue, 0, len(n.Content)/2)
		for i := 0; i < len(n.Content); i += 2 {
			fields = append(fields, resource.NamedValue{Name: n.Content[i].Value, Value: fromNode(n.Content[i+1])})
		}
		return resource.Value{Fields: fields}
	}
	return resource.Scalar(n.Value)
}

// Types as compilers describe them.
var (
	u8    = &btf.Int{Name: "unsigned char", Size: 1}
	u16   = &btf.Int{Name: "unsigned short", Size: 2}
	u32   = &btf.Int{Name: "unsigned int", Size: 4}
	u64   = &btf.Int{Name: "unsigned long long", Size: 8}
	s8    = &btf.Int{Name: "signed char", Size: 1, Encoding: btf.Signed}
	s16   = &btf.Int{Name: "short", Size: 2, Encoding: btf.Signed}
	s32   = &btf.Int{Name: "int", Size: 4, Encoding: btf.Signed}
	s64   = &btf.Int{Name: "long long", Size: 8, Encoding: btf.Signed}
	u128  = &btf.Int{Name: "unsigned __int128", Size: 16}
	truth = &btf.Int{Name: "_Bool", Size: 1, Encoding: btf.Bool}
	char  = &btf.Int{Name: "char", Size: 1, Encoding: btf.Signed}
	be16  = &btf.Typedef{Name: "__be16", Type: &btf.Typedef{Name: "__u16", Type: u16}}
	be32  = &btf.Const{Type: &btf.Typedef{Name: "__be32", Type: &btf.Volatile{Type: u32}}}
	be64  = &btf.Typedef{Name: "__be64", Type: u64}
	le32  = &btf.Typedef{Name: "__le32", Type: u32}

	action  = &btf.Enum{Name: "action", Size: 4, Values: []btf.EnumValue{{Name: "PASS"}, {Name: "DROP", Value: 1}, {Name: "LOG", Value: 7}}}
	verdict = &btf.Enum{Name: "verdict", Size: 2, Signed: true, Values: []btf.EnumValue{{Name: "BAD", Value: 1<<64 - 1}, {Name: "GOOD", Value: 1}}}
	wide    = &btf.Enum{Name: "wide", Size: 8, Values: []btf.EnumValue{{Name: "MOST", Value: 1 << 40}}}

	lock = &btf.Struct{Name: "bpf_spin_lock", Size: 4, Members: []btf.Member{{Name: "val", Type: u32}}}
	inet = &btf.Struct{Name: "in_addr", Size: 4, Members: []btf.Member{{Name: "s_addr", Type: be32}}}
	pair = &btf.Struct{Name: "pair", Size: 8, Members: []btf.Member{
		{Name: "low", Type: u16}, {Name: "high", Type: u32, Offset: 32},
	}}
	locked = &btf.Struct{Name: "locked", Size: 24, Members: []btf.Member{
		{Name: "lock", Type: lock}, {Name: "count", Type: u32, Offset: 32},
		{Name: "next", Type: &btf.Pointer{Target: u32}, Offset: 64}, {Name: "rest", Type: u64, Offset: 128},
	}}
	either = &btf.Union{Name: "either", Size: 8, Members: []btf.Member{
		{Name: "small", Type: u16}, {Name: "large", Type: u64}, {Name: "pointer", Type: &btf.Pointer{Target: u8}},
	}}
	flat = &btf.Struct{Name: "flat", Size: 12, Members: []btf.Member{
		{Name: "kind", Type: u32},
		{Offset: 32, Type: &btf.Union{Size: 8, Members: []btf.Member{
			{Type: &btf.Struct{Size: 4, Members: []btf.Member{{Name: "a", Type: u16}, {Name: "b", Type: u16, Offset: 16}}}},
			{Name: "both", Type: u64},
		}}},
	}}
	bits = &btf.Struct{Name: "bits", Size: 4, Members: []btf.Member{
		{Name: "on", Type: truth, BitfieldSize: 1},
		{Name: "level", Type: s32, Offset: 1, BitfieldSize: 5},
		{Type: u32, Offset: 6, BitfieldSize: 2},
		{Name: "act", Type: action, Offset: 8, BitfieldSize: 2},
		{Name: "rest", Type: u32, Offset: 10, BitfieldSize: 22},
	}}
)

func arrayOf(t btf.Type, n uint32) btf.Type { return &btf.Array{Index: u32, Type: t, Nelems: n} }

func mustOf(t testing.TB, of btf.Type) Codec {
	t.Helper()
	size, err := btf.Sizeof(of)
	if err != nil {
		t.Fatal(err)
	}
	c, err := Of(of, size)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestEncode holds what is written against its bytes, and what these are told
// as when nobody remembers how they were written. Bytes are those of a
// little-endian machine.
func TestEncode(t *testing.T) {
	for _, c := range []struct {
		of    btf.Type
		text  string
		bytes string
		told  string // empty: as written
	}{
		{u8, "255", "ff", ""},
		{u8, "true", "01", "1"},
		{u16, "0x1F90", "901f", "8080"},
		{u32, "10000", "10270000", ""},
		{u32, "192.0.2.1", "c0000201", "16908480"},
		{u32, "{be32: 1}", "00000001", "16777216"},
		{u32, "{le32: 1}", "01000000", "1"},
		{u64, "18446744073709551615", "ffffffffffffffff", ""},
		{s8, "-128", "80", ""},
		{s16, "-2", "feff", ""},
		{s32, "-2147483648", "00000080", ""},
		{s64, "-9223372036854775808", "0000000000000080", ""},
		{u128, "2001:db8::1", "20010db8000000000000000000000001", "0x20010db8000000000000000000000001"},
		{truth, "true", "01", ""},
		{truth, "0", "00", "false"},
		{char, "-1", "ff", "255"},
		{be16, "443", "01bb", ""},
		{be16, "{be16: 443}", "01bb", "443"},
		{be32, "443", "000001bb", ""},
		{be32, "192.0.2.1", "c0000201", "3221225985"},
		{be64, "0x0102", "0000000000000102", "258"},
		{le32, "258", "02010000", ""},
		{action, "DROP", "01000000", ""},
		{action, "7", "07000000", "LOG"},
		{action, "9", "09000000", ""},
		{verdict, "BAD", "ffff", ""},
		{verdict, "-2", "feff", ""},
		{wide, "MOST", "0000000000010000", ""},
		{arrayOf(char, 8), "eth0", "6574683000000000", ""},
		{arrayOf(char, 4), "eth0", "65746830", ""},
		{arrayOf(char, 4), "''", "00000000", ""},
		{arrayOf(char, 4), "[1, 0, 2]", "01000200", ""},
		{arrayOf(u8, 3), "0x0A0b0c", "0a0b0c", "0x0a0b0c"},
		{arrayOf(u8, 3), "[1, 0x02]", "010200", "0x010200"},
		{arrayOf(u8, 4), "192.0.2.1", "c0000201", "0xc0000201"},
		{arrayOf(u8, 4), "{be16: 80}", "00500000", "0x00500000"},
		{arrayOf(u8, 6), "02:00:5E:10:00:01", "02005e100001", "02:00:5e:10:00:01"},
		{arrayOf(u8, 6), "02-00-5e-10-00-01", "02005e100001", "02:00:5e:10:00:01"},
		{arrayOf(u8, 16), "2001:db8::1", "20010db8000000000000000000000001", "0x20010db8000000000000000000000001"},
		{arrayOf(be32, 4), "2001:db8::1", "20010db8000000000000000000000001", "[536939960, 0, 0, 1]"},
		{arrayOf(u32, 3), "[1, 2]", "010000000200000000000000", ""},
		{arrayOf(u32, 3), "[]", "000000000000000000000000", ""},
		{arrayOf(arrayOf(u16, 2), 2), "[[1], [2, 3]]", "0100000002000300", ""},
		{arrayOf(truth, 2), "[false, true]", "0001", ""},
		{arrayOf(u32, 0), "0x", "", ""},
		{inet, "192.0.2.1", "c0000201", ""},
		{inet, "{s_addr: 1}", "00000001", "0.0.0.1"},
		{pair, "{high: 1}", "0000000001000000", "{low: 0, high: 1}"},
		{pair, "0x0100ff0001000000", "0100ff0001000000", ""},
		{locked, "{count: 3}", "000000000300000000000000000000000000000000000000", "{count: 3, rest: 0}"},
		{either, "{small: 513}", "0102000000000000", "{large: 513}"},
		{flat, "{kind: 1, a: 2, b: 3}", "010000000200030000000000", "{kind: 1, both: 196610}"},
		{flat, "{both: 1}", "000000000100000000000000", "{kind: 0, both: 1}"},
		{bits, "{on: true, level: -3, act: DROP, rest: 4194303}", "3bfdffff", ""},
		{bits, "{}", "00000000", "{on: false, level: 0, act: PASS, rest: 0}"},
		{&btf.Float{Name: "float", Size: 4}, "0x0000803f", "0000803f", ""},
	} {
		codec := mustOf(t, c.of)
		got, err := codec.Encode(parse(t, c.text))
		if err != nil || hex.EncodeToString(got) != c.bytes {
			t.Errorf("%v: %s became %x (%v), want %s", c.of, c.text, got, err, c.bytes)
			continue
		}
		told, err := codec.Decode(got)
		if want := parse(t, orElse(c.told, c.text)); err != nil || !told.Equal(want) {
			t.Errorf("%v: %s is told as %s (%v), want %s", c.of, c.bytes, told, err, want)
		}
		if same := Render(codec, got, parse(t, c.text)); !same.Equal(parse(t, c.text)) {
			t.Errorf("%v: %s is rendered as %s, want as it was written", c.of, c.text, same)
		}
	}
}

func orElse(a, b string) string {
	if a == "" {
		return b
	}
	return a
}

func TestPlain(t *testing.T) {
	for _, c := range []struct {
		size        int
		text, bytes string
		told        string // empty: as written
	}{
		{1, "1", "01", ""},
		{1, "true", "01", "1"},
		{2, "80", "5000", ""},
		{2, "-1", "ffff", "65535"},
		{2, "{be16: 80}", "0050", "20480"},
		{4, "192.0.2.1", "c0000201", "16908480"},
		{4, "[{be16: 80}, {u8: 6}, {u8: 0}]", "00500600", "413696"},
		{4, "[{be16: 80}, 6, 0]", "00500600", "413696"},
		{8, "10000", "1027000000000000", ""},
		{8, "[192.0.2.1, {be32: 1}]", "c000020100000001", "72057594054836416"},
		{3, "0x010203", "010203", ""},
		{3, "[1, 2, 0]", "010200", "0x010200"},
		{6, "02:00:5e:10:00:01", "02005e100001", "0x02005e100001"},
		{7, "[02:00:5e:10:00:01, 9]", "02005e10000109", "0x02005e10000109"},
		{16, "2001:db8::1", "20010db8000000000000000000000001", "0x20010db8000000000000000000000001"},
	} {
		codec := Plain(c.size)
		got, err := codec.Encode(parse(t, c.text))
		if err != nil || hex.EncodeToString(got) != c.bytes {
			t.Errorf("%d bytes: %s became %x (%v), want %s", c.size, c.text, got, err, c.bytes)
			continue
		}
		told, err := codec.Decode(got)
		if want := parse(t, orElse(c.told, c.text)); err != nil || !told.Equal(want) {
			t.Errorf("%d bytes: %s is told as %s (%v), want %s", c.size, c.bytes, told, err, want)
		}
	}
}

func TestWhatDoesNotFit(t *testing.T) {
	of := func(b btf.Type) Codec { return mustOf(t, b) }
	for _, c := range []struct {
		codec Codec
		text  string
		want  string
	}{
		{of(u8), "256", "256 does not fit: it takes an integer from 0 to 255"},
		{of(u16), "-1", "0 to 65535"},
		{of(u16), "010", "010 does not fit"},
		{of(u16), "0x", "0x does not fit"},
		{of(u16), "1.5", "1.5 does not fit"},
		{of(u16), "1e3", "1e3 does not fit"},
		{of(u16), "[1]", "[1] does not fit"},
		{of(u16), "{be32: 1}", "{be32: 1} is 4 bytes wide"},
		{of(u16), "{be16: 65536}", "0 to 65535"},
		{of(u16), "{be17: 1}", "{be17: 1} does not fit"},
		{of(u16), "true", "true does not fit"},
		{of(u16), "''", "an empty text does not fit"},
		{of(s8), "128", "-128 to 127"},
		{of(s64), "9223372036854775808", "to 9223372036854775807"},
		{of(u64), "18446744073709551616", "to 18446744073709551615"},
		{of(u32), "192.0.2.256", "an IPv4 address"},
		{of(u32), "2001:db8::1", "an IPv4 address"},
		{of(le32), "192.0.2.1", "192.0.2.1 does not fit: it takes an integer from 0 to 4294967295"},
		{of(truth), "yes", "true or false"},
		{of(action), "DORP", "one of PASS, DROP, LOG, or an integer from -2147483648 to 4294967295 (did you mean DROP?)"},
		{of(arrayOf(char, 3)), "eth0", "eth0 does not fit: it takes a text of up to 3 bytes"},
		{of(arrayOf(u8, 6)), "02:00:5e:10:00", "a MAC address"},
		{of(arrayOf(u8, 6)), "02:00:5e:10-00:01", "a MAC address"},
		{of(arrayOf(u8, 2)), "[1, 2, 3]", "[2]: 3 goes beyond the 2 bytes"},
		{of(arrayOf(u8, 2)), "[1, 256]", "[1]: 256 does not fit: it takes an integer from -128 to 255; more than a byte says its width"},
		{of(arrayOf(u8, 16)), "192.0.2.1", "an IPv6 address"},
		{of(arrayOf(u8, 16)), "fe80::1%eth0", "an IPv6 address"},
		{of(arrayOf(u32, 2)), "[1, 2, 3]", "3 items are given, but 2 fit"},
		{of(arrayOf(pair, 2)), "[{}, {low: 65536}]", "[1].low: 65536 does not fit"},
		{of(arrayOf(u32, 2)), "5", "a list of up to 2 items"},
		{of(pair), "{hihg: 1}", "there is no field hihg (did you mean high?); there are low, high"},
		{of(pair), "{low: 1, low: 1}", "low is given twice"},
		{of(pair), "[1, 2]", "a mapping of low, high"},
		{of(locked), "{lock: 0}", "lock: it is a bpf_spin_lock, which only programs set"},
		{of(locked), "{next: 0}", "next: it is a pointer"},
		{of(locked), "0x" + strings.Repeat("01", 24), "bytes that only programs set"},
		{of(locked), "{x: 1}", "there are count, rest"},
		{of(either), "{small: 1, large: 2}", "small and large share their bytes"},
		{of(flat), "{a: 1, both: 2}", "a and both share their bytes"},
		{of(bits), "{level: 16}", "level: 16 does not fit: it takes an integer from -16 to 15"},
		{of(bits), "{act: LOG}", "act: LOG does not fit"},
		{of(bits), "{rest: {u32: 1}}", "rest: {u32: 1} is 4 bytes wide"},
		{of(&btf.Float{Name: "double", Size: 8}), "1.5", "a float is not supported"},
		{Plain(4), "[1, 2, 3]", "the list has 3 bytes, but 4 are needed"},
		{Plain(4), "[{be16: 1}, {be32: 2}]", "[1]: {be32: 2} goes beyond the 4 bytes"},
		{Plain(2), "{u32: 1}", "4 bytes wide"},
		{Plain(3), "5", "0x and 6 hexadecimal digits"},
		{Plain(3), "0x01020g", "0x and 6 hexadecimal digits"},
		{Plain(3), "{be16: 1}", "0x and 6 hexadecimal digits"},
	} {
		got, err := c.codec.Encode(parse(t, c.text))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s became %x (%v), want an error with %q", c.text, got, err, c.want)
		}
	}
}

func TestSizesMustAgree(t *testing.T) {
	if _, err := Of(pair, 12); err == nil || !strings.Contains(err.Error(), "struct pair is 8 bytes wide, but 12 are expected") {
		t.Error(err)
	}
	if c, err := Of(&btf.Void{}, 2); err != nil || c.Size() != 2 {
		t.Error(c.Size(), err)
	}
	if c, err := Of(nil, 3); err != nil || c.Size() != 3 {
		t.Error(c.Size(), err)
	}
	c := Plain(4)
	if _, err := c.Decode(make([]byte, 3)); err == nil {
		t.Error("3 bytes were decoded as 4")
	}
	if err := c.Put(make([]byte, 5), parse(t, "1")); err == nil {
		t.Error("4 bytes were put into 5")
	}
	b := []byte{9, 9, 9, 9}
	if err := c.Put(b, parse(t, "1")); err != nil || !bytes.Equal(b, []byte{1, 0, 0, 0}) {
		t.Error(b, err)
	}
	if got := Render(c, []byte{1, 2}, parse(t, "1")); got.Text != "0x0102" {
		t.Error(got)
	}
}

// TestTypesThatAreRefused holds those that nobody can write, and those that no
// compiler makes.
func TestTypesThatAreRefused(t *testing.T) {
	self := &btf.Struct{Name: "self", Size: 4}
	self.Members = []btf.Member{{Name: "again", Type: self}, {Name: "and", Type: self}}
	endless := &btf.Typedef{Name: "endless"}
	endless.Type = endless
	nothing := &btf.Struct{Size: 0}
	for range 40 {
		nothing = &btf.Struct{Size: 0, Members: []btf.Member{{Type: nothing}, {Type: nothing}}}
	}
	broad := &btf.Struct{Name: "broad", Size: 0}
	for range 20 {
		broad = &btf.Struct{Name: "broad", Size: 0, Members: []btf.Member{{Type: broad}, {Type: broad}}}
	}
	member := func(m btf.Member) btf.Type { return &btf.Struct{Name: "s", Size: 4, Members: []btf.Member{m}} }
	for _, c := range []struct {
		of   btf.Type
		want string
	}{
		{&btf.Pointer{Target: u8}, "a pointer cannot be written"},
		{lock, "a bpf_spin_lock cannot be written"},
		{&btf.Func{Name: "f"}, "has no bytes"},
		{&btf.Fwd{Name: "later"}, "has no bytes"},
		{&btf.Enum{Name: "odd", Size: 3}, "the enum odd is 3 bytes wide"},
		{self, "too deep"},
		{endless, "has no bytes"},
		{nothing, "too deep"},
		{broad, "more than 4096 members"},
		{arrayOf(u64, 1<<30), "stands in a type of 4"},
		{member(btf.Member{Name: "m", Type: u32, Offset: 8}), "struct s: m: it goes beyond the end"},
		{member(btf.Member{Name: "m", Type: u16, Offset: 3}), "struct s: m: it does not begin at a byte"},
		{member(btf.Member{Name: "m", Type: u16, BitfieldSize: 17}), "17 bits of an integer of 2 bytes"},
		{member(btf.Member{Name: "m", Type: be16, BitfieldSize: 3}), "3 bits of an integer of 2 bytes"},
		{member(btf.Member{Name: "m", Type: arrayOf(u8, 2), BitfieldSize: 3}), "a bitfield of what is no integer"},
		{&btf.Struct{Name: "s", Size: 4, Members: []btf.Member{{Name: "m", Type: u8}, {Name: "m", Type: u8, Offset: 8}}}, "two fields have this name"},
	} {
		if _, err := Of(c.of, 4); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s is refused with %v, want %q", c.want, err, c.want)
		}
	}
}

func TestOnlyTheProgramsBytesAreNotCompared(t *testing.T) {
	c := mustOf(t, locked)
	wanted, err := c.Encode(parse(t, "{count: 1}"))
	if err != nil {
		t.Fatal(err)
	}
	held := bytes.Clone(wanted)
	held[0], held[8] = 1, 0xff
	if !c.Equal(wanted, held) {
		t.Error("a lock that is held is a difference")
	}
	if got := Render(c, held, parse(t, "{count: 1}")); got.String() != "{count: 1}" {
		t.Error(got)
	}
	held[4]++
	if c.Equal(wanted, held) {
		t.Error("another count is no difference")
	}
}
