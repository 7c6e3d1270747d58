package lb

import (
	"fmt"
	"hash/maphash"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"reconciler/internal/driver/lb/plane"
	"reconciler/internal/maglev"
	"reconciler/internal/resource"
)

// verdict is what a buffer of rings says, and what is wrong with it.
type verdict struct {
	shares   []resource.Share
	leaving  []string // backends whose flows may stay
	checksum uint64
	damage   []string
}

// judgement is what a verdict follows from: a ring that was looked at once need
// not be built again to be held against.
type judgement struct {
	sum, sealed uint32
	names       uint64 // of the backends in it
	open        bool
}

// inUse is a buffer as a service uses it.
type inUse struct {
	ring uint16
	open bool // a drain goes on
}

// judge reads a buffer.
func (l *reading) judge(i uint16, open bool) verdict {
	if i == plane.NoRing {
		return verdict{}
	}
	if !l.has(i) {
		return verdict{damage: []string{fmt.Sprintf("its ring is %d, and there are %d", i, l.Capacity().Rings)}}
	}
	use := inUse{i, open}
	if v, ok := l.rings[use]; ok {
		return v
	}
	r := l.ring(i)
	j := judgement{l.RingSum(i), l.Sealed(i), l.nameSum(r), open}
	v, ok := l.d.judged[j]
	if !ok {
		v = l.read(r, open)
		if j.sum != j.sealed && len(v.damage) == 0 {
			v.damage = append(v.damage, "the ring is not as it was written")
		}
	}
	l.rings[use], l.judged[j] = v, v
	return v
}

// nameSum tells whether other backends have the indexes of a ring.
func (l *reading) nameSum(r ring) uint64 {
	var h maphash.Hash
	h.SetSeed(l.d.seed)
	for i, w := range r.weights {
		if w != 0 {
			_, _ = h.WriteString(l.names[i]) // it never fails
			_ = h.WriteByte(0)
		}
	}
	return h.Sum64()
}

// read makes of a ring what it was made of, and holds it against that.
func (l *reading) read(r ring, open bool) (v verdict) {
	for i, w := range r.weights {
		switch name := l.names[i]; {
		case w == 0:
		case name == "":
			v.damage = append(v.damage, fmt.Sprintf("it has a share of backend %d, which is none", i))
		case w == leaving:
			v.leaving = append(v.leaving, name)
		default:
			v.shares = append(v.shares, resource.Share{Backend: name, Weight: w})
		}
	}
	sortedShares(v.shares)
	v.checksum = maglev.Checksum(r.slots, func(id uint16) netip.Addr { return l.addressOf(id) })
	if marks := countMarks(r.slots); marks > 0 && !open {
		v.damage = append(v.damage, fmt.Sprintf("%d slots are marked as moved, and no drain goes on", marks))
	}
	recipe := recipeOf(l.Capacity().RingSize, v.shares)
	if want, err := l.d.ringOf(l.view, recipe, v.shares); err != nil {
		v.damage = append(v.damage, err.Error())
	} else if n := differing(r.slots, want.slots); n > 0 {
		v.damage = append(v.damage, fmt.Sprintf("%d of %d slots of the ring are not as its shares make them", n, len(r.slots)))
	}
	return v
}

func (l *reading) addressOf(id uint16) netip.Addr {
	if int(id) < len(l.backends) {
		return l.backends[id].Address
	}
	return netip.Addr{}
}

// ringOf builds the ring of shares, with the indexes that backends have, as if
// nothing had been before. Its slots are good until the next one is asked for.
func (d *Driver) ringOf(v *view, recipe recipe, shares []resource.Share) (r ring, err error) {
	r.weights = make([]uint8, len(v.names))
	numbers, err := v.numbers(shares)
	if err != nil {
		return r, err
	}
	for i, s := range shares {
		r.weights[numbers[i]] = s.Weight
	}
	built, err := d.builder.build(recipe, shares)
	if err == nil {
		r.slots = d.builder.renamed(built, numbers)
	}
	return r, err
}

// numbers are the indexes of the backends that have shares. Where they are many
// of all there are, walking through both is quicker than looking each one up.
func (v *view) numbers(shares []resource.Share) ([]uint16, error) {
	out := make([]uint16, len(shares))
	var sorted []uint16
	if len(shares) > len(v.indexes)/8 {
		sorted = v.sorted()
	}
	for i, s := range shares {
		for len(sorted) > 0 && v.names[sorted[0]] < s.Backend {
			sorted = sorted[1:]
		}
		if len(sorted) > 0 && v.names[sorted[0]] == s.Backend {
			out[i] = sorted[0]
			continue
		}
		index, ok := v.indexes[s.Backend]
		if !ok {
			return nil, fmt.Errorf("there is no backend %s", s.Backend)
		}
		out[i] = index
	}
	return out, nil
}

// sorted are the indexes of backends in the order of their names.
func (v *view) sorted() []uint16 {
	if len(v.byName) != len(v.indexes) {
		v.byName = slices.SortedFunc(maps.Values(v.indexes), func(a, b uint16) int { return strings.Compare(v.names[a], v.names[b]) })
	}
	return v.byName
}

func countMarks(slots []uint16) (n int) {
	for _, s := range slots {
		n += int(s >> 15)
	}
	return n
}

// differing counts the slots whose owner is another.
func differing(a, b []uint16) (n int) {
	for i := range a {
		if (a[i]^b[i])&owner != 0 {
			n++
		}
	}
	return n
}

// sharesOf are the backends with a live weight in a ring, in the order of their
// names, with their indexes.
func (v *view) sharesOf(r ring) (shares []resource.Share, numbers []uint16) {
	for i := range r.weights {
		if w := r.live(uint16(i)); w > 0 && v.names[i] != "" {
			shares = append(shares, resource.Share{Backend: v.names[i], Weight: w})
		}
	}
	for _, s := range sortedShares(shares) {
		numbers = append(numbers, v.indexes[s.Backend])
	}
	return shares, numbers
}
