package lb

import (
	"errors"
	"fmt"
	"slices"

	"reconciler/internal/driver/lb/plane"
)

var errNoIdle = errors.New("no ring is idle")

// pool is the buffers of rings: which are in use, and by what they hold.
type pool struct {
	v     *view
	uses  []int               // of buffers, by services
	bySum map[uint32][]uint16 // buffers in use, by the sum that they are sealed with
	begun []bool              // buffers that were in use, or were handed out
	// reused is set once a buffer holds something else than when the batch
	// began.
	reused bool
	names  []bool // backends that are named; nil before the first need
}

func newPool(v *view) *pool {
	p := &pool{v: v, uses: make([]int, v.Capacity().Rings), bySum: map[uint32][]uint16{}}
	for _, s := range v.services {
		p.take(s.Ring)
		p.take(s.Previous)
	}
	for i, n := range p.uses {
		if n > 0 {
			sum := v.Sealed(uint16(i))
			p.bySum[sum] = append(p.bySum[sum], uint16(i))
		}
	}
	return p
}

// begin begins a batch.
func (p *pool) begin() {
	p.begun, p.reused, p.names = make([]bool, len(p.uses)), false, nil
	for i, n := range p.uses {
		p.begun[i] = n > 0
	}
}

func (p *pool) take(i uint16) {
	if int(i) < len(p.uses) {
		p.uses[i]++
	}
}

// give takes a use back. What nobody uses is found by nobody.
func (p *pool) give(i uint16) {
	if int(i) >= len(p.uses) {
		return
	}
	if p.uses[i]--; p.uses[i] == 0 {
		sum := p.v.Sealed(i)
		p.bySum[sum] = slices.DeleteFunc(p.bySum[sum], func(j uint16) bool { return i == j })
	}
}

// set makes a service use other buffers.
func (p *pool) set(i uint16, s plane.Service) error {
	was := p.v.services[i]
	if err := p.v.SetService(i, s); err != nil {
		return err
	}
	p.take(s.Ring)
	p.take(s.Previous)
	p.give(was.Ring)
	p.give(was.Previous)
	p.v.services[i] = s
	return nil
}

// place finds the buffer in use that holds a ring, or writes it to a free one.
func (p *pool) place(r ring) (uint16, error) {
	sum := plane.RingSumOf(r.slots, r.weights)
	for _, i := range p.bySum[sum] {
		if p.v.Sealed(i) == sum && p.v.HoldsRing(i, r.slots, r.weights) {
			return i, nil
		}
	}
	i, err := p.free()
	if err != nil {
		return 0, err
	}
	if err := p.v.WriteRing(i, r.slots, r.weights); err != nil {
		return 0, err
	}
	p.v.Seal(i, sum)
	p.bySum[sum] = append(p.bySum[sum], i)
	return i, nil
}

// free is a buffer that nobody uses. One that was in use when the batch began
// is the last resort: what was told of it is no longer so.
func (p *pool) free() (uint16, error) {
	for _, last := range []bool{false, true} {
		for range p.uses {
			i := p.v.next
			p.v.next = (i + 1) % uint16(len(p.uses))
			if p.uses[i] == 0 && (last || !p.begun[i]) {
				p.begun[i] = true
				p.reused = p.reused || last
				return i, nil
			}
		}
	}
	draining := 0
	for _, s := range p.v.services {
		if s.Open() {
			draining++
		}
	}
	return 0, fmt.Errorf("%w: all %d are in use, and %d VIPs drain (max-rings makes room)", errNoIdle, len(p.uses), draining)
}

// intact reports that a buffer holds what was written.
func (p *pool) intact(i uint16) bool { return p.v.RingSum(i) == p.v.Sealed(i) }
