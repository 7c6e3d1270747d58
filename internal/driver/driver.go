// Package driver is the seam between the engine and a dataplane. A new
// dataplane is one folder below this one and one line in
// cmd/reconciler/drivers.go.
//
// A driver imports driver, observed, diff and resource, never another driver.
package driver

import (
	"context"

	"reconciler/internal/diff"
	"reconciler/internal/observed"
	"reconciler/internal/resource"
)

// Driver reads and writes one dataplane. Methods are called from one goroutine
// at a time.
type Driver interface {
	observed.Observer

	// Check is pure: what is wrong with a resource in itself, whatever the
	// host. A Fault with Code Unsupported means that this build cannot apply
	// it.
	Check(resource.Resource) []Fault

	// Apply does operations that are independent of each other, in their
	// order, and returns one error for each, nil where it succeeded. It is
	// idempotent: an operation that was done before succeeds and an object
	// that is gone already is no error to delete. Create and Update make the
	// object as wanted whether or not it is there, as a predicted side effect
	// may not have come, or one may have come early; what is not ours Create
	// never clobbers. It is bounded in time; when the context ends, what was
	// not done reports the context's error.
	Apply(context.Context, []diff.Op) []error
}

// Preparer is a driver with work that may fail or take long before the first
// mutation: fetch, verify, load. It changes nothing that forwards traffic.
type Preparer interface {
	Prepare(context.Context, diff.Op) error
}

// Fetcher is a driver whose resources are made of bytes from elsewhere. Fetch
// brings those that are not on this host, which may take minutes; it touches no
// dataplane, and is called beside the other methods.
type Fetcher interface {
	Fetch(ctx context.Context, want *resource.Set) error
}

// Forgiver is a driver that remembers what failed, and does not try it again by
// itself. Forgive has it tried again; it is called beside the other methods.
type Forgiver interface {
	Forgive()
}

// Resolver is a driver that must look at what is declared before it can be
// compared: only an object tells what is in it. The answer is want where there
// is nothing to add, and the same set as before where nothing has changed. What
// is not at hand stays as it is, with a NotReady note.
type Resolver interface {
	Resolve(ctx context.Context, want *resource.Set) (*resource.Set, []diff.Note)
}

// Annotator is a driver that knows what an operation costs. It fills Effects
// and Disruption and is pure.
type Annotator interface {
	Annotate(have observed.State, plan *diff.Plan)
}

// Watcher is a driver that hears of changes. Watch returns when the context
// ends, with nil, or when it can no longer hear, with an error. changed is
// called with the keys that changed, or with none when events were lost and
// only a full look helps; it must not block.
type Watcher interface {
	Watch(ctx context.Context, changed func(...resource.Key)) error
}

// Rester is a driver that remembers what it did, or works beside the calls of the
// engine. From Rest(true) on another process writes: this one writes nothing,
// lets go of what can be held only once, and forgets; with Rest(false) it begins
// anew from what is there then.
type Rester interface {
	Rest(bool)
}

// Freezer is a driver that says what of its dataplane depends on user space.
type Freezer interface {
	Freeze() Freeze
}

// Freeze is the class of a dataplane while nobody writes to it: during a handover, a
// restart, or after a crash.
type Freeze struct {
	Keeps []string // what keeps flowing, in words of a person: "packets through chains"
	Loses []string // what does not; it needs allow-disruption
}

// Fault is what is wrong with a resource.
type Fault struct {
	Field   string // the attribute, as in YAML; empty for the resource as a whole
	Code    string // mtu-range, unsupported
	Message string
	Hint    string
}

// Unsupported is the Code of what this build accepts and cannot apply.
const Unsupported = "unsupported"
