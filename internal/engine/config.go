package engine

import (
	"context"
	"io/fs"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"reconciler/internal/desired"
	"reconciler/internal/diff"
	"reconciler/internal/driver"
	"reconciler/internal/intent"
	"reconciler/internal/source"
)

// Settings are the host's local policy.
type Settings struct {
	Mode    Mode
	Resync  time.Duration // at least 1 s; 30 s where zero
	Confirm Confirm
	Protect Protection
	Guard   diff.Guard
	Labels  map[string]string // of the agent; a tree whose fleet: differs is refused
	Rescue  *desired.File     // last layer, or alone where no tree is valid
}

// Confirm says how an apply becomes final.
type Confirm struct {
	Off     bool          // every apply is final at once
	Timeout time.Duration // until the former state is put back; 90 s where zero
	Probes  []Probe
}

// Probe is one way of asking whether the host is still reachable.
type Probe interface {
	// String names it: source, default-gateway, tcp 192.0.2.11:179.
	String() string
	// Run answers within the context; nil means reachable.
	Run(context.Context) error
}

// Snapshots keep trees on disk, so that boot and rollback need no network.
type Snapshots interface {
	// Save keeps a tree; it becomes the current one.
	Save(source.Tree) error
	// Load returns a tree by its revision; fs.ErrNotExist if it is not kept.
	Load(revision string) (source.Tree, error)
	// MarkGood says that a revision was reached and confirmed.
	MarkGood(revision string) error
	// MarkBad quarantines a revision; an empty reason lifts it.
	MarkBad(revision, reason string) error
	// List returns what is kept, the current one first.
	List() ([]Snapshot, error)
}

// Snapshot is a tree that is kept.
type Snapshot struct {
	Revision
	Good bool   `json:"good,omitempty"`
	Bad  string `json:"bad,omitempty"` // why it is quarantined
}

// Records keep small JSON documents on disk. Write replaces a document
// atomically and returns after it is safe from a power cut.
type Records interface {
	Write(name string, v any) error
	// Read fills v; fs.ErrNotExist if there is none.
	Read(name string, v any) error
	// Remove is no error if there is none.
	Remove(name string) error
}

var _ = fs.ErrNotExist // the contract of Snapshots and Records

// Config is what an Engine is made of. Source, Snapshots, Records and Drivers
// are required.
type Config struct {
	Source    source.Source
	Snapshots Snapshots
	Records   Records
	Drivers   []driver.Driver
	Settings  Settings

	Host    string // for {hostname} in layers
	Version string // of this build; empty is a development build

	Log      *slog.Logger          // discards where nil
	Registry prometheus.Registerer // none where nil
	Clock    intent.Clock          // of the host where zero
	Notify   func(state string)    // sd_notify; see Notifier. None where nil
}
