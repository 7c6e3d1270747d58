package apply

import (
	"context"

	"reconciler/internal/diff"
	"reconciler/internal/driver"
)

func run(context.Context, diff.Plan, []driver.Driver) Report { panic("apply: not built yet") }

// Err returns the failures at the root, not what they blocked, as a
// *multierror.Error; nil if all was done.
func (r Report) Err() error { panic("apply: not built yet") }
