package source

import "context"

// Looker is a Source that tells when a look has ended; those of this package
// are.
type Looker interface {
	// Look looks now and returns once what is new has been delivered: nil, or
	// the trouble that the look met. It waits for Run to be at work.
	Look(context.Context) error
}

// asks are those who wait for the end of a look.
type asks chan chan<- error

// Look asks and waits.
func (a asks) Look(ctx context.Context) error {
	end := make(chan error, 1)
	select {
	case a <- end:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	select {
	case err := <-end:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
