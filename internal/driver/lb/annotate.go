package lb

import "reconciler/internal/diff"
import "reconciler/internal/observed"

func (d *Driver) Annotate(have observed.State, plan *diff.Plan) {}
