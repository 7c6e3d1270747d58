package value

import (
	"testing"

	"reconciler/internal/resource"
)

// BenchmarkPut writes one value into a buffer that is there, as a driver does
// for each entry of a batch.
func BenchmarkPut(b *testing.B) {
	for _, c := range []struct {
		name  string
		codec Codec
		text  string
	}{
		{"integer", mustOf(b, u32), "10000"},
		{"hexadecimal", mustOf(b, u64), "0xdeadbeef"},
		{"be16", mustOf(b, be16), "443"},
		{"width", Plain(2), "{be16: 443}"},
		{"enum", mustOf(b, action), "DROP"},
		{"ipv4", mustOf(b, be32), "203.0.113.7"},
		{"ipv6", mustOf(b, inet6), "2001:db8::1"},
		{"mac", mustOf(b, arrayOf(u8, 6)), "02:00:5e:10:00:01"},
		{"prefix", LPM(mustOf(b, key4)), "203.0.113.0/24"},
		{"struct", mustOf(b, pair), "{low: 1, high: 2}"},
		{"zoo", valueOf(b, zoo(b).Maps["zoo"]), everything},
	} {
		v, buffer := parse(b, c.text), make([]byte, c.codec.Size())
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := c.codec.Put(buffer, v); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkRender tells a value that is as wanted, and one that is not.
func BenchmarkRender(b *testing.B) {
	c := mustOf(b, pair)
	want := resource.Value{Fields: []resource.NamedValue{{Name: "low", Value: resource.Scalar("1")}}}
	for name, there := range map[string][]byte{"same": {1, 0, 0, 0, 0, 0, 0, 0}, "other": {2, 0, 0, 0, 0, 0, 0, 0}} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Render(c, there, want)
			}
		})
	}
}
