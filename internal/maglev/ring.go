// Package maglev builds the lookup tables of the load balancer, its rings: for
// each slot of a ring the backend that serves it. They are those of Maglev
// (Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load
// Balancer", NSDI 2016, section 3.4), with exact weights.
//
// A ring follows from its members alone, so that two hosts which never spoke
// build the same one: what is computed here is a promise between versions too.
//
// It owns the ring as a value: building it, comparing two, telling one by its
// sum. It knows no map, no packet and no health, and imports nothing of ours.
package maglev

import (
	"errors"
	"fmt"
)

const (
	// None is the slot of a ring without a backend. Ids are below it; the bit
	// above it is the dataplane's.
	None = 0x7fff
	// MaxSize is the size of the largest ring, and the usual one.
	MaxSize = 65537
	// MaxMembers is how many backends may share a ring, weight 0 included.
	MaxMembers = 4096
)

// ErrTooSmall is what errors wrap when a larger ring would help.
var ErrTooSmall = errors.New("ring too small")

// Slot is where a flow's hash lands in a ring of some size, without a division.
func Slot(hash uint32, size int) int { return int(uint64(hash) * uint64(size) >> 32) }

// CheckSize refuses sizes that no ring can have: only in a ring of prime size
// does every walk come by every slot.
func CheckSize(size int) error {
	if size < 2 || size > MaxSize {
		return fmt.Errorf("ring of %d slots: must be 2 to %d", size, MaxSize)
	}
	for d := 2; d*d <= size; d++ {
		if size%d == 0 {
			return fmt.Errorf("ring of %d slots: must be prime, and %d divides it", size, d)
		}
	}
	return nil
}

// CheckWeights refuses weights that a ring of some size is too coarse for: one
// step of weight, after division by what all have in common, must be worth a
// slot. Build takes them nevertheless, since a ring of what health leaves must
// come about; there a share may be off by more than one slot.
func CheckWeights(size int, weights []uint16) error {
	sum, common := 0, 0
	for _, w := range weights {
		sum += int(w)
		common = gcd(common, int(w))
	}
	if sum > size*common {
		return fmt.Errorf("%w for the weights: they sum up to %d, and it has %d slots", ErrTooSmall, sum/common, size)
	}
	return nil
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
