package engine

import (
	"context"

	"reconciler/internal/diff"
	"reconciler/internal/driver"
	"reconciler/internal/observed"
	"reconciler/internal/resource"
)

// Planner makes a plan of what is wanted. It reads the dataplanes and changes
// nothing.
type Planner struct {
	Drivers []driver.Driver
	Protect Protection
	Guard   diff.Guard
	// AllowPrune releases what Guard would hold.
	AllowPrune bool
	// Decide bends what is wanted to the facts, between bind and compute. Nil
	// for one-shot commands.
	Decide func(want *resource.Set, have observed.State) (*resource.Set, []diff.Note)
}

// Planned is a plan with what it was made from.
type Planned struct {
	Plan diff.Plan
	Want *resource.Set // bound
	Have observed.State
}

// Plan observes, binds and compares. With all, everything on the host is
// looked at and counted, for a person to read. The error says that nothing
// could be planned at all; what could not be read is in Plan.Blind.
func (p Planner) Plan(ctx context.Context, want *resource.Set, all bool) (Planned, error) {
	panic("engine: not built yet")
}
