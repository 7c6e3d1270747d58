package maglev

import (
	"fmt"
	"net/netip"
	"slices"
)

// Member is a backend of a ring.
type Member struct {
	// Address decides which slots it has. Zones do not count: they are a
	// host's own.
	Address netip.Addr
	// Weight is its share in relation to the other weights; with 0 it has no
	// slot.
	Weight uint16
	// ID stands for it in the ring and decides nothing. It is below None.
	ID uint16
}

// Sizes of memory are powers of two, so that no index need be checked.
const (
	words = 1 << 11        // of 64 bits, for MaxSize bits
	seats = 2 * MaxMembers // for addresses by their hash
)

// Builder builds rings, one at a time; it is worth keeping, since it owns the
// memory for that. The zero value is ready.
type Builder struct {
	entries []entry
	walks   []walk
	classes []class
	order   []*class
	seen    [seats]uint16 // 1 + index of an entry
	taken   [words]uint64 // a bit for each slot
	free    []int32       // the last slots
}

// Build fills a ring of prime length, at most MaxSize. The order of members
// does not matter. Without a member of any weight all slots are None. After
// an error the ring is what it was; only ErrTooSmall depends on weights: there
// are fewer slots than members that want one.
func (b *Builder) Build(ring []uint16, members []Member) error {
	if err := CheckSize(len(ring)); err != nil {
		return err
	}
	if err := b.enter(members); err != nil {
		return err
	}
	if len(b.entries) > len(ring) {
		return fmt.Errorf("%w: %d slots for %d backends", ErrTooSmall, len(ring), len(b.entries))
	}
	if len(b.entries) == 0 {
		for i := range ring {
			ring[i] = None
		}
		return nil
	}
	b.classify(len(ring))
	clear(b.taken[:len(ring)>>6+1])
	b.fill(ring)
	return nil
}

// classify makes the walks and classes of the entries.
func (b *Builder) classify(size int) {
	b.walks, b.classes = b.walks[:0], b.classes[:0]
	for i, e := range b.entries {
		b.walks = append(b.walks, newWalk(e, size))
		if i == 0 || b.entries[i-1].weight != e.weight {
			b.classes = append(b.classes, class{weight: int(e.weight)})
		}
		b.classes[len(b.classes)-1].count++
	}
	heaviest := b.classes[0].weight
	for i := range b.classes {
		b.classes[i].credit = heaviest - b.classes[i].weight
	}
	b.order = slices.Grow(b.order[:0], len(b.classes))
	apportion(size, b.classes, b.order)
}

// fill lets the classes take their turns until no slot is left.
func (b *Builder) fill(ring []uint16) {
	heaviest := b.classes[0].weight
	for left := len(ring); left > 0; {
		walks := b.walks
		for i := range b.classes {
			c := &b.classes[i]
			if takers := walks[:c.earn(heaviest)]; len(takers) > 0 {
				many := min(len(takers), max(0, left-few))
				b.take(ring, takers[:many])
				b.takeLast(ring, takers[many:])
				left -= len(takers)
			}
			walks = walks[c.count:]
		}
	}
}

// take gives each walk the next slot on its way that is free. One is.
func (b *Builder) take(ring []uint16, walks []walk) {
	size := int32(len(ring))
	for i := range walks {
		w := &walks[i]
		at := w.at
		if b.has(at) {
			at = b.search(at, w.back, size)
		}
		b.taken[at>>6&(words-1)] |= 1 << (at & 63)
		ring[at] = w.id
		w.at = step(at, w.back, size)
	}
}

// has tells whether a slot is taken.
func (b *Builder) has(slot int32) bool { return b.taken[slot>>6&(words-1)]&(1<<(slot&63)) != 0 }

// search goes on from a slot that is taken to the next that is not. Most of
// the time is spent here, since each step waits for the one before. So two
// walks go in turns, with twice the skip.
func (b *Builder) search(even, back, size int32) int32 {
	odd := step(even, back, size)
	twice := step(back+size, back, size) - size
	for {
		if !b.has(odd) {
			return odd
		}
		even = step(even, twice, size)
		if !b.has(even) {
			return even
		}
		odd = step(odd, twice, size)
	}
}
