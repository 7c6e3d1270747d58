package plane

import "fmt"

// Of a slot: the lower 15 bits are the backend's index.
const (
	Moved  = 0x8000 // its owner changed lately: flows of the former one are asked for
	Nobody = 0x7fff // the index of no backend
)

// ReadRing copies a buffer's slots into buf, which is as long as the ring.
func (p *Plane) ReadRing(i uint16, buf []uint16) error {
	if err := p.checkRing(i, len(buf)); err != nil {
		return err
	}
	copy(buf, p.rings.at(int(i)).Slots[:])
	return nil
}

// WriteRing fills a buffer that no service has, and notes from which weights,
// of all backends by their index, it was built; those left out are 0.
func (p *Plane) WriteRing(i uint16, ring []uint16, weights []uint8) error {
	if err := p.checkRing(i, len(ring)); err != nil {
		return err
	}
	if len(weights) > int(p.capacity.Backends) {
		return fmt.Errorf("ring %d: weights of %d backends, and room for %d", i, len(weights), p.capacity.Backends)
	}
	p.rested.awaitRing(i)
	copy(p.rings.at(int(i)).Slots[:], ring)
	mine := p.weightsOf(i)
	clear(mine[copy(mine, weights):])
	return nil
}

// Weights is from what a buffer's ring was built: a weight for each index.
func (p *Plane) Weights(i uint16) ([]uint8, error) {
	if err := p.checkRing(i, int(p.capacity.RingSize)); err != nil {
		return nil, err
	}
	return append([]uint8(nil), p.weightsOf(i)...), nil
}

func (p *Plane) weightsOf(i uint16) []uint8 {
	stride := int(weightsStride(p.capacity))
	return p.weights[int(i)*stride:][:p.capacity.Backends]
}

func (p *Plane) checkRing(i uint16, slots int) error {
	if uint32(i) >= p.capacity.Rings {
		return fmt.Errorf("ring %d: there is room for %d", i, p.capacity.Rings)
	}
	if slots != int(p.capacity.RingSize) {
		return fmt.Errorf("ring %d has %d slots, and not %d", i, p.capacity.RingSize, slots)
	}
	return nil
}
