package desired

import (
	"reconciler/internal/resource"
	"reconciler/internal/strict"
)

// Finding is what somebody who knows no YAML, such as a driver, says of a
// wanted resource.
type Finding struct {
	Key     resource.Key
	Field   string // the attribute, as in YAML; empty for the resource as a whole
	Warning bool
	Problem *strict.Problem
}

// Locate gives findings their places in the tree that Load returned: those of
// the field where it is written, else of what declares the resource.
func (d *Desired) Locate(found []Finding) []*strict.Fault {
	if len(found) == 0 {
		return nil
	}
	var report strict.Report
	for _, f := range found {
		at := d.at[f.Key]
		if v := at.Get(f.Field); v != nil {
			at = v
		}
		switch {
		case at == nil:
			report.AtPos(strict.Pos{}, f.Problem)
		case f.Warning:
			report.Warn(at, f.Problem)
		default:
			report.At(at, f.Problem)
		}
	}
	return report.Faults(d.Merged.root)
}
