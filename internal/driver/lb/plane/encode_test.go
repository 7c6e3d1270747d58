package plane

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// A frame as text has a line a header, outermost first:
//
//	eth 02:00:00:00:00:01 > 02:00:00:00:00:02
//	tag 7
//	ip4 198.51.100.7 > 192.0.2.1 tos 0x10 ttl 61
//	tcp 40000 > 80 flags S
//	data 10
//
// Lengths, checksums and what names the next header are computed where they are
// not given.

// layer is one line: its kind, and its words.
type layer struct {
	kind     string
	from, to string
	opts     map[string]string
	flags    map[string]bool
	rest     []string
}

// flagWords stand alone; every other word is followed by its value.
func isFlagWord(w string) bool {
	return w == "df" || w == "mf" || w == "ad"
}

func parseLayer(line string) (layer, error) {
	words := strings.Fields(line)
	l := layer{kind: words[0], opts: map[string]string{}, flags: map[string]bool{}}
	words = words[1:]
	if len(words) >= 3 && words[1] == ">" {
		l.from, l.to, words = words[0], words[2], words[3:]
	}
	switch l.kind {
	case "icmp4", "icmp6", "tag", "data", "hex", "pad", "ext", "arp":
		n := map[string]int{"icmp4": 2, "icmp6": 2, "ext": 1, "arp": 0}
		take, ok := n[l.kind]
		if !ok {
			take = 1
		}
		if len(words) < take {
			return l, fmt.Errorf("%q: words are missing", line)
		}
		l.rest, words = words[:take], words[take:]
	}
	for len(words) > 0 {
		if isFlagWord(words[0]) {
			l.flags[words[0]], words = true, words[1:]
			continue
		}
		if len(words) < 2 {
			return l, fmt.Errorf("%q: %s has no value", line, words[0])
		}
		l.opts[words[0]], words = words[1], words[2:]
	}
	return l, nil
}

// number is an option, or what it is by default.
func (l layer) number(name string, otherwise uint64) uint64 {
	s, ok := l.opts[name]
	if !ok {
		return otherwise
	}
	n, err := strconv.ParseUint(s, 0, 32)
	if err != nil {
		panic(fmt.Sprintf("%s %s: %v", l.kind, name, err))
	}
	return n
}

func (l layer) arg(i int) uint64 {
	n, err := strconv.ParseUint(l.rest[i], 0, 32)
	if err != nil {
		panic(fmt.Sprintf("%s: %v", l.kind, err))
	}
	return n
}

// encode makes bytes of a frame's lines.
func encode(lines []string) (frame []byte, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%v, in\n%s", r, strings.Join(lines, "\n"))
		}
	}()
	var layers []layer
	for _, line := range lines {
		l, err := parseLayer(line)
		if err != nil {
			return nil, err
		}
		layers = append(layers, l)
	}
	return encodeLayers(layers, layer{}), nil
}

// encodeLayers encodes from the inside out, as what is outside needs lengths.
func encodeLayers(layers []layer, below layer) []byte {
	if len(layers) == 0 {
		return nil
	}
	l, next := layers[0], layers[1:]
	payload, pad := encodeLayers(next, ipOr(l, below)), []byte(nil)
	if n := len(next); l.kind == "ip4" || l.kind == "ip6" {
		if n > 0 && next[n-1].kind == "pad" {
			pad = make([]byte, next[n-1].arg(0))
			payload = payload[:len(payload)-len(pad)]
		}
	}
	var following layer
	if len(next) > 0 {
		following = next[0]
	}
	return append(encodeLayer(l, following, below, payload), pad...)
}

func ipOr(l, below layer) layer {
	if l.kind == "ip4" || l.kind == "ip6" {
		return l
	}
	return below
}

func encodeLayer(l, next, ip layer, payload []byte) []byte {
	switch l.kind {
	case "eth":
		b := append(mac(l.to), mac(l.from)...)
		return append(binary.BigEndian.AppendUint16(b, uint16(l.number("type", uint64(etherType(next))))), payload...)
	case "tag":
		b := binary.BigEndian.AppendUint16(nil, uint16(l.number("prio", 0)<<13|l.arg(0)))
		return append(binary.BigEndian.AppendUint16(b, uint16(l.number("type", uint64(etherType(next))))), payload...)
	case "ip4":
		return encode4(l, next, payload)
	case "ip6":
		return encode6(l, next, payload)
	case "ext":
		b := make([]byte, l.number("size", 8))
		b[0], b[1] = byte(l.number("next", uint64(protocolOf(next)))), byte(l.number("len", l.number("size", 8)/8-1))
		if l.rest[0] == "fragment" {
			b[1] = 0
			binary.BigEndian.PutUint16(b[2:], uint16(l.number("off", 0)))
			if l.flags["mf"] {
				b[3] |= 1
			}
			binary.BigEndian.PutUint32(b[4:], uint32(l.number("id", 0)))
		}
		return append(b, payload...)
	case "tcp", "udp", "icmp4", "icmp6":
		return encodeL4(l, ip, payload)
	case "hex":
		b, err := hex.DecodeString(l.rest[0])
		if err != nil {
			panic(err)
		}
		return append(b, payload...)
	case "data":
		return append(pattern(int(l.arg(0))), payload...)
	case "pad":
		return append(make([]byte, l.arg(0)), payload...)
	}
	panic("no header is called " + l.kind)
}

// pattern is data of a length, which repeats nowhere near.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>8)
	}
	return b
}

// macs are the stations of all tests.
func macs() map[string]string {
	return map[string]string{
		"router": "02:00:00:00:00:fe", "lb": "02:00:00:00:00:01", "hop1": "02:00:00:00:01:01", "hop2": "02:00:00:00:01:02", "all": "ff:ff:ff:ff:ff:ff",
	}
}

func mac(s string) []byte {
	if known, ok := macs()[s]; ok {
		s = known
	}
	m, err := net.ParseMAC(s)
	if err != nil {
		panic(err)
	}
	return m
}

func etherType(next layer) uint16 {
	switch next.kind {
	case "ip4":
		return 0x0800
	case "ip6":
		return 0x86dd
	case "tag":
		if next.flags["ad"] {
			return 0x88a8
		}
		return 0x8100
	}
	return 0x88b5 // for experiments
}

func protocolOf(next layer) uint8 {
	switch next.kind {
	case "icmp4":
		return 1
	case "ip4":
		return 4
	case "tcp":
		return 6
	case "udp":
		return 17
	case "ip6":
		return 41
	case "icmp6":
		return 58
	case "ext":
		return map[string]uint8{"hop": 0, "routing": 43, "fragment": 44, "options": 60}[next.rest[0]]
	}
	return 253 // for experiments
}

func encode4(l, next layer, payload []byte) []byte {
	options, err := hex.DecodeString(l.opts["options"])
	if err != nil {
		panic(err)
	}
	header := 20 + len(options)
	b := make([]byte, 20, header+len(payload))
	b[0] = byte(l.number("version", 4)<<4 | l.number("ihl", uint64(header/4)))
	b[1] = byte(l.number("tos", 0))
	binary.BigEndian.PutUint16(b[2:], uint16(l.number("len", uint64(header+len(payload)))))
	binary.BigEndian.PutUint16(b[4:], uint16(l.number("id", 0)))
	place := uint16(l.number("off", 0) / 8)
	if l.flags["df"] {
		place |= 0x4000
	}
	if l.flags["mf"] {
		place |= 0x2000
	}
	binary.BigEndian.PutUint16(b[6:], place)
	b[8] = byte(l.number("ttl", 64))
	b[9] = byte(l.number("proto", uint64(protocolOf(next))))
	from, to := netip.MustParseAddr(l.from).As4(), netip.MustParseAddr(l.to).As4()
	copy(b[12:], from[:])
	copy(b[16:], to[:])
	b = append(b, options...)
	binary.BigEndian.PutUint16(b[10:], uint16(l.number("sum", uint64(checksum(b)))))
	return append(b, payload...)
}

func encode6(l, next layer, payload []byte) []byte {
	b := make([]byte, 40, 40+len(payload))
	binary.BigEndian.PutUint32(b, uint32(l.number("version", 6)<<28|l.number("tc", 0)<<20|l.number("flow", 0)))
	binary.BigEndian.PutUint16(b[4:], uint16(l.number("len", uint64(len(payload)))))
	b[6] = byte(l.number("next", uint64(protocolOf(next))))
	b[7] = byte(l.number("hops", 64))
	from, to := netip.MustParseAddr(l.from).As16(), netip.MustParseAddr(l.to).As16()
	copy(b[8:], from[:])
	copy(b[24:], to[:])
	return append(b, payload...)
}

func encodeL4(l, ip layer, payload []byte) []byte {
	var b []byte
	at := 2 // of the checksum
	port := func(s string) uint16 {
		n, err := strconv.ParseUint(s, 10, 16)
		if err != nil {
			panic(err)
		}
		return uint16(n)
	}
	switch l.kind {
	case "tcp":
		b, at = make([]byte, 20), 16
		binary.BigEndian.PutUint16(b, port(l.from))
		binary.BigEndian.PutUint16(b[2:], port(l.to))
		binary.BigEndian.PutUint32(b[4:], uint32(l.number("seq", 0)))
		binary.BigEndian.PutUint32(b[8:], uint32(l.number("ack", 0)))
		b[12] = byte(l.number("words", 5) << 4)
		for _, f := range l.opts["flags"] {
			b[13] |= 1 << strings.IndexRune("FSRPAUEC", f)
		}
		binary.BigEndian.PutUint16(b[14:], uint16(l.number("window", 0)))
		binary.BigEndian.PutUint16(b[18:], uint16(l.number("urgent", 0)))
	case "udp":
		b, at = make([]byte, 8), 6
		binary.BigEndian.PutUint16(b, port(l.from))
		binary.BigEndian.PutUint16(b[2:], port(l.to))
		binary.BigEndian.PutUint16(b[4:], uint16(l.number("len", uint64(8+len(payload)))))
	default:
		b = make([]byte, 8)
		b[0], b[1] = byte(l.arg(0)), byte(l.arg(1))
		binary.BigEndian.PutUint32(b[4:], uint32(l.number("rest", 0)))
	}
	b = append(b, payload...)
	binary.BigEndian.PutUint16(b[at:], uint16(l.number("sum", uint64(checksumL4(l.kind, ip.from, ip.to, b)))))
	return b
}

// checksumL4 is the checksum of a message whose own is zero.
func checksumL4(kind, from, to string, message []byte) uint16 {
	var pseudo []byte
	if kind != "icmp4" {
		pseudo = append(netip.MustParseAddr(from).AsSlice(), netip.MustParseAddr(to).AsSlice()...)
		pseudo = binary.BigEndian.AppendUint32(pseudo, uint32(len(message)))
		pseudo = binary.BigEndian.AppendUint32(pseudo, uint32(protocolOf(layer{kind: kind})))
	}
	sum := checksum(append(pseudo, message...))
	if kind == "udp" && sum == 0 {
		return 0xffff
	}
	return sum
}

// checksum is that of RFC 1071.
func checksum(b []byte) uint16 {
	var sum uint32
	for i, c := range b {
		if i%2 == 0 {
			sum += uint32(c) << 8
		} else {
			sum += uint32(c)
		}
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}
