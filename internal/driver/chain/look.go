package chain

import (
	"context"
	"fmt"

	"reconciler/internal/observed"
	"reconciler/internal/resource"
)

// look reads everything of ours, and of others what stands where a chain is
// wanted.
func (d *Driver) look(ctx context.Context, q observed.Query) (s observed.State, err error) {
	places, outdated, seen := d.places, d.outdated, d.seen
	defer func() {
		if err != nil { // what was seen last is the best that is known
			d.places, d.outdated, d.seen = places, outdated, seen
		}
	}()
	s = observed.State{Objects: resource.NewSet(16)}
	d.known.next()
	d.places, d.outdated, d.seen = map[resource.Key]string{}, map[resource.Key][]string{}, nil
	if d.pins.Stale() {
		return s, d.observeForeign(&s, q.Want) // pins of a namespace that is gone
	}
	d.blind = nil
	if err := d.observeChains(&s); err != nil {
		return observed.State{}, fmt.Errorf("read chains: %w", err)
	}
	if d.blind != nil {
		return observed.State{}, fmt.Errorf("read chains: %w", d.blind)
	}
	if err := d.observePrograms(&s, q.Want, q.All || len(q.Around) > 0); err != nil {
		return observed.State{}, fmt.Errorf("read programs: %w", err)
	}
	if err := d.observeForeign(&s, q.Want); err != nil {
		return observed.State{}, err
	}
	d.observeMaps(&s, q.Want, q.All || len(q.Around) > 0)
	if q.All {
		d.observeStatistics(&s)
	}
	return s, ctx.Err()
}

// chainsSeen are the chains of ours at the last look.
func (d *Driver) chainsSeen() []resource.Chain { return d.seen }
