package plane

import (
	"encoding/binary"
	"net/netip"

	"reconciler/internal/driver/lb/bpf"
)

// The constants and functions of table.h and flow.h.
const (
	k1 = 0x9e3779b97f4a7c15
	k2 = 0xc2b2ae3d27d4eb4f
	k3 = 0x165667b19e3779f9
	k4 = 0xd6e8feb86659fd93
)

// wordsOf is an address as the program reads it: the bytes of the packet.
func wordsOf(a netip.Addr) (w [4]uint32, family uint8) {
	if a.Is4() {
		b := a.As4()
		return [4]uint32{native.Uint32(b[:])}, 4
	}
	b := a.As16()
	for i := range w {
		w[i] = native.Uint32(b[4*i:])
	}
	return w, 6
}

// addressOf is the opposite of wordsOf.
func addressOf(w [4]uint32, family uint8) netip.Addr {
	var b [16]byte
	for i := range w {
		native.PutUint32(b[4*i:], w[i])
	}
	if family == 4 {
		return netip.AddrFrom4([4]byte(b[:4]))
	}
	return netip.AddrFrom16(b)
}

func fold(w [4]uint32, family uint8) uint64 {
	if family == 4 {
		return uint64(w[0])
	}
	return fold6(w)
}

func fold6(w [4]uint32) uint64 {
	high, low := uint64(w[1])<<32|uint64(w[0]), uint64(w[3])<<32|uint64(w[2])
	return (high^k2)*k1 + low
}

// bucket is one of 1<<bits.
func bucket(hash uint64, bits int) uint32 { return uint32(hash >> (64 - bits)) }

func displaced(hash uint64, displace uint16, bits int) uint32 {
	hash = (hash ^ hash>>32) * k3
	return (uint32(hash>>32) + uint32(displace)*(uint32(hash)|1)) & (1<<bits - 1)
}

// hashOfClaim is of the address itself, not of where it stands.
func hashOfClaim(address uint64, protocol uint8, port uint16, live uint64) uint64 {
	return (address + claimOf(0, protocol, port)*k2) * (live | 1)
}

func hashFlow(f bpf.LBFlow, sticky bool) uint64 {
	src, dst := uint64(f.Src[1])<<32|uint64(f.Src[0]), uint64(f.Dst[0])
	if f.Family == 6 {
		src = (src^k2)*k4 + (uint64(f.Src[3])<<32 | uint64(f.Src[2]))
		dst = fold6(f.Dst)
	}
	hash := src * k1
	if !sticky {
		hash += dst*k3 + (uint64(f.Ports)<<8|uint64(f.Protocol))*k2
	}
	hash = (hash ^ hash>>32) * k4
	hash = (hash ^ hash>>29) * k1
	return hash ^ hash>>32
}

func slotOf(hash uint64, ringSize uint32) uint32 {
	return uint32((hash >> 32) * uint64(ringSize) >> 32)
}

// portsOf is a pair of ports as a header has them.
func portsOf(source, destination uint16) uint32 {
	var b [4]byte
	binary.BigEndian.PutUint16(b[:], source)
	binary.BigEndian.PutUint16(b[2:], destination)
	return native.Uint32(b[:])
}
