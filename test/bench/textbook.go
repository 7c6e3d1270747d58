package main

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"net/netip"
)

// textbook is the population of a lookup table as the paper on Maglev has it
// (NSDI 2016, section 3.4), for backends of equal weight. Its permutations are
// computed as they are walked: as the table that the paper draws, those of
// 1,000 backends take half a gigabyte.
func textbook(size int, names []string) []int {
	offset, skip, next := make([]int, len(names)), make([]int, len(names)), make([]int, len(names))
	for i, name := range names {
		offset[i] = int(hashed("offset", name) % uint64(size))
		skip[i] = int(hashed("skip", name)%uint64(size-1)) + 1
	}
	entry := make([]int, size)
	for j := range entry {
		entry[j] = -1
	}
	for n := 0; ; {
		for i := range names {
			c := (offset[i] + next[i]*skip[i]) % size
			for entry[c] >= 0 {
				next[i]++
				c = (offset[i] + next[i]*skip[i]) % size
			}
			entry[c] = i
			next[i]++
			if n++; n == size {
				return entry
			}
		}
	}
}

// hashed is one of two hashes of a name.
func hashed(which, name string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(which + name))
	return binary.BigEndian.Uint64(h.Sum(nil))
}

// even fails unless each of n backends has its share of a table, rounded up or
// down.
func even[T int | uint16](table []T, n int) error {
	has := make(map[int]int)
	for _, owner := range table {
		has[int(owner)]++
	}
	for owner := range n {
		if less := len(table) / n; has[owner] != less && has[owner] != less+1 {
			return fmt.Errorf("backend %d has %d of %d slots", owner, has[owner], len(table))
		}
	}
	return nil
}

func addresses(n int) (out []netip.Addr) {
	for i := range n {
		out = append(out, nth("10.0.0.0/32", i).Addr())
	}
	return out
}
