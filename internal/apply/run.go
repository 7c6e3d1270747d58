package apply

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/hashicorp/go-multierror"

	"reconciler/internal/diff"
	"reconciler/internal/driver"
)

// run goes through the plan in its order. Operations of one driver that do not
// wait for each other go to it together.
func run(ctx context.Context, plan diff.Plan, drivers []driver.Driver) Report {
	r := &runner{ctx: ctx, drivers: map[string]driver.Driver{}}
	for _, d := range drivers {
		r.drivers[d.Name()] = d
	}
	r.report = Report{Plan: plan, Results: make([]Result, len(plan.Ops))}
	r.prepare()
	for i := 0; i < len(plan.Ops) && ctx.Err() == nil; {
		i = r.batch(i)
	}
	for i := range r.report.Results {
		if res := &r.report.Results[i]; res.Outcome == NotRun && res.Err == nil {
			res.Err = context.Cause(ctx)
		}
	}
	return r.report
}

type runner struct {
	ctx     context.Context
	drivers map[string]driver.Driver
	report  Report
}

// prepare does what may fail before anything is touched. What fails here is
// failed, and blocks what waits for it.
func (r *runner) prepare() {
	from := map[string]driver.Preparer{}
	for name, d := range r.drivers {
		if p, ok := d.(driver.Preparer); ok {
			from[name] = p
		}
	}
	if len(from) == 0 {
		return // plans are long
	}
	for i := range r.report.Plan.Ops {
		op := &r.report.Plan.Ops[i]
		p, ok := from[op.Key.Driver]
		if !ok || r.ctx.Err() != nil || !r.ready(i) {
			continue
		}
		if err := p.Prepare(r.ctx, *op); err != nil {
			r.report.Results[i] = Result{Outcome: Failed, Err: fmt.Errorf("prepare %s: %w", op.Key, err)}
		}
	}
}

// batch applies the operations from start that can go together, and returns
// the index of the next one.
func (r *runner) batch(start int) int {
	ops := r.report.Plan.Ops
	index, next := diff.Batch(ops, start, r.ready)
	if len(index) == 0 {
		return next
	}
	ready := ops[start:next] // not copied where it is all of them: plans are long
	if len(index) < len(ready) {
		ready = pick(ops, index)
	}
	r.apply(ops[start].Key.Driver, ready, index)
	return next
}

func pick(ops []diff.Op, index []int) []diff.Op {
	some := make([]diff.Op, len(index))
	for n, i := range index {
		some[n] = ops[i]
	}
	return some
}

// ready reports whether an operation can be done; it marks the blocked.
func (r *runner) ready(i int) bool {
	if r.report.Results[i].Outcome == Failed {
		return false
	}
	for _, first := range r.report.Plan.Ops[i].After {
		switch res := r.report.Results[first]; res.Outcome {
		case Failed:
			r.report.Results[i] = Result{Outcome: Blocked, By: first}
			return false
		case Blocked:
			r.report.Results[i] = Result{Outcome: Blocked, By: res.By}
			return false
		}
	}
	return true
}

func (r *runner) apply(name string, batch []diff.Op, index []int) {
	d, ok := r.drivers[name]
	if !ok {
		for _, i := range index {
			r.report.Results[i] = Result{Outcome: Failed, Err: fmt.Errorf("no driver %q in this build", name)}
		}
		return
	}
	r.report.Batches++
	errs := d.Apply(r.ctx, batch)
	if len(errs) != len(batch) {
		panic("apply: driver " + name + " did not answer for every operation")
	}
	for n, i := range index {
		switch err := errs[n]; {
		case err == nil:
			r.report.Results[i] = Result{Outcome: Done}
		case r.ctx.Err() != nil && errors.Is(err, r.ctx.Err()):
			r.report.Results[i] = Result{Outcome: NotRun, Err: err}
		default:
			r.report.Results[i] = Result{Outcome: Failed, Err: err}
		}
	}
}

// Err returns the failures at the root, not what they blocked, as a
// *multierror.Error; nil if all was done.
func (r Report) Err() error {
	var all *multierror.Error
	blocked := make(map[int]int)
	for _, res := range r.Results {
		if res.Outcome == Blocked {
			blocked[res.By]++
		}
	}
	notRun := 0
	for i, res := range r.Results {
		switch res.Outcome {
		case Failed:
			all = multierror.Append(all, r.rootError(i, blocked[i]))
		case NotRun:
			notRun++
		}
	}
	if notRun > 0 {
		all = multierror.Append(all, fmt.Errorf("%d operations were not reached", notRun))
	}
	if all == nil {
		return nil
	}
	all.ErrorFormat = formatErrors
	return all
}

func (r Report) rootError(i, blocked int) error {
	op, err := r.Plan.Ops[i], r.Results[i].Err
	if op.Origin != "" {
		err = fmt.Errorf("%s: %w", op.Origin, err)
	}
	if blocked > 0 {
		err = fmt.Errorf("%w (blocks %d more)", err, blocked)
	}
	return err
}

// formatErrors joins the first errors on lines of their own and counts the rest.
func formatErrors(errs []error) string {
	const few = 10
	var lines []string
	for _, err := range errs[:min(few, len(errs))] {
		lines = append(lines, err.Error())
	}
	if more := len(errs) - few; more > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(lines, "\n")
}

// Count returns how many operations had an outcome.
func (r Report) Count(o Outcome) int {
	n := 0
	for _, res := range r.Results {
		if res.Outcome == o {
			n++
		}
	}
	return n
}
