package plane

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"strings"
)

// decode makes lines of a frame's bytes: the shortest that encode makes the
// same bytes of.
func decode(frame []byte) []string {
	d := decoder{}
	d.ether(frame)
	return d.lines
}

type decoder struct{ lines []string }

// say adds a line; options that are "" are left out.
func (d *decoder) say(words ...string) {
	var said []string
	for _, w := range words {
		if w != "" {
			said = append(said, w)
		}
	}
	d.lines = append(d.lines, strings.Join(said, " "))
}

// unless is an option where it is not what encode would take by default.
func unless[T comparable](name string, got, usual T) string {
	if got == usual {
		return ""
	}
	return fmt.Sprintf("%s %v", name, got)
}

func flag(name string, set bool) string {
	if set {
		return name
	}
	return ""
}

func (d *decoder) ether(b []byte) {
	if len(b) < 14 {
		d.raw(b)
		return
	}
	d.say("eth", station(b[6:12]), ">", station(b[:6]), d.unknown(b[12:]))
	d.network(binary.BigEndian.Uint16(b[12:]), b[14:])
}

// station is a MAC, by its name if it has one.
func station(m net.HardwareAddr) string {
	for name, known := range macs() {
		if known == m.String() {
			return name
		}
	}
	return m.String()
}

// unknown names a type that no header of ours has; b begins with it.
func (d *decoder) unknown(b []byte) string {
	proto := binary.BigEndian.Uint16(b)
	known := proto == 0x0800 && len(b) >= 22 || proto == 0x86dd && len(b) >= 42 || (proto == 0x8100 || proto == 0x88a8) && len(b) >= 6
	if known || proto == 0x88b5 {
		return ""
	}
	return fmt.Sprintf("type %#x", proto)
}

func (d *decoder) network(proto uint16, b []byte) {
	switch {
	case (proto == 0x8100 || proto == 0x88a8) && len(b) >= 4:
		tci := binary.BigEndian.Uint16(b)
		d.say("tag", fmt.Sprint(tci&0x1fff), unless("prio", tci>>13, 0), flag("ad", proto == 0x88a8), d.unknown(b[2:]))
		d.network(binary.BigEndian.Uint16(b[2:]), b[4:])
	case proto == 0x0800 && len(b) >= 20:
		d.ip4(b, false)
	case proto == 0x86dd && len(b) >= 40:
		d.ip6(b, false)
	default:
		d.raw(b)
	}
}

// raw prints what is no header: as data where it is data of ours.
func (d *decoder) raw(b []byte) {
	switch {
	case len(b) == 0:
	case bytes.Equal(b, pattern(len(b))):
		d.say("data", fmt.Sprint(len(b)))
	default:
		d.say("hex", hex.EncodeToString(b))
	}
}

// split parts what a header says is there from what is behind it.
func split(b []byte, length int, quoted bool) (packet, pad []byte) {
	if quoted || length > len(b) {
		return b, nil
	}
	return b[:length], b[length:]
}

func (d *decoder) ip4(b []byte, quoted bool) {
	length := int(binary.BigEndian.Uint16(b[2:]))
	header := min(max(int(b[0]&15)*4, 20), len(b))
	packet, pad := split(b, max(length, header), quoted)
	payload := packet[header:]
	place := binary.BigEndian.Uint16(b[6:])
	from, to := netip.AddrFrom4([4]byte(b[12:])), netip.AddrFrom4([4]byte(b[16:]))
	head := bytes.Clone(b[:header])
	copy(head[10:], []byte{0, 0})
	next := d.nextKind(b[9], payload, place&0x1fff != 0)
	d.say("ip4", from.String(), ">", to.String(), unless("version", b[0]>>4, 4), unless("ihl", int(b[0]&15), header/4), unless("tos", b[1], 0),
		unless("len", length, len(packet)), unless("id", binary.BigEndian.Uint16(b[4:]), 0), flag("df", place&0x4000 != 0), flag("mf", place&0x2000 != 0),
		unless("off", place&0x1fff*8, 0), unless("ttl", b[8], 64), unless("proto", b[9], protocolOf(layer{kind: next})),
		unless("sum", binary.BigEndian.Uint16(b[10:]), checksum(head)), unless("options", hex.EncodeToString(b[20:header]), ""))
	d.transport(next, from, to, payload)
	d.padding(pad)
}

func (d *decoder) padding(pad []byte) {
	if len(pad) > 0 && bytes.Equal(pad, make([]byte, len(pad))) {
		d.say("pad", fmt.Sprint(len(pad)))
		return
	}
	d.raw(pad)
}

func (d *decoder) ip6(b []byte, quoted bool) {
	length := int(binary.BigEndian.Uint16(b[4:]))
	word := binary.BigEndian.Uint32(b)
	packet, pad := split(b, 40+length, quoted)
	from, to := netip.AddrFrom16([16]byte(b[8:])), netip.AddrFrom16([16]byte(b[24:]))
	next, usual := d.next6(b[6], packet[40:])
	d.say("ip6", from.String(), ">", to.String(), unless("version", word>>28, 6), unless("tc", word>>20&0xff, 0), unless("flow", word&0xfffff, 0),
		unless("len", length, len(packet)-40), unless("hops", b[7], 64), unless("next", b[6], usual))
	d.after6(next, b[6], from, to, packet[40:])
	d.padding(pad)
}

// next6 is what follows a header of IPv6, and the number encode would give it.
func (d *decoder) next6(proto uint8, b []byte) (kind string, usual uint8) {
	if extension(proto) != "" && len(b) >= 8 && len(b) >= (int(b[1])+1)*8 {
		return "ext", proto
	}
	kind = d.nextKind(proto, b, false)
	return kind, protocolOf(layer{kind: kind})
}

func extension(proto uint8) string {
	return map[uint8]string{0: "hop", 43: "routing", 44: "fragment", 60: "options"}[proto]
}

func (d *decoder) after6(kind string, proto uint8, from, to netip.Addr, b []byte) {
	if kind != "ext" {
		d.transport(kind, from, to, b)
		return
	}
	size := (int(b[1]) + 1) * 8
	next, usual := d.next6(b[0], b[size:])
	place := binary.BigEndian.Uint16(b[2:])
	if proto == 44 {
		if place&^7 != 0 { // what follows is no header
			next, usual = "", 253
		}
		d.say("ext", "fragment", unless("off", place&^7, 0), flag("mf", place&1 != 0), unless("id", binary.BigEndian.Uint32(b[4:]), 0), unless("next", b[0], usual))
	} else {
		d.say("ext", extension(proto), unless("size", size, 8), unless("next", b[0], usual))
	}
	d.after6(next, b[0], from, to, b[size:])
}

// nextKind is the header that bytes are decoded as, "" for none.
func (d *decoder) nextKind(proto uint8, b []byte, later bool) string {
	least := map[uint8]int{1: 8, 4: 20, 6: 20, 17: 8, 41: 40, 58: 8}
	if n, ok := least[proto]; !ok || later || len(b) < n {
		return ""
	}
	return map[uint8]string{1: "icmp4", 4: "ip4", 6: "tcp", 17: "udp", 41: "ip6", 58: "icmp6"}[proto]
}

func (d *decoder) transport(kind string, from, to netip.Addr, b []byte) {
	ports := func() (string, string) {
		return fmt.Sprint(binary.BigEndian.Uint16(b)), fmt.Sprint(binary.BigEndian.Uint16(b[2:]))
	}
	sum := func(at int) string {
		message := bytes.Clone(b)
		copy(message[at:], []byte{0, 0})
		return unless("sum", binary.BigEndian.Uint16(b[at:]), checksumL4(kind, from.String(), to.String(), message))
	}
	switch kind {
	case "ip4":
		d.ip4(b, false)
	case "ip6":
		d.ip6(b, false)
	case "tcp":
		s, t := ports()
		flags := ""
		for i, f := range "FSRPAUEC" {
			if b[13]&(1<<i) != 0 {
				flags += string(f)
			}
		}
		d.say("tcp", s, ">", t, unless("flags", flags, ""), unless("seq", binary.BigEndian.Uint32(b[4:]), 0), unless("ack", binary.BigEndian.Uint32(b[8:]), 0),
			unless("words", b[12]>>4, 5), unless("window", binary.BigEndian.Uint16(b[14:]), 0), unless("urgent", binary.BigEndian.Uint16(b[18:]), 0), sum(16))
		d.raw(b[20:])
	case "udp":
		s, t := ports()
		d.say("udp", s, ">", t, unless("len", int(binary.BigEndian.Uint16(b[4:])), len(b)), sum(6))
		d.raw(b[8:])
	case "icmp4", "icmp6":
		d.say(kind, fmt.Sprint(b[0]), fmt.Sprint(b[1]), unless("rest", fmt.Sprintf("%#x", binary.BigEndian.Uint32(b[4:])), "0x0"), sum(2))
		d.quoted(kind, b[0], b[8:])
	default:
		d.raw(b)
	}
}

// quoted decodes what an error of ICMP quotes.
func (d *decoder) quoted(kind string, icmpType byte, b []byte) {
	switch {
	case kind == "icmp4" && (icmpType == 3 || icmpType == 11 || icmpType == 12) && len(b) >= 20 && b[0]>>4 == 4:
		d.ip4(b, true)
	case kind == "icmp6" && icmpType < 128 && len(b) >= 40 && b[0]>>4 == 6:
		d.ip6(b, true)
	default:
		d.raw(b)
	}
}
