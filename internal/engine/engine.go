package engine

import (
	"context"
	"time"

	"reconciler/internal/observed"
	"reconciler/internal/source"
)

// Engine keeps a host as a source says. Its methods may be called from any
// goroutine; those with a context post to the loop and wait for it, and fail
// with ErrStopped when the loop has ended.
type Engine struct{}

// New checks a Config and reads what the last run left on disk. It touches no
// dataplane.
func New(c Config) (*Engine, error) { panic("engine: not built yet") }

// Run works until the context ends, and then returns nil: the dataplane is
// left as it is. An error is a *PanicError, after which the process should
// exit with 70, or says why the engine cannot work at all.
func (e *Engine) Run(ctx context.Context) error { panic("engine: not built yet") }

// Status is what is known now. It never waits.
func (e *Engine) Status() Status { panic("engine: not built yet") }

// History lists the last passes that changed something, newest first.
func (e *Engine) History() []Entry { panic("engine: not built yet") }

// Snapshots lists the revisions that a rollback can go to.
func (e *Engine) Snapshots() ([]Snapshot, error) { panic("engine: not built yet") }

// Events sends what happened after the sequence number since, as far as it is
// remembered (the last 1,000), and then what happens, until the context ends.
// Zero starts with the oldest that is remembered.
func (e *Engine) Events(ctx context.Context, since uint64) <-chan Event {
	panic("engine: not built yet")
}

// Plan makes a fresh plan for a person to read: all objects are counted.
func (e *Engine) Plan(ctx context.Context) (Planned, error) { panic("engine: not built yet") }

// Observed reads everything back, the undeclared included.
func (e *Engine) Observed(ctx context.Context) (observed.State, error) {
	panic("engine: not built yet")
}

// Sync looks at the source, reconciles now and returns how that went.
func (e *Engine) Sync(ctx context.Context) (Pass, error) { panic("engine: not built yet") }

// Apply takes a tree as if the source had delivered it, and returns how that
// went. The source's next revision takes its place.
func (e *Engine) Apply(ctx context.Context, t source.Tree) (Pass, error) {
	panic("engine: not built yet")
}

// Suspend stops applying for a time; at most 24 h.
func (e *Engine) Suspend(ctx context.Context, d time.Duration, reason string) error {
	panic("engine: not built yet")
}

// Resume ends a Suspend, and a pin of Rollback.
func (e *Engine) Resume(ctx context.Context) error { panic("engine: not built yet") }

// Rollback pins the host to a revision for a time, at most 30 days; an empty
// revision is the last good one before the one in use. It returns how the
// apply went.
func (e *Engine) Rollback(ctx context.Context, revision string, d time.Duration) (Pass, error) {
	panic("engine: not built yet")
}

// Approve releases the held deletions of a revision; a prefix of at least
// seven characters will do.
func (e *Engine) Approve(ctx context.Context, revision string) (Pass, error) {
	panic("engine: not built yet")
}

// Retry lifts the quarantine of the newest revision and every back-off.
func (e *Engine) Retry(ctx context.Context) (Pass, error) { panic("engine: not built yet") }

// Confirm makes a pending apply final before its probes do.
func (e *Engine) Confirm(ctx context.Context) error { panic("engine: not built yet") }
