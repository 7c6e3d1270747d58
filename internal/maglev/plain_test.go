package maglev

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"
)

// plain is what Build promises, written down without a thought of speed: the
// shares by division, and turns in which everybody walks one slot at a time.
func plain(size int, members []Member) []uint16 {
	members = slices.DeleteFunc(slices.Clone(members), func(m Member) bool { return m.Weight == 0 })
	slices.SortFunc(members, func(a, b Member) int {
		x, y := a.Address.As16(), b.Address.As16()
		return cmp.Or(cmp.Compare(b.Weight, a.Weight), slices.Compare(x[:], y[:]))
	})
	ring := slices.Repeat([]uint16{None}, size)
	if len(members) == 0 {
		return ring
	}
	want := plainShares(size, members)
	tries := make([]int, len(members))
	credit := make([]int, len(members))
	for i, m := range members {
		credit[i] = int(members[0].Weight - m.Weight)
	}
	for free := size; free > 0; {
		for i, m := range members {
			if credit[i] += int(m.Weight); credit[i] < int(members[0].Weight) {
				continue
			}
			credit[i] -= int(members[0].Weight)
			if want[i] == 0 {
				continue
			}
			w := newWalk(entryAt(m.Address), size)
			skip := int(w.back) + size
			for {
				at := (int(w.at) + tries[i]*skip) % size
				tries[i]++
				if ring[at] == None {
					ring[at] = m.ID
					break
				}
			}
			want[i]--
			free--
		}
	}
	return ring
}

// plainShares are largest remainders, after a slot each for those who have a
// right to less than one.
func plainShares(size int, members []Member) []int {
	shares := make([]int, len(members))
	sum, exact := 0, len(members)
	for _, m := range members {
		sum += int(m.Weight)
	}
	for ; size*int(members[exact-1].Weight) < sum; exact-- {
		shares[exact-1] = 1
		size--
		sum -= int(members[exact-1].Weight)
	}
	order := make([]int, exact)
	left := size
	for i := range order {
		order[i] = i
		shares[i] = size * int(members[i].Weight) / sum
		left -= shares[i]
	}
	rest := func(i int) int { return size * int(members[i].Weight) % sum }
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(rest(b), rest(a)) })
	for _, i := range order[:left] {
		shares[i]++
	}
	return shares
}

func TestBuildIsThePlainAlgorithm(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, size := range []int{2, 3, 5, 7, 13, 61, 251, 1021, 4099, MaxSize} {
		for range 12 {
			n := 1 + r.IntN(min(size, 200))
			top := 1 + r.Uint32N(1+r.Uint32N(120))
			members := scattered(r, n, func(int) uint16 { return uint16(r.Uint32N(top + 1)) })
			if got, want := build(t, size, members), plain(size, members); !slices.Equal(got, want) {
				t.Fatalf("ring of %d slots for %d backends, weights up to %d, is not the plain one", size, n, top)
			}
		}
	}
}
