package wire

import (
	"encoding/binary"
	"net/netip"
	"strings"

	"golang.org/x/sys/unix"
)

// Message is one message as received. Its bytes are valid until the next
// receive.
type Message struct {
	Type  uint16
	Flags uint16
	seq   uint32
	Body  []byte
}

// next cuts the first message off a buffer; what is no message ends it.
func next(b []byte) (m Message, rest []byte, ok bool) {
	if len(b) < headerSize {
		return Message{}, nil, false
	}
	size := int(binary.NativeEndian.Uint32(b))
	if size < headerSize || size > len(b) {
		return Message{}, nil, false
	}
	m = Message{
		Type: binary.NativeEndian.Uint16(b[4:]), Flags: binary.NativeEndian.Uint16(b[flagsAt:]),
		seq: binary.NativeEndian.Uint32(b[seqAt:]), Body: b[headerSize:size],
	}
	return m, b[min(align(size), len(b)):], true
}

func align(n int) int { return (n + unix.NLMSG_ALIGNTO - 1) &^ (unix.NLMSG_ALIGNTO - 1) }

// Attrs walks over attributes without copying:
//
//	for a := wire.Attributes(b); a.Next(); { … a.Type … a.Value … }
type Attrs struct {
	Type  uint16
	Value []byte
	rest  []byte
}

// Attributes walks over b; damaged attributes end the walk.
func Attributes(b []byte) Attrs { return Attrs{rest: b} }

// After walks over the attributes behind a header of a message.
func After(b []byte, header int) Attrs { return Attrs{rest: b[min(align(header), len(b)):]} }

// Next steps to the next attribute.
func (a *Attrs) Next() bool {
	if len(a.rest) < unix.SizeofNlAttr {
		return false
	}
	size := int(binary.NativeEndian.Uint16(a.rest))
	if size < unix.SizeofNlAttr || size > len(a.rest) {
		return false
	}
	a.Type = binary.NativeEndian.Uint16(a.rest[2:]) &^ (unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER)
	a.Value = a.rest[unix.SizeofNlAttr:size]
	a.rest = a.rest[min(align(size), len(a.rest)):]
	return true
}

// NextHop is a struct rtnexthop.
type NextHop struct {
	Flags, Hops uint8
	Index       int32
	Attrs       Attrs
}

// NextHops calls f for each next hop of a multipath attribute.
func NextHops(b []byte, f func(NextHop)) {
	for len(b) >= unix.SizeofRtNexthop {
		size := int(binary.NativeEndian.Uint16(b))
		if size < unix.SizeofRtNexthop || size > len(b) {
			return
		}
		f(NextHop{b[2], b[3], int32(U32(b[4:])), Attributes(b[unix.SizeofRtNexthop:size])})
		b = b[min(align(size), len(b)):]
	}
}

// U8 reads a number; one that is too short is 0, here and below.
func U8(b []byte) uint8 {
	if len(b) < 1 {
		return 0
	}
	return b[0]
}

// U16 reads a number of two bytes.
func U16(b []byte) uint16 {
	if len(b) < 2 {
		return 0
	}
	return binary.NativeEndian.Uint16(b)
}

// BE16 reads a number of two bytes in network order.
func BE16(b []byte) uint16 {
	if len(b) < 2 {
		return 0
	}
	return binary.BigEndian.Uint16(b)
}

// U32 reads a number of four bytes.
func U32(b []byte) uint32 {
	if len(b) < 4 {
		return 0
	}
	return binary.NativeEndian.Uint32(b)
}

// Text reads a text up to its zero byte.
func Text(b []byte) string {
	s := string(b)
	if i := strings.IndexByte(s, 0); i >= 0 {
		s = s[:i]
	}
	return s
}

// IP reads an address of four or sixteen bytes; any other length is none.
func IP(b []byte) netip.Addr {
	a, _ := netip.AddrFromSlice(b)
	return a
}

// Via reads the gateway of a route of another family.
func Via(b []byte) netip.Addr {
	if len(b) < 2 {
		return netip.Addr{}
	}
	return IP(b[2:])
}
