package engine

import (
	"github.com/hashicorp/go-multierror"

	"reconciler/internal/desired"
	"reconciler/internal/driver"
	"reconciler/internal/strict"
)

// Faults is what drivers find wrong in what is declared, at its places. What
// this build cannot apply is a warning: another may.
func Faults(d *desired.Desired, drivers []driver.Driver) []*strict.Fault {
	var found []desired.Finding
	for _, one := range drivers {
		for _, o := range d.Want.All() {
			if o.Key().Driver != one.Name() {
				continue
			}
			for _, f := range one.Check(o.Resource) {
				found = append(found, desired.Finding{
					Key: o.Key(), Field: f.Field, Warning: f.Code == driver.Unsupported,
					Problem: &strict.Problem{Code: f.Code, Message: f.Message, Hint: f.Hint},
				})
			}
		}
	}
	return d.Locate(found)
}

// Refused is the error of a tree that a driver finds fault with; warnings are
// none.
func Refused(d *desired.Desired, drivers []driver.Driver) error {
	var errs *multierror.Error
	for _, f := range Faults(d, drivers) {
		if f.Severity == strict.Error {
			errs = multierror.Append(errs, f)
		}
	}
	if errs == nil {
		return nil
	}
	errs.ErrorFormat = strict.Summary
	return errs
}
