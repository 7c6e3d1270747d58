package netlink

import (
	"reconciler/internal/diff"
	"reconciler/internal/driver"
	"reconciler/internal/observed"
	"reconciler/internal/resource"
)

// Check tells what is wrong with a resource in itself.
func (d *Driver) Check(r resource.Resource) []driver.Fault { return nil }

// Annotate tells what the operations of a plan cost.
func (d *Driver) Annotate(have observed.State, plan *diff.Plan) {}
