package plane

import (
	"cmp"
	"errors"
	mathbits "math/bits"
	"slices"
)

// errNoSeed is a table that no seed makes free of collisions: two of its keys
// have one hash.
var errNoSeed = errors.New("no seed spreads the keys: two of them have the same hash")

// seeds is how many are tried; one in two fits a full table.
const seeds = 64

// seed is the nth that is tried, with its bit for the half left clear.
func seed(n int) uint64 {
	x := uint64(n+1) * k1
	x = (x ^ x>>30) * k2
	return (x ^ x>>27) &^ 1
}

// placed says where each key stands, and how each bucket displaces.
type placed struct {
	at       []uint32
	displace map[uint32]uint16
}

// place spreads hashes over 1<<bits elements so that each has one of its own:
// the largest buckets first, which find room while there is some.
func place(hashes []uint64, bits int) (placed, bool) {
	buckets := make(map[uint32][]int)
	for i, h := range hashes {
		b := bucket(h, bits)
		buckets[b] = append(buckets[b], i)
	}
	order := make([]uint32, 0, len(buckets))
	for b := range buckets {
		order = append(order, b)
	}
	slices.SortFunc(order, func(a, b uint32) int {
		return cmp.Or(cmp.Compare(len(buckets[b]), len(buckets[a])), cmp.Compare(a, b))
	})
	p := placed{at: make([]uint32, len(hashes)), displace: make(map[uint32]uint16, len(order))}
	taken := make([]bool, 1<<bits)
	for _, b := range order {
		d, ok := displace(hashes, buckets[b], taken, p.at)
		if !ok {
			return placed{}, false
		}
		p.displace[b] = d
	}
	return p, true
}

// displace finds a number that gives each key of a bucket a free element, and
// takes them.
func displace(hashes []uint64, keys []int, taken []bool, at []uint32) (uint16, bool) {
	bits := mathbits.TrailingZeros(uint(len(taken)))
	for d := uint16(1); d != 0; d++ {
		n := 0
		for ; n < len(keys); n++ {
			i := displaced(hashes[keys[n]], d, bits)
			if taken[i] {
				break
			}
			taken[i], at[keys[n]] = true, i
		}
		if n == len(keys) {
			return d, true
		}
		for _, k := range keys[:n] {
			taken[at[k]] = false
		}
	}
	return 0, false
}
