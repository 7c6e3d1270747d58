package maglev

import "math/bits"

// few is how many slots are worth looking at one by one, instead of walking
// until a walk comes by one of them. Half of all tries would be for the last
// 256 of 65,537, and a sixth of the time.
const few = 256

// takeLast is take when few slots are left.
func (b *Builder) takeLast(ring []uint16, walks []walk) {
	if len(walks) == 0 {
		return
	}
	m := newModulus(uint32(len(ring)))
	if len(b.free) == 0 {
		b.listFree(len(ring))
	}
	for i := range walks {
		w := &walks[i]
		k := m.nearest(b.free, w)
		at := b.free[k]
		ring[at] = w.id
		w.at = step(at, w.back, int32(m.size))
		end := len(b.free) - 1
		b.free[k] = b.free[end]
		b.free = b.free[:end]
	}
}

func (b *Builder) listFree(size int) {
	for at := range int32(size) {
		if !b.has(at) {
			b.free = append(b.free, at)
		}
	}
}

// modulus divides by a prime of up to 17 bits, by multiplying.
type modulus struct {
	size  uint32
	magic uint64 // 2^64 / size, rounded up
}

func newModulus(size uint32) modulus { return modulus{size, ^uint64(0)/uint64(size) + 1} }

// of is the rest of x, which is below 2^35 (Lemire, Kaser and Kurz, "Faster
// remainder by direct computation", 2019).
func (m modulus) of(x uint64) uint64 {
	rest, _ := bits.Mul64(m.magic*x, uint64(m.size))
	return rest
}

// inverse is x^(size-2), as Fermat has it.
func (m modulus) inverse(x uint64) uint64 {
	y := uint64(1)
	for e := m.size - 2; e > 0; e >>= 1 {
		if e&1 != 0 {
			y = m.of(y * x)
		}
		x = m.of(x * x)
	}
	return y
}

// nearest is the index of the slot that a walk comes to first: the way to a
// slot, divided by the skip, is the number of steps.
func (m modulus) nearest(slots []int32, w *walk) (index int) {
	perStep := m.inverse(uint64(int32(m.size) + w.back))
	best := uint64(m.size)
	for k, at := range slots {
		way := uint64(uint32(at) + m.size - uint32(w.at))
		if steps := m.of(way * perStep); steps < best {
			best, index = steps, k
		}
	}
	return index
}
