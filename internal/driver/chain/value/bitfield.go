package value

import "encoding/binary"

// littleEndian tells the order of bits in a byte of a bitfield, which goes with
// the machine's order of bytes.
var littleEndian = binary.NativeEndian.Uint16([]byte{1, 0}) == 1

// bit finds bit i of a number of some width that begins at a bit of b.
func bit(at, wide, i int) (octet int, mask byte) {
	if littleEndian {
		return (at + i) / 8, 1 << ((at + i) % 8)
	}
	i = at + wide - 1 - i
	return i / 8, 0x80 >> (i % 8)
}

func storeBits(b []byte, at, wide int, x uint64) {
	for i := range wide {
		octet, mask := bit(at, wide, i)
		if b[octet] &^= mask; x>>i&1 == 1 {
			b[octet] |= mask
		}
	}
}

func loadBits(b []byte, at, wide int) (x uint64) {
	for i := range wide {
		if octet, mask := bit(at, wide, i); b[octet]&mask != 0 {
			x |= 1 << i
		}
	}
	return x
}
