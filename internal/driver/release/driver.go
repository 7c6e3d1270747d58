// Package release is the driver of versions on disk: their trees, the journal of
// an upgrade, and the link to the version in use.
//
// It owns what lies below the root of each upgrade, as package release lays it
// out; a directory without a manifest there is somebody else's and stays. Bytes
// are brought beside the loop, and get a name only once they were verified and
// have shown in a preflight what they are. It never decides which version is in
// use, starts nothing but preflights, and imports artifact, driver, diff, observed, release,
// resource and shim.
package release

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"sync"
	"time"

	"reconciler/internal/diff"
	"reconciler/internal/driver"
	"reconciler/internal/observed"
	"reconciler/internal/release"
	"reconciler/internal/resource"
)

// Config says what a driver may do.
type Config struct {
	// ReadOnly makes nothing, not even directories.
	ReadOnly bool
	// Keys are the public keys of minisign of which one must have signed every
	// version, whatever YAML says; nil: none must.
	Keys []string
	// Log hears of what is odd and no error; nil for none.
	Log *slog.Logger
	// At is told of each point of crash; nil but in tests.
	At func(point string)
}

// Driver reads and writes versions on disk.
type Driver struct {
	cfg Config

	mu     sync.Mutex
	unfit  map[resource.Key]unfit // versions that failed before they were used
	looks  map[string]look        // files that were found good, by path
	swept  map[string]bool        // roots whose leftovers were collected
	last   observed.State
	blamed map[string]bool // journals that were told of
}

var (
	_ driver.Driver    = (*Driver)(nil)
	_ driver.Fetcher   = (*Driver)(nil)
	_ driver.Forgiver  = (*Driver)(nil)
	_ driver.Resolver  = (*Driver)(nil)
	_ driver.Annotator = (*Driver)(nil)
	_ driver.Freezer   = (*Driver)(nil)
	_ driver.Sampler   = (*Driver)(nil)
)

// unfit is why a version cannot be had, and for which declaration that is so.
type unfit struct {
	of  resource.Release
	err error
}

// Open makes a driver; it touches nothing.
func Open(cfg Config) *Driver {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Driver{
		cfg: cfg, unfit: map[resource.Key]unfit{}, looks: map[string]look{}, swept: map[string]bool{}, blamed: map[string]bool{},
	}
}

// Name is the driver's name in keys.
func (*Driver) Name() string { return resource.ReleaseDriver }

// Freeze: files need nobody.
func (*Driver) Freeze() driver.Freeze { return driver.Freeze{} }

func (d *Driver) root(path string) *release.Root {
	r := release.At(path)
	r.At = d.cfg.At
	return r
}

// Check knows all that a build can do with a version.
func (*Driver) Check(r resource.Resource) []driver.Fault {
	if c, ok := r.(resource.Current); ok && c.Mode == resource.StartUnit {
		return []driver.Fault{{Field: "start.mode", Code: driver.Unsupported, Message: "units of systemd are not started by this build"}}
	}
	return nil
}

// lockPatience is how long a step of another writer may take: what takes long
// needs no lock.
const lockPatience = 2 * time.Second

// Observe reads the roots that want names.
func (d *Driver) Observe(_ context.Context, q observed.Query) (observed.State, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	state := observed.State{Objects: resource.NewSet(8)}
	for path, upgrade := range rootsOf(q.Want) {
		if err := d.observe(state.Objects, path, upgrade); err != nil {
			// One root that cannot be read hides all: keys name upgrades, and no roots.
			state.Blind = []observed.Blind{{Scope: observed.Scope{Driver: resource.ReleaseDriver}, Reason: err.Error()}}
		}
	}
	if len(q.Around) == 0 && !q.All && reflect.DeepEqual(state.Blind, d.last.Blind) && d.last.Objects != nil && state.Objects.Same(d.last.Objects) {
		return d.last, nil
	}
	d.last = state
	return state, nil
}

// rootsOf are the roots that are wanted, and the upgrades that they are of.
func rootsOf(want *resource.Set) map[string]string {
	out := make(map[string]string)
	want.Each(func(_ resource.Key, o resource.Object) bool {
		switch r := o.Resource.(type) {
		case resource.Release:
			out[r.Root] = r.Upgrade
		case resource.Current:
			out[r.Root] = r.Upgrade
		}
		return true
	})
	return out
}

func (d *Driver) observe(into *resource.Set, path, upgrade string) error {
	root := d.root(path)
	d.sweep(root)
	put := func(r resource.Resource) { into.Put(resource.Object{Resource: r, Owner: resource.Ours}) }
	versions, err := root.Versions()
	if err != nil {
		return err
	}
	for dir, m := range versions {
		put(resource.Release{Upgrade: upgrade, Root: path, Version: m.Version, Dir: dir, Damage: d.damage(root, dir, m)})
	}
	current, err := root.Current()
	if err != nil {
		return err
	}
	if current != "" {
		put(resource.Current{Upgrade: upgrade, Root: path, Dir: current})
	}
	j, ok, err := root.Journal()
	switch {
	case errors.Is(err, release.ErrUnreadable):
		d.cfg.Log.Warn("what is in use stays in use", "upgrade", upgrade, "err", err)
		if !d.cfg.ReadOnly {
			return root.PutAside()
		}
	case err != nil:
		return err
	case ok:
		j.Upgrade, j.Root = upgrade, path
		put(reverted(j, root.BootRecord()))
	}
	return nil
}

// reverted is a journal with what reconciler-boot has done since.
func reverted(j resource.Journal, b release.BootRecord) resource.Journal {
	if j.State != resource.JournalTrying || !b.Reverted || b.To != j.To {
		return j
	}
	why := fmt.Sprintf("it did not show itself in %d starts", resource.MaxReleaseStarts)
	j.State = resource.JournalRollback
	if j.Fault(j.To) == "" {
		j.Bad = append(slices.Clone(j.Bad), resource.BadRelease{Dir: j.To, Reason: why})
	}
	return j
}

// sweep collects leftovers of a root once, unless somebody writes there.
func (d *Driver) sweep(root *release.Root) {
	if d.cfg.ReadOnly || d.swept[root.Path()] {
		return
	}
	lock, err := root.Lock(0)
	if err != nil {
		return // nothing is there yet, or somebody is at work
	}
	defer lock.Close()
	d.swept[root.Path()] = true
	if err := root.Sweep(); err != nil {
		d.cfg.Log.Warn("leftovers stay", "err", err)
	}
}

// Annotate says what a step is for.
func (d *Driver) Annotate(_ observed.State, plan *diff.Plan) {
	for i := range plan.Ops {
		op := &plan.Ops[i]
		if r, ok := op.From.(resource.Release); ok && op.Verb == diff.Update && len(r.Damage) > 0 {
			op.Effects = append(op.Effects, "unpacked anew, and put in its place in one step")
		}
	}
}

// Apply writes. Each operation is short, and whole or not there after a crash.
func (d *Driver) Apply(ctx context.Context, ops []diff.Op) []error {
	d.mu.Lock()
	defer d.mu.Unlock()
	errs := make([]error, len(ops))
	for i, op := range ops {
		if errs[i] = ctx.Err(); errs[i] == nil {
			errs[i] = d.apply(ctx, op)
		}
	}
	return errs
}

func (d *Driver) apply(ctx context.Context, op diff.Op) error {
	one := op.To
	if op.Verb == diff.Delete {
		one = op.From
	}
	root := d.root(rootOf(one))
	if err := root.Make(); err != nil {
		return err
	}
	lock, err := root.Lock(lockPatience)
	if err != nil {
		return err
	}
	defer lock.Close()
	switch r := one.(type) {
	case resource.Release:
		if op.Verb == diff.Delete {
			return root.Remove(r.Dir)
		}
		return d.mend(ctx, root, r)
	case resource.Journal:
		if op.Verb == diff.Delete {
			return nil // who goes back to an earlier state decides anew from what is in use
		}
		return root.WriteJournal(r)
	case resource.Current:
		if op.Verb == diff.Delete {
			return root.Flip("")
		}
		return root.Flip(r.Dir)
	}
	return fmt.Errorf("%s is not a kind of this driver", op.Key.Kind)
}

func rootOf(r resource.Resource) string {
	switch r := r.(type) {
	case resource.Release:
		return r.Root
	case resource.Journal:
		return r.Root
	case resource.Current:
		return r.Root
	}
	return ""
}
