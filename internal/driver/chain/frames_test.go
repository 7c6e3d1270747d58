package chain

import (
	"encoding/binary"
	"slices"

	"golang.org/x/sys/unix"
)

// frame is one that programs are asked about.
type frame struct {
	name  string
	bytes []byte
}

var (
	client4 = []byte{192, 0, 2, 1}
	server4 = []byte{198, 51, 100, 2}
)

// frames are of all kinds that a program meets.
func frames() []frame {
	udp := ip4(unix.IPPROTO_UDP, client4, server4, 0, transport(4000, 9, 26))
	tcp := transport(4001, 443, 40)
	tcp[12], tcp[13] = 5<<4, 2 // a SYN
	icmp := append([]byte{8, 0, 0xf7, 0xff}, make([]byte, 28)...)
	arp := ethernet(unix.ETH_P_ARP, append([]byte{0, 1, 8, 0, 6, 4, 0, 1}, make([]byte, 38)...))
	arp[11] = 9 // of another card
	return []frame{
		{"arp", arp},
		{"ipv4 udp", ethernet(unix.ETH_P_IP, udp)},
		{"ipv4 udp back", ethernet(unix.ETH_P_IP, ip4(unix.IPPROTO_UDP, server4, client4, 0, transport(9, 4000, 27)))},
		{"ipv4 tcp", ethernet(unix.ETH_P_IP, ip4(unix.IPPROTO_TCP, client4, server4, 0, tcp))},
		{"ipv4 icmp", ethernet(unix.ETH_P_IP, ip4(unix.IPPROTO_ICMP, client4, server4, 0, icmp))},
		{"first fragment", ethernet(unix.ETH_P_IP, ip4(unix.IPPROTO_UDP, client4, server4, 0x2000, transport(4000, 9, 64)))},
		{"last fragment", ethernet(unix.ETH_P_IP, ip4(unix.IPPROTO_UDP, client4, server4, 8, make([]byte, 40)))},
		{"ipv6 udp", ethernet(unix.ETH_P_IPV6, ip6(unix.IPPROTO_UDP, transport(4000, 9, 26)))},
		{"ipv6 neighbour", ethernet(unix.ETH_P_IPV6, ip6(unix.IPPROTO_ICMPV6, append([]byte{135}, make([]byte, 23)...)))},
		{"vlan", ethernet(unix.ETH_P_8021Q, slices.Concat([]byte{0, 7, 8, 0}, udp))},
		{"two vlans", ethernet(unix.ETH_P_8021AD, slices.Concat([]byte{0, 7, 0x81, 0, 0, 8, 8, 0}, udp))},
		{"unknown", ethernet(0x88b5, make([]byte, 46))},
		{"header alone", ethernet(unix.ETH_P_IP, nil)},
		{"cut in its header", ethernet(unix.ETH_P_IP, udp[:12])},
		{"stun", ethernet(unix.ETH_P_IP, ip4(unix.IPPROTO_UDP, client4, server4, 0, stun()))},
		{"jumbo", ethernet(unix.ETH_P_IP, ip4(unix.IPPROTO_UDP, client4, server4, 0, transport(4000, 9, 8972)))},
	}
}

func ethernet(protocol uint16, payload []byte) []byte {
	b := []byte{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0, 0}
	binary.BigEndian.PutUint16(b[12:], protocol)
	return append(b, payload...)
}

func ip4(protocol byte, from, to []byte, fragment uint16, payload []byte) []byte {
	b := make([]byte, 20)
	b[0], b[8], b[9] = 0x45, 64, protocol
	binary.BigEndian.PutUint16(b[2:], uint16(20+len(payload)))
	binary.BigEndian.PutUint16(b[6:], fragment)
	copy(b[12:], from)
	copy(b[16:], to)
	sum := uint32(0)
	for i := 0; i < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	binary.BigEndian.PutUint16(b[10:], ^uint16(sum+sum>>16))
	return append(b, payload...)
}

func ip6(next byte, payload []byte) []byte {
	b := make([]byte, 40)
	b[0], b[6], b[7] = 0x60, next, 255
	binary.BigEndian.PutUint16(b[4:], uint16(len(payload)))
	copy(b[8:], []byte{0x20, 1, 0xd, 0xb8})
	b[23] = 1
	copy(b[24:], b[8:24])
	b[39] = 2
	return append(b, payload...)
}

// transport is a UDP header, or the begin of a TCP header, and zeroes.
func transport(from, to uint16, size int) []byte {
	b := make([]byte, size)
	binary.BigEndian.PutUint16(b, from)
	binary.BigEndian.PutUint16(b[2:], to)
	binary.BigEndian.PutUint16(b[4:], uint16(size))
	return b
}

// stun is a binding request over UDP, as tailscale's nodes send it.
func stun() []byte {
	b := transport(4000, 3478, 8+20+12)
	copy(b[8:], []byte{0, 1, 0, 12, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12})
	copy(b[28:], "\x80\x22\x00\x08tailnode")
	return b
}
