package chain

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
)

// word is the first four bytes as they lie in memory.
func word(b []byte) uint32 { return binary.NativeEndian.Uint32(b) }

func putWord(b []byte, v uint32) { binary.NativeEndian.PutUint32(b, v) }

// prefixMask is the mask of a prefix, as long as its address.
func prefixMask(p netip.Prefix) []byte {
	mask := make([]byte, p.Addr().BitLen()/8)
	for i := range mask {
		n := min(max(p.Bits()-8*i, 0), 8)
		mask[i] = byte(uint16(0xff00) >> n)
	}
	return mask
}

// maskBits counts the bits of a mask.
func maskBits(mask []byte) int {
	n := 0
	for _, b := range mask {
		n += bits.OnesCount8(b)
	}
	return n
}

// cString is the text before the first zero byte of an array of C.
func cString(a []int8) string {
	b := make([]byte, 0, len(a))
	for _, c := range a {
		if c == 0 {
			break
		}
		b = append(b, byte(c))
	}
	return string(b)
}

// putCString writes a text with its zero byte; false if it does not fit.
func putCString(a []int8, s string) bool {
	if len(s) >= len(a) {
		return false
	}
	for i := range len(s) {
		a[i] = int8(s[i])
	}
	return true
}
