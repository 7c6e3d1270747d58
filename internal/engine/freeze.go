package engine

import (
	"strings"

	"reconciler/internal/diff"
	"reconciler/internal/driver"
	"reconciler/internal/resource"
)

// Loses lists what stops to flow while nobody writes to the dataplanes of some
// drivers.
func Loses(drivers []driver.Driver) []string {
	var out []string
	for _, d := range drivers {
		if f, ok := d.(driver.Freezer); ok {
			out = append(out, f.Freeze().Loses...)
		}
	}
	return out
}

// tellFreeze says of a handover what goes on meanwhile, and what does not.
func (p *Planner) tellFreeze(plan *diff.Plan) {
	for i := range plan.Ops {
		op := &plan.Ops[i]
		to, ok := op.To.(resource.Self)
		from, _ := op.From.(resource.Self)
		if !ok || to.Dir == from.Dir {
			continue
		}
		var keeps []string
		for _, d := range p.Drivers {
			if f, ok := d.(driver.Freezer); ok {
				keeps = append(keeps, f.Freeze().Keeps...)
			}
		}
		op.Effects = append(op.Effects, "meanwhile goes on: "+strings.Join(keeps, ", "))
		if loses := Loses(p.Drivers); len(loses) > 0 {
			op.Disruption = strings.Join(loses, ", ") + " stop meanwhile"
		}
	}
}
