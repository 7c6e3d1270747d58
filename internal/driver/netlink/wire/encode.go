package wire

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Batch is a list of requests in the making. Its memory is used again after a
// Reset. A message is Begin, its header, its attributes, End.
type Batch struct {
	buf    []byte
	starts []int // of the messages
}

const (
	headerSize = unix.NLMSG_HDRLEN
	flagsAt    = 6 // of nlmsg_flags in a header
	seqAt      = 8 // of nlmsg_seq
)

// Reset empties the batch.
func (b *Batch) Reset() { b.buf, b.starts = b.buf[:0], b.starts[:0] }

// Len is the number of messages.
func (b *Batch) Len() int { return len(b.starts) }

// Begin starts a message; NLM_F_REQUEST is implied.
func (b *Batch) Begin(kind, flags uint16) {
	b.starts = append(b.starts, len(b.buf))
	b.u32(0)
	b.u16(kind)
	b.u16(flags | unix.NLM_F_REQUEST)
	b.u32(0)
	b.u32(0)
}

// End completes the message.
func (b *Batch) End() {
	start := b.starts[len(b.starts)-1]
	binary.NativeEndian.PutUint32(b.buf[start:], uint32(len(b.buf)-start))
}

// Drop takes the message back that was begun last.
func (b *Batch) Drop() {
	last := len(b.starts) - 1
	b.buf, b.starts = b.buf[:b.starts[last]], b.starts[:last]
}

func (b *Batch) u8(v ...uint8) { b.buf = append(b.buf, v...) }
func (b *Batch) u16(v uint16)  { b.buf = binary.NativeEndian.AppendUint16(b.buf, v) }
func (b *Batch) u32(v uint32)  { b.buf = binary.NativeEndian.AppendUint32(b.buf, v) }

func (b *Batch) pad() {
	for len(b.buf)%unix.NLA_ALIGNTO != 0 {
		b.buf = append(b.buf, 0)
	}
}

// Link writes a struct ifinfomsg.
func (b *Batch) Link(m unix.IfInfomsg) {
	b.u8(m.Family, 0)
	b.u16(m.Type)
	b.u32(uint32(m.Index))
	b.u32(m.Flags)
	b.u32(m.Change)
}

// Address writes a struct ifaddrmsg.
func (b *Batch) Address(m unix.IfAddrmsg) {
	b.u8(m.Family, m.Prefixlen, m.Flags, m.Scope)
	b.u32(m.Index)
}

// Route writes a struct rtmsg.
func (b *Batch) Route(m unix.RtMsg) {
	b.u8(m.Family, m.Dst_len, m.Src_len, m.Tos, m.Table, m.Protocol, m.Scope, m.Type)
	b.u32(m.Flags)
}

// Rule writes a struct fib_rule_hdr, which has the form of a struct rtmsg.
func (b *Batch) Rule(m unix.RtMsg) {
	b.u8(m.Family, m.Dst_len, m.Src_len, m.Tos, m.Table, 0, 0, m.Type)
	b.u32(m.Flags)
}

// Neighbour writes a struct ndmsg.
func (b *Batch) Neighbour(m unix.NdMsg) {
	b.u8(m.Family, 0, 0, 0)
	b.u32(uint32(m.Ifindex))
	b.u16(m.State)
	b.u8(m.Flags, m.Type)
}

// NextHop starts a struct rtnexthop with its attributes; Close ends it.
func (b *Batch) NextHop(flags, hops uint8, index int32) int {
	at := len(b.buf)
	b.u16(0)
	b.u8(flags, hops)
	b.u32(uint32(index))
	return at
}

// Nest starts an attribute that holds others; Close ends it.
func (b *Batch) Nest(kind uint16) int {
	at := len(b.buf)
	b.u16(0)
	b.u16(kind | unix.NLA_F_NESTED)
	return at
}

// Close ends what Nest or NextHop started at this place.
func (b *Batch) Close(at int) {
	binary.NativeEndian.PutUint16(b.buf[at:], uint16(len(b.buf)-at))
}

func (b *Batch) attr(kind uint16, size int) {
	b.u16(uint16(unix.SizeofNlAttr + size))
	b.u16(kind)
}

// Bytes writes an attribute.
func (b *Batch) Bytes(kind uint16, v []byte) {
	b.attr(kind, len(v))
	b.buf = append(b.buf, v...)
	b.pad()
}

// String writes a text that ends with a zero byte.
func (b *Batch) String(kind uint16, v string) {
	b.attr(kind, len(v)+1)
	b.buf = append(b.buf, v...)
	b.buf = append(b.buf, 0)
	b.pad()
}

// U8 writes a number of one byte.
func (b *Batch) U8(kind uint16, v uint8) {
	b.attr(kind, 1)
	b.u8(v)
	b.pad()
}

// Bool writes one byte, 0 or 1.
func (b *Batch) Bool(kind uint16, v bool) {
	if v {
		b.U8(kind, 1)
		return
	}
	b.U8(kind, 0)
}

// U16 writes a number of two bytes.
func (b *Batch) U16(kind, v uint16) {
	b.attr(kind, 2)
	b.u16(v)
	b.pad()
}

// BE16 writes a number of two bytes in network order.
func (b *Batch) BE16(kind, v uint16) {
	b.attr(kind, 2)
	b.buf = binary.BigEndian.AppendUint16(b.buf, v)
	b.pad()
}

// U32 writes a number of four bytes.
func (b *Batch) U32(kind uint16, v uint32) {
	b.attr(kind, 4)
	b.u32(v)
}

// IP writes an address of four or sixteen bytes.
func (b *Batch) IP(kind uint16, a netip.Addr) {
	if a.Is4() {
		v := a.As4()
		b.Bytes(kind, v[:])
		return
	}
	v := a.As16()
	b.Bytes(kind, v[:])
}

// Ports writes a range of ports.
func (b *Batch) Ports(kind, first, last uint16) {
	b.attr(kind, 4)
	b.u16(first)
	b.u16(last)
}

// Via writes the gateway of a route of another family.
func (b *Batch) Via(kind uint16, a netip.Addr) {
	family := uint16(unix.AF_INET6)
	if a.Is4() {
		family = unix.AF_INET
	}
	raw := a.AsSlice()
	b.attr(kind, 2+len(raw))
	b.u16(family)
	b.buf = append(b.buf, raw...)
	b.pad()
}
