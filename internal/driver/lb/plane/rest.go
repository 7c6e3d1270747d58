package plane

import "time"

// grace is longer than the program takes for a packet: what was taken out of
// force so long ago is read by nobody.
const grace = time.Millisecond

// rest remembers when rings and the other half of the table were last in force.
type rest struct {
	table time.Time
	rings map[uint16]time.Time
}

func (r *rest) leaves(ring uint16, now time.Time) {
	if r.rings == nil {
		r.rings = make(map[uint16]time.Time)
	}
	r.rings[ring] = now
}

func (r *rest) awaitRing(ring uint16) {
	time.Sleep(time.Until(r.rings[ring].Add(grace)))
	delete(r.rings, ring)
}

func (r *rest) awaitTable() { time.Sleep(time.Until(r.table.Add(grace))) }
