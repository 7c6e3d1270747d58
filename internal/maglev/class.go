package maglev

import (
	"cmp"
	"slices"
)

// class is the members of one weight: they stand together in the order of the
// builder and take their turns together.
type class struct {
	weight, count int
	each          int // slots that every member still takes
	extra         int // how many members, the first by address, take one more
	rest          int // of a division: who has the largest takes one more
	credit        int
}

// apportion divides the slots of a ring by the largest remainders: each member
// has its exact share, rounded up or down. Nobody with a weight goes without a
// slot. Classes are sorted, the heaviest first, and have no more members than
// there are slots; order is scratch space.
func apportion(size int, classes []class, order []*class) {
	slots, sum := size, 0
	for _, c := range classes {
		sum += c.weight * c.count
	}
	exact := len(classes)
	for ; slots*classes[exact-1].weight < sum; exact-- {
		c := &classes[exact-1]
		c.each = 1
		slots -= c.count
		sum -= c.weight * c.count
	}
	left := slots
	for i := range classes[:exact] {
		c := &classes[i]
		c.each, c.rest = slots*c.weight/sum, slots*c.weight%sum
		left -= c.each * c.count
		order = append(order, c)
	}
	slices.SortStableFunc(order, func(a, b *class) int { return cmp.Compare(b.rest, a.rest) })
	for _, c := range order {
		c.extra = min(c.count, left)
		left -= c.extra
	}
}

// earn adds the weight to the credit of a class, and tells how many of its
// members take a slot in this turn.
//
// The heaviest take one slot in each turn, and the others one whenever their
// weights add up to that of the heaviest, beginning with the first turn. With
// as many slots in a row as the weight says, one of 1,000 backends that goes
// from 100 to 99 would move 48 % of all slots, because a turn gets a hundred
// times as long when the weights have no divisor in common any more. So it
// moves 0.03 %, which is no more than in the exact order, by (turn + 1/2) /
// weight, and that would take a heap and five times as long.
func (c *class) earn(heaviest int) (takers int) {
	c.credit += c.weight
	if c.credit < heaviest {
		return 0
	}
	c.credit -= heaviest
	if c.each > 0 {
		c.each--
		return c.count
	}
	takers, c.extra = c.extra, 0
	return takers
}
