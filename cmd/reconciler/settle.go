package main

import (
	"context"
	"slices"
	"time"

	"reconciler/internal/apply"
	"reconciler/internal/diff"
	"reconciler/internal/engine"
	"reconciler/internal/resource"
)

const (
	// settlePatience is how long an apply goes on with processes: one that is asked
	// to end is killed after ten seconds where YAML says nothing.
	settlePatience = 15 * time.Second
	settleEvery    = 50 * time.Millisecond
)

// settle goes on while processes end, and others take their places: no daemon
// does it later. It returns what is left then.
func (a *applying) settle(ctx context.Context, again func() (engine.Planned, error)) (engine.Planned, error) {
	deadline := time.Now().Add(settlePatience)
	for {
		after, err := again()
		if err != nil || ctx.Err() != nil || !ofProcesses(after.Plan) || time.Now().After(deadline) {
			return after, err
		}
		if err := apply.Run(ctx, after.Plan, a.drivers).Err(); err != nil {
			return after, err
		}
		time.Sleep(settleEvery)
	}
}

// ofProcesses reports that a plan has steps of processes left, and no others.
func ofProcesses(p diff.Plan) bool {
	if len(p.Ops) == 0 {
		return slices.ContainsFunc(p.Notes, func(n diff.Note) bool {
			return (n.Code == diff.Waiting || n.Code == diff.Ending) && n.Key.Kind == resource.KindDaemon
		})
	}
	return !slices.ContainsFunc(p.Ops, func(op diff.Op) bool { return op.Key.Kind != resource.KindDaemon })
}
