// Package api is what the daemon answers on its unix socket, and the client
// that the command line uses.
//
// It owns paths, bodies, errors and who may write. It decides nothing: each
// request is one call of the engine. It never touches a dataplane and imports
// engine, and for what travels diff, observed and source.
package api

import (
	"context"
	"fmt"
	"time"

	"reconciler/internal/engine"
	"reconciler/internal/observed"
	"reconciler/internal/source"
)

// Engine is what the server answers for; *engine.Engine is one.
type Engine interface {
	Status() engine.Status
	History() []engine.Entry
	Snapshots() ([]engine.Snapshot, error)
	Events(ctx context.Context, since uint64) <-chan engine.Event
	Plan(context.Context) (engine.Planned, error)
	Observed(context.Context) (observed.State, error)
	Balance(context.Context) (engine.Balance, error)
	Upgrades(context.Context) (engine.Upgrades, error)

	Sync(context.Context) (engine.Pass, error)
	Apply(context.Context, source.Tree) (engine.Pass, error)
	Suspend(ctx context.Context, d time.Duration, reason string) error
	Resume(context.Context) error
	Rollback(ctx context.Context, revision string, d time.Duration) (engine.Pass, error)
	RollBackUpgrade(ctx context.Context, upgrade string) (engine.Pass, error)
	Approve(ctx context.Context, revision string) (engine.Pass, error)
	Retry(context.Context) (engine.Pass, error)
	Confirm(context.Context) error
	Override(ctx context.Context, o engine.Override, d time.Duration) (engine.Pass, error)
	Release(context.Context, engine.Override) (engine.Pass, error)
}

// order is the body of a request to change something.
type order struct {
	Revision string   `json:"revision,omitempty"`
	Upgrade  string   `json:"upgrade,omitempty"` // of a rollback, in place of a revision
	For      duration `json:"for,omitempty"`
	Reason   string   `json:"reason,omitempty"`

	Override *engine.Override `json:"override,omitempty"`
}

// duration travels as text: 30m0s.
type duration time.Duration

func (d duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

func (d *duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	*d = duration(v)
	return err
}

// Code says what kind of refusal an Error is.
type Code string

// Codes of refusals.
const (
	CodeStopped   Code = "stopped"
	CodeUnknown   Code = "unknown-revision"
	CodeAbsent    Code = "absent" // what is to be overridden
	CodeNothing   Code = "nothing-to-act-on"
	CodeNoDesired Code = "no-desired-state"
	CodeRange     Code = "out-of-range"
	CodeBusy      Code = "busy"
	CodeForbidden Code = "forbidden"
	CodeReadOnly  Code = "read-only" // a lease; see Retry-After
	CodeRequest   Code = "bad-request"
	CodeInternal  Code = "internal"
)

// Error is a refusal of the daemon.
type Error struct {
	Status  int    `json:"-"` // of HTTP
	Code    Code   `json:"code"`
	Message string `json:"error"`
}

func (e *Error) Error() string { return fmt.Sprintf("daemon: %s [%s]", e.Message, e.Code) }
