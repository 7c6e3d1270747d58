package main

import "encoding/binary"

// batch is rtnetlink requests, one behind the other, to be sent at once. It is
// written by hand so that the yardstick shares no code with what it measures.
type batch struct {
	bytes []byte
	last  int // offset of the last message
	count uint32
}

const headerLen = 16 // struct nlmsghdr

func (b *batch) message(kind, flags uint16, body ...byte) {
	b.seal()
	b.last = len(b.bytes)
	b.count++
	b.u32(0).u16(kind).u16(flags).u32(b.count).u32(0)
	b.bytes = append(b.bytes, body...)
}

// seal writes the length of the last message.
func (b *batch) seal() {
	if b.count > 0 {
		binary.NativeEndian.PutUint32(b.bytes[b.last:], uint32(len(b.bytes)-b.last))
	}
}

// flag adds flags to the last message.
func (b *batch) flag(f uint16) {
	at := b.bytes[b.last+6:]
	binary.NativeEndian.PutUint16(at, binary.NativeEndian.Uint16(at)|f)
}

func (b *batch) attr(kind uint16, value ...byte) {
	b.u16(uint16(4 + len(value))).u16(kind)
	b.bytes = append(b.bytes, value...)
	for len(b.bytes)%4 != 0 {
		b.bytes = append(b.bytes, 0)
	}
}

func (b *batch) attr32(kind uint16, v uint32) {
	b.u16(8).u16(kind).u32(v)
}

func (b *batch) text(kind uint16, s string) { b.attr(kind, append([]byte(s), 0)...) }

// nest wraps what inside appends in an attribute.
func (b *batch) nest(kind uint16, inside func()) {
	at := len(b.bytes)
	b.u16(0).u16(kind)
	inside()
	binary.NativeEndian.PutUint16(b.bytes[at:], uint16(len(b.bytes)-at))
}

func (b *batch) u16(v uint16) *batch {
	b.bytes = binary.NativeEndian.AppendUint16(b.bytes, v)
	return b
}

func (b *batch) u32(v uint32) *batch {
	b.bytes = binary.NativeEndian.AppendUint32(b.bytes, v)
	return b
}
