package maglev

import "net/netip"

// Checksum tells rings apart by the addresses of the backends in them, so that
// hosts which number their backends differently agree. addressOf is asked once
// for each id in the ring; an address that is not valid stands for itself. The
// bit above the ids is ignored. It is no proof against somebody who wants two
// rings to look the same.
func Checksum(ring []uint16, addressOf func(id uint16) netip.Addr) uint64 {
	var marks [None + 1]uint64 // of ids; 0: not asked yet
	marks[None] = golden
	sum := mix(uint64(len(ring)))
	for _, id := range ring {
		id &= owner
		if marks[id] == 0 {
			marks[id] = mark(addressOf(id))
		}
		sum = (sum ^ marks[id]) * 0xff51afd7ed558ccd
		sum ^= sum >> 32
	}
	return mix(sum)
}

func mark(a netip.Addr) uint64 {
	if !a.IsValid() {
		return 1
	}
	return entryAt(a).hash() | 2
}
