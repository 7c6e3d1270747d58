package maglev

// owner masks the id in a slot.
const owner = None

// Churn is what a change of a ring does to the flows that hash to it: all
// counts are slots.
type Churn struct {
	// Slots is the size of the ring; of two sizes the larger.
	Slots int
	// Moved had a backend before, and have another now, or none.
	Moved int
	// Must is the least that any ring of the new shares would move: what
	// backends lost that left or have less.
	Must int
}

// Collateral is what moved beyond need.
func (c Churn) Collateral() int { return c.Moved - c.Must }

// Compare tells what moved between two rings of the same ids. The bit above
// the ids is ignored. Rings of different sizes are held against each other as a
// flow's hash would see them; in an empty one nothing has a backend.
func Compare(before, after []uint16) Churn {
	c := Churn{Slots: max(len(before), len(after))}
	var lost [None + 1]int32
	for i := range c.Slots {
		x, y := at(before, i, c.Slots), at(after, i, c.Slots)
		if x == y {
			continue
		}
		lost[x]++
		lost[y]--
		if x != None {
			c.Moved++
		}
	}
	for _, n := range lost[:None] {
		c.Must += int(max(0, n))
	}
	return c
}

// at is the owner in a ring of what would be slot i of one with some slots.
func at(ring []uint16, i, slots int) uint16 {
	switch len(ring) {
	case 0:
		return None
	case slots:
		return ring[i] & owner
	}
	return ring[(2*i+1)*len(ring)/(2*slots)] & owner
}
