package doctor

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"

	"reconciler/internal/resource"
)

// Flags of TCP.
const (
	flagSYN = 1 << 1
	flagRST = 1 << 2
	flagACK = 1 << 4
)

// frame is a probe as it leaves: Ethernet, a tag if the way has one, the tunnel
// if there is one, and the SYN.
func (p probe) frame() []byte {
	b := p.backend
	payload := ip(p.flow.src.Addr(), p.flow.dst.Addr(), unix.IPPROTO_TCP, syn(p.flow))
	inner, family := payload, p.flow.dst.Addr()
	if b.Encap != resource.L2DSR {
		proto := byte(unix.IPPROTO_IPIP)
		if family.Is6() {
			proto = unix.IPPROTO_IPV6
		}
		inner, family = ip(p.outer, b.Address, proto, payload), b.Address
	}
	out := append(append([]byte{}, b.Seen.MAC[:]...), p.link.MAC[:]...)
	if b.Seen.VLAN != 0 {
		out = binary.BigEndian.AppendUint16(out, unix.ETH_P_8021Q)
		out = binary.BigEndian.AppendUint16(out, b.Seen.VLAN)
	}
	ether := uint16(unix.ETH_P_IP)
	if family.Is6() {
		ether = unix.ETH_P_IPV6
	}
	return append(binary.BigEndian.AppendUint16(out, ether), inner...)
}

// ip puts a header of the addresses' family before a payload.
func ip(src, dst netip.Addr, protocol byte, payload []byte) []byte {
	if dst.Is6() {
		h := []byte{0x60, 0, 0, 0, 0, 0, protocol, 64}
		binary.BigEndian.PutUint16(h[4:], uint16(len(payload)))
		return append(append(append(h, src.AsSlice()...), dst.AsSlice()...), payload...)
	}
	h := []byte{0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, protocol, 0, 0}
	h = append(append(h, src.AsSlice()...), dst.AsSlice()...)
	binary.BigEndian.PutUint16(h[2:], uint16(len(h)+len(payload)))
	binary.BigEndian.PutUint16(h[10:], ^sum(0, h))
	return append(h, payload...)
}

// syn is the header of TCP that begins a flow.
func syn(f flow) []byte {
	h := make([]byte, 20)
	binary.BigEndian.PutUint16(h, f.src.Port())
	binary.BigEndian.PutUint16(h[2:], f.dst.Port())
	h[4], h[12], h[13] = 1, 5<<4, flagSYN
	binary.BigEndian.PutUint16(h[14:], 1024) // the window
	s := sum(unix.IPPROTO_TCP+uint32(len(h)), f.src.Addr().AsSlice())
	binary.BigEndian.PutUint16(h[16:], ^sum(uint32(sum(uint32(s), f.dst.Addr().AsSlice())), h))
	return h
}

// sum is the Internet checksum, not yet inverted.
func sum(s uint32, b []byte) uint16 {
	for ; len(b) > 1; b = b[2:] {
		s += uint32(b[0])<<8 | uint32(b[1])
	}
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return uint16(s)
}

// parse reads a packet of TCP without a link's header.
func parse(b []byte) (f flow, flags byte, ok bool) {
	if len(b) < 20 {
		return f, 0, false
	}
	var src, dst netip.Addr
	at, proto := 40, b[6]
	if b[0]>>4 == 4 {
		at, proto = int(b[0]&15)*4, b[9]
		src, dst = netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
	} else if len(b) >= at {
		src, dst = netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
	}
	if proto != unix.IPPROTO_TCP || len(b) < at+14 || !src.IsValid() {
		return f, 0, false
	}
	f = flow{
		netip.AddrPortFrom(src, binary.BigEndian.Uint16(b[at:])), netip.AddrPortFrom(dst, binary.BigEndian.Uint16(b[at+2:])),
	}
	return f, b[at+13], true
}
