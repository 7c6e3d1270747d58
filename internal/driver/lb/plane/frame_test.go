package plane

import (
	"bytes"
	"encoding/hex"
	"testing"

	"github.com/cilium/ebpf"
)

// TestFrameText holds the text of frames to bytes, and checksums, that a kernel
// made.
func TestFrameText(t *testing.T) {
	for _, tt := range []struct {
		bytes string
		text  []string
	}{
		{"020000000002265cc9e7fcef080045000021858c40004011313cc0000201c0000202c7c60035000d700268656c6c6f", []string{
			"eth 26:5c:c9:e7:fc:ef > 02:00:00:00:00:02", "ip4 192.0.2.1 > 192.0.2.2 id 34188 df", "udp 51142 > 53", "hex 68656c6c6f",
		}},
		{"020000000002265cc9e7fcef08004500003c6cbd4000400649fbc0000201c0000202e04800507fa2387900000000a002faf0fe7d0000020405b40402080ac5a86c2d000000000103030a", []string{
			"eth 26:5c:c9:e7:fc:ef > 02:00:00:00:00:02", "ip4 192.0.2.1 > 192.0.2.2 id 27837 df", "tcp 57416 > 80 flags S seq 2141337721 words 10 window 64240",
			"hex 020405b40402080ac5a86c2d000000000103030a",
		}},
		{"3333000000020ab862a1fbbc86dd6000000000103afffe8000000000000008b862fffea1fbbcff0200000000000000000000000000028500ad010000000001010ab862a1fbbc", []string{
			"eth 0a:b8:62:a1:fb:bc > 33:33:00:00:00:02", "ip6 fe80::8b8:62ff:fea1:fbbc > ff02::2 hops 255", "icmp6 133 0", "hex 01010ab862a1fbbc",
		}},
	} {
		want, err := hex.DecodeString(tt.bytes)
		must(t, err)
		same(t, "text", decode(want), tt.text)
		got, err := encode(tt.text)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%q is %x, %v; want %x", tt.text, got, err, want)
		}
	}
}

// TestSeveralBuffers sends a packet of which only the first buffer is in reach.
func TestSeveralBuffers(t *testing.T) {
	w := &world{Plane: open(t, small())}
	w.reset(t)
	w.fillIn(t, []string{
		"source 10.200.0.1/32 2001:db8:200::1/128", "backend 1 ipip 10.0.0.11 mtu 9000", "ring 0 1", "service 0 ring 0 reject", "claim 192.0.2.1 any 0",
	})
	spec := programOf(t, w.Plane)
	spec.Programs[Program].Flags |= 1 << 5 // BPF_F_XDP_HAS_FRAGS
	coll, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{MapReplacements: w.maps})
	must(t, err)
	defer coll.Close()
	for _, tt := range []struct {
		name, verdict string
		in, out       []string
	}{
		{"sent", "TX",
			[]string{"eth router > lb", "ip4 198.51.100.7 > 192.0.2.1 df", "udp 1000 > 53", "data 7000"},
			[]string{"eth lb > hop1", "ip4 10.200.0.1 > 10.0.0.11 df", "ip4 198.51.100.7 > 192.0.2.1 df", "udp 1000 > 53", "data 7000"}},
		{"shorter than it says", "DROP",
			[]string{"eth router > lb", "ip4 198.51.100.7 > 192.0.2.1 len 7029", "udp 1000 > 53", "data 7000"}, nil},
		{"too big", "TX",
			[]string{"eth router > lb", "ip4 198.51.100.7 > 192.0.2.1 df", "udp 1000 > 53 sum 9", "data 9000"},
			[]string{"eth lb > router", "ip4 192.0.2.1 > 198.51.100.7 df", "icmp4 3 4 rest 8980", "ip4 198.51.100.7 > 192.0.2.1 len 9028 df", "udp 1000 > 53 len 9008 sum 9", "data 40"}},
	} {
		in, err := encode(tt.in)
		must(t, err)
		verdict, out := w.send(t, coll.Programs[Program], in)
		if verdict != tt.verdict {
			t.Errorf("%s: %s, want %s", tt.name, verdict, tt.verdict)
		}
		if tt.out != nil {
			want, err := encode(tt.out)
			must(t, err)
			compareFrames(t, want, out)
		}
	}
}
