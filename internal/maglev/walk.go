package maglev

// walk goes through all slots in an order of its own: a start and a skip, which
// the address decides.
type walk struct {
	at   int32  // the slot to try next
	back int32  // the skip less the size, so negative
	id   uint16 // of the backend
}

// newWalk spreads starts and skips over all there are. The halves of one hash
// serve: together they are as many as pairs of a start and a skip.
func newWalk(e entry, size int) walk {
	h := e.hash()
	skip := 1 + Slot(uint32(h), size-1)
	return walk{at: int32(Slot(uint32(h>>32), size)), back: int32(skip - size), id: e.id}
}

// step is where a walk goes from a slot. It has no branch, which would be a
// coin's toss to the processor.
func step(at, back, size int32) int32 {
	at += back
	return at + size&(at>>31)
}

// golden is 2^64 divided by the golden ratio, the step of splitmix64.
const golden = 0x9e3779b97f4a7c15

// mix is the finalizer of splitmix64: every bit of x sways each bit of the
// result. Its constants are David Stafford's Mix13, as in Steele, Lea and
// Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
