package value

import (
	"testing"

	"github.com/cilium/ebpf/btf"
)

// TestRender holds what another value is told as by the words of a wanted one.
func TestRender(t *testing.T) {
	of := func(b btf.Type) Codec { return mustOf(t, b) }
	rule := &btf.Struct{Name: "rule", Size: 20, Members: []btf.Member{
		{Name: "addr", Type: be32}, {Name: "port", Type: u16, Offset: 32}, {Name: "flags", Type: u16, Offset: 48},
		{Name: "hits", Type: arrayOf(u32, 3), Offset: 64},
	}}
	for _, c := range []struct {
		codec       Codec
		want, there string
		told        string
	}{
		{of(u32), "192.0.2.1", "192.0.2.2", "192.0.2.2"},
		{of(u32), "0xff", "16", "0x10"},
		{of(u16), "{be16: 80}", "{be16: 443}", "{be16: 443}"},
		{of(u8), "true", "0", "false"},
		{of(u8), "true", "2", "2"},
		{of(action), "1", "7", "7"},
		{of(action), "DROP", "7", "LOG"},
		{of(arrayOf(u8, 6)), "0x010203040506", "0x010203040507", "0x010203040507"},
		{of(arrayOf(u8, 6)), "02:00:00:00:00:01", "02:00:00:00:00:02", "02:00:00:00:00:02"},
		{of(arrayOf(u8, 4)), "[1, {be16: 5}]", "[2, {be16: 6}, 3]", "[2, {be16: 6}, 3]"},
		{of(arrayOf(u8, 4)), "{be16: 5}", "{be16: 6}", "{be16: 6}"},
		{of(arrayOf(u8, 4)), "{be16: 5}", "[0, 6, 7, 0]", "0x00060700"},
		{of(arrayOf(u32, 4)), "[0x1, 2, 0]", "[3, 2]", "[0x3, 2, 0]"},
		{of(rule), "{port: {be16: 80}, addr: 192.0.2.1}", "{port: {be16: 80}, addr: 192.0.2.7}", "{port: {be16: 80}, addr: 192.0.2.7}"},
		{of(rule), "{port: {be16: 80}}", "{port: {be16: 81}, hits: [0, 4]}", "{port: {be16: 81}, hits: [0, 4]}"},
		{of(rule), "no mapping", "{port: 1}", "{addr: 0, port: 1, flags: 0, hits: []}"},
		{of(flat), "{a: 1}", "{a: 2, b: 3}", "{a: 2, b: 3}"},
		{of(either), "{small: 1}", "{small: 2}", "{small: 2}"},
		{of(either), "{small: 1}", "{large: 65536}", "{large: 65536}"},
		{of(pair), "{low: 1}", "0x01000500000000ff", "0x01000500000000ff"},
		{Plain(4), "-1", "-2", "-2"},
		{Plain(4), "[{be16: 80}, {u8: 6}, {u8: 0}]", "[{be16: 443}, {u8: 17}, {u8: 0}]", "[{be16: 443}, {u8: 17}, {u8: 0}]"},
		{Plain(8), "[192.0.2.1, {s32: -1}]", "[192.0.2.9, {s32: -2}]", "[192.0.2.9, {s32: -2}]"},
	} {
		b, err := c.codec.Encode(parse(t, c.there))
		if err != nil {
			t.Errorf("%s: %v", c.there, err)
			continue
		}
		got := Render(c.codec, b, parse(t, c.want))
		if got.String() != c.told {
			t.Errorf("%s beside %s is told as %s, want %s", c.there, c.want, got, c.told)
		}
	}
}
