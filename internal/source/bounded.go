package source

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// grace is how long an operation may take to hear that its time is over.
const grace = 2 * time.Second

// operations runs one operation at a time, for no longer than a limit, even
// one that ignores its context: that is left alone, and no other is begun
// until it ends.
type operations struct {
	stuck <-chan error
}

// Run runs an operation. What it works on is its own until it ends, which may
// be after Run has returned.
func (o *operations) Run(ctx context.Context, limit time.Duration, op func(context.Context) error) error {
	if o.hang() {
		return fmt.Errorf("%w: an earlier operation still hangs", ErrUnreachable)
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	result := make(chan error, 1)
	go func() { result <- recovered(ctx, op) }()
	select {
	case err := <-result:
		return timedOut(ctx, err, limit)
	case <-ctx.Done():
	}
	select {
	case err := <-result:
		return timedOut(ctx, err, limit)
	case <-time.After(grace):
		o.stuck = result
		return fmt.Errorf("%w: no end after %v", ErrUnreachable, limit)
	}
}

func (o *operations) hang() bool {
	if o.stuck == nil {
		return false
	}
	select {
	case <-o.stuck:
		o.stuck = nil
		return false
	default:
		return true
	}
}

// recovered makes an error of a panic: what is parsed comes from outside, and
// a broken repository must not take the daemon down.
func recovered(ctx context.Context, op func(context.Context) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: panic: %v", ErrCorrupt, p)
		}
	}()
	return op(ctx)
}

func timedOut(ctx context.Context, err error, limit time.Duration) error {
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("%w: no answer within %v", ErrUnreachable, limit)
	}
	return err
}
