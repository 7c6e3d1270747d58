package maglev

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
)

// pool has n backends with weights by their number, ids from 0 and addresses
// that follow each other.
func pool(n int, weight func(i int) uint16) []Member {
	var out []Member
	for i := range n {
		a := netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)})
		out = append(out, Member{Address: a, Weight: weight(i), ID: uint16(i)})
	}
	return out
}

func equal(int) uint16   { return 100 }
func mixed(i int) uint16 { return uint16(1 + i*37%100) }

// scattered is a pool with addresses of both families from all over.
func scattered(r *rand.Rand, n int, weight func(i int) uint16) []Member {
	out := pool(n, weight)
	for i := range out {
		var a [16]byte
		for k := range a {
			a[k] = byte(r.Uint32())
		}
		if out[i].Address = netip.AddrFrom16(a); i%2 == 0 {
			out[i].Address = netip.AddrFrom4([4]byte(a[:4]))
		}
	}
	return out
}

// with is a copy of a pool in which one backend has another weight.
func with(members []Member, i int, weight uint16) []Member {
	out := slices.Clone(members)
	out[i].Weight = weight
	return out
}

func build(t testing.TB, size int, members []Member) []uint16 {
	t.Helper()
	ring := make([]uint16, size)
	var b Builder
	if err := b.Build(ring, members); err != nil {
		t.Fatal(err)
	}
	return ring
}

// slots counts the slots of each id.
func slots(ring []uint16) map[uint16]int {
	out := make(map[uint16]int)
	for _, id := range ring {
		out[id]++
	}
	return out
}

func addressOf(members []Member) func(uint16) netip.Addr {
	return func(id uint16) netip.Addr {
		for _, m := range members {
			if m.ID == id {
				return m.Address
			}
		}
		return netip.Addr{}
	}
}
