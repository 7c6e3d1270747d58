package engine

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"reconciler/internal/clock"
	"reconciler/internal/desired"
	"reconciler/internal/diff"
	"reconciler/internal/driver"
	"reconciler/internal/intent"
	"reconciler/internal/source"
)

// Settings are the host's local policy.
type Settings struct {
	Mode    Mode          // enforce where empty
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

// Snapshots keep trees on disk, so that boot and rollback need no network (see
// source.Store).
type Snapshots interface {
	// Save keeps a tree; it becomes the current one.
	Save(source.Tree) error
	// Get returns a tree by its revision; fs.ErrNotExist if it is not kept.
	Get(revision string) (source.Tree, error)
	// Mark says what became of a revision.
	Mark(revision string, v source.Verdict, reason string) error
	// List returns what is kept, the current one first.
	List() []source.Snapshot
}

// Snapshot is a tree that is kept.
type Snapshot struct {
	Revision
	Good bool   `json:"good,omitempty"`
	Bad  string `json:"bad,omitempty"` // why it is quarantined
}

// Records keep small files (see state.Dir). WriteFile replaces a file as a
// whole and returns after it is safe from a power cut; ReadFile of none is
// fs.ErrNotExist; Remove of none is no error.
type Records interface {
	WriteFile(name string, data []byte) error
	ReadFile(name string) ([]byte, error)
	Remove(name string) error
}

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
	Clock    intent.Clock          // the host's where zero
	Notify   Notifier
	Health   Health // asks backends; nobody does where nil
	// Balancer is the load balancer of this build; nil where it has none.
	Balancer *desired.Balancer
	// Enter runs a function on a thread in the network namespace that the
	// drivers work in. Nil where it is the process's own.
	Enter func(func())
	// Namespace tells what became of the network namespace that the drivers
	// work in: nil, ErrNamespaceGone or ErrNamespaceReplaced. Nil where it has
	// no name to lose.
	Namespace func() error
	// Refused is a revision that was undone before the start. It is quarantined,
	// if the source has it.
	Refused string
}

const (
	defaultResync  = 30 * time.Second
	leastResync    = time.Second
	defaultConfirm = 90 * time.Second
)

// checked returns the Config with its defaults.
func (c Config) checked() (Config, error) {
	if c.Source == nil || c.Snapshots == nil || c.Records == nil || len(c.Drivers) == 0 {
		return c, errors.New("make engine: a source, snapshots, records and drivers are required")
	}
	s := &c.Settings
	if s.Mode == "" {
		s.Mode = Enforce
	}
	if s.Mode != Enforce && s.Mode != ObserveOnly && s.Mode != Suspended {
		return c, fmt.Errorf("make engine: mode %q is none of enforce, observe, suspended", s.Mode)
	}
	if s.Resync == 0 {
		s.Resync = defaultResync
	}
	if s.Resync < leastResync {
		return c, fmt.Errorf("make engine: resync %s is below %s", s.Resync, leastResync)
	}
	if s.Confirm.Timeout == 0 {
		s.Confirm.Timeout = defaultConfirm
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Clock.Boot == nil {
		c.Clock = hostClock()
	}
	if c.Enter == nil {
		c.Enter = func(f func()) { f() }
	}
	if c.Health == nil {
		c.Health = nobody{}
	}
	if c.Namespace == nil {
		c.Namespace = func() error { return nil }
	}
	return c, nil
}

// hostClock reads the clocks of this host.
func hostClock() intent.Clock {
	id, err := clock.BootID()
	if err != nil {
		id = "unknown" // not Linux's proc: only deadlines over a reboot suffer
	}
	return intent.Clock{Boot: func() intent.Instant { return intent.Instant(clock.Boottime()) }, Wall: time.Now, ID: id}
}
