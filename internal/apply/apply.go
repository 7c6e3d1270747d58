// Package apply runs a plan: prepares, groups independent operations into
// batches, blocks what depended on a failure, and reports.
//
// It never decides what to do: the plan's order is the order. It imports
// resource, diff and driver.
package apply

import (
	"context"

	"reconciler/internal/diff"
	"reconciler/internal/driver"
)

// Outcome is what became of one operation.
type Outcome uint8

// Outcomes. The zero value is an operation that was never reached.
const (
	NotRun Outcome = iota
	Done
	Failed
	Blocked // something it comes after did not succeed
)

// Result is the outcome of one operation of the plan, at the same index.
type Result struct {
	Outcome Outcome
	Err     error // of Failed, and of NotRun the context's
	By      int   // of Blocked: the index of the root that failed
}

// Report says what became of a plan.
type Report struct {
	Plan    diff.Plan
	Results []Result
	Batches int
}

// Run executes a plan. Operations that do not depend on a failed one go on.
func Run(ctx context.Context, plan diff.Plan, drivers []driver.Driver) Report {
	return run(ctx, plan, drivers)
}
