package chain

import (
	"context"
	"fmt"

	"reconciler/internal/observed"
	"reconciler/internal/resource"
)

// look reads everything of ours, and of others what stands where a chain is
// wanted.
func (d *Driver) look(ctx context.Context, q observed.Query) (observed.State, error) {
	s := observed.State{Objects: resource.NewSet(16)}
	d.known.next()
	clear(d.places)
	clear(d.outdated)
	d.seen = d.seen[:0]
	if d.pins.stale(d.cfg.Cookie) {
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
	d.observeMaps(&s, q.Want)
	if q.All {
		d.observeStatistics(&s)
	}
	return s, ctx.Err()
}

// chainsSeen are the chains of ours at the last look.
func (d *Driver) chainsSeen() []resource.Chain { return d.seen }
