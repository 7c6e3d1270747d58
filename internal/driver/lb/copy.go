package lb

import (
	"fmt"

	"reconciler/internal/driver/lb/plane"
)

// copyTables puts what is in tables into others. Indexes stay as they are, so
// what does not fit is refused. With another size of rings they are built anew,
// and nothing is known of where flows were.
func (d *Driver) copyTables(from, to *plane.Plane) error {
	v, err := viewOf(from)
	if err != nil {
		return err
	}
	c := to.Capacity()
	for i, b := range v.names {
		if b == "" {
			continue
		}
		if i >= int(c.Backends) {
			return fmt.Errorf("backend %s has index %d, and there would be room for %d", b, i, c.Backends)
		}
		record, err := from.Backend(uint16(i))
		if err != nil {
			return err
		}
		record.Name, record.Address, record.Encap = v.backends[i].Name, v.backends[i].Address, v.backends[i].Encap
		if err := to.SetBackend(uint16(i), record); err != nil {
			return err
		}
	}
	for name, i := range v.vips {
		if uint32(i) >= c.Services {
			return fmt.Errorf("VIP %s has index %d, and there would be room for %d", name, i, c.Services)
		}
		s, err := d.copyRings(v, to, v.services[i])
		if err != nil {
			return fmt.Errorf("VIP %s: %w", name, err)
		}
		if err := to.SetService(i, s); err != nil {
			return err
		}
	}
	if err := to.SetClaims(v.claims); err != nil {
		return err
	}
	if c.RingSize != from.Capacity().RingSize {
		return nil // the next window must not find them
	}
	return to.CopyFlows(from)
}

// copyRings copies the rings that a service uses.
func (d *Driver) copyRings(v *view, to *plane.Plane, s plane.Service) (plane.Service, error) {
	for _, i := range []*uint16{&s.Ring, &s.Previous} {
		if !v.has(*i) {
			*i = plane.NoRing
			continue
		}
		if uint32(*i) >= to.Capacity().Rings {
			return s, fmt.Errorf("its ring is %d, and there would be room for %d", *i, to.Capacity().Rings)
		}
		r, sealed := v.ring(*i), v.Sealed(*i)
		if to.Capacity().RingSize != v.Capacity().RingSize {
			var err error
			if r, err = d.resized(v, r, to.Capacity().RingSize); err != nil {
				return s, err
			}
			sealed = plane.RingSumOf(r.slots, r.weights)
		}
		weights := make([]uint8, to.Capacity().Backends)
		copy(weights, r.weights)
		if v.Sealed(*i) == v.RingSum(*i) {
			sealed = plane.RingSumOf(r.slots, weights)
		}
		if err := to.WriteRing(*i, r.slots, weights); err != nil {
			return s, err
		}
		to.Seal(*i, sealed)
	}
	if to.Capacity().RingSize != v.Capacity().RingSize {
		s.Previous, s.Opened, s.Until = plane.NoRing, 0, 0
	}
	return s, nil
}

// resized is the ring of another size that has the same shares.
func (d *Driver) resized(v *view, r ring, size uint32) (ring, error) {
	shares, numbers := v.sharesOf(r)
	built, err := d.builder.build(recipeOf(size, shares), shares)
	if err != nil {
		return r, err
	}
	return ring{d.builder.renamed(built, numbers), r.settle().weights}, nil
}
