package engine

import (
	"context"
	"fmt"
	"runtime/debug"

	"golang.org/x/sync/errgroup"
)

// task is something long-lived. Run returns nil when its context ends.
type task interface {
	fmt.Stringer
	Run(context.Context) error
}

// taskFunc is a task by its name and its function.
type taskFunc struct {
	name string
	run  func(context.Context) error
}

func (t taskFunc) String() string                { return t.name }
func (t taskFunc) Run(ctx context.Context) error { return t.run(ctx) }

// runTasks starts every goroutine of the engine and waits for all of them. The
// first error ends the others.
func runTasks(ctx context.Context, tasks []task) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, t := range tasks {
		g.Go(func() error { return guarded(ctx, t) })
	}
	return g.Wait()
}

// guarded turns a panic into an error, for an orderly exit: Go's own would end
// the process with 2, which means something else here.
func guarded(ctx context.Context, t task) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{Task: t.String(), Value: v, Stack: debug.Stack()}
		}
	}()
	if err := t.Run(ctx); err != nil {
		return fmt.Errorf("%s: %w", t, err)
	}
	return nil
}
