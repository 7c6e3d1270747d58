package engine

import (
	"errors"
	"fmt"
)

// What a caller can act on.
var (
	ErrStopped   = errors.New("engine stopped")
	ErrUnknown   = errors.New("revision is not kept")                   // rollback, approve
	ErrAbsent    = errors.New("there is no such thing")                 // override
	ErrNothing   = errors.New("there is nothing to act on")             // confirm, resume, approve
	ErrNoDesired = errors.New("no valid desired state yet")             // plan
	ErrRange     = errors.New("time is out of range")                   // suspend, rollback
	ErrPaused    = errors.New("another process takes over")             // whatever changes something
	ErrBusy      = errors.New("another revision waits for its verdict") // apply

	// ErrNamespaceGone: the network namespace has no name any more.
	ErrNamespaceGone = errors.New("network namespace is gone")
	// ErrNamespaceReplaced: its name means another one now. It ends Run, for a
	// new start in that one.
	ErrNamespaceReplaced = errors.New("network namespace was replaced")
)

// PanicError is a panic of one of the engine's goroutines.
type PanicError struct {
	Task  string
	Value any
	Stack []byte
}

func (e *PanicError) Error() string {
	return fmt.Sprintf("panic in %s: %v\n%s", e.Task, e.Value, e.Stack)
}
