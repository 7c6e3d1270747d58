package release

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"reconciler/internal/artifact"
	"reconciler/internal/diff"
	"reconciler/internal/release"
	"reconciler/internal/resource"
)

// Bounds of an archive with a version.
const (
	maxDownload = 256 << 20
	maxUnpacked = 1 << 30

	// What must be free on the disk before anything is fetched.
	leastBytes  = 8 << 20
	leastInodes = 32
)

func options() artifact.Options {
	return artifact.Options{MaxDownload: maxDownload, MaxUnpacked: maxUnpacked, MaxEntries: release.MaxFiles, MaxObject: maxDownload}
}

// FetchError is a version that could not be brought here, or is unfit.
type FetchError struct {
	Upgrade string
	Version string
	Origin  string // file:line
	Err     error
}

func (e *FetchError) Error() string {
	return fmt.Sprintf("%s: version %s of upgrade %s: %v", e.Origin, e.Version, e.Upgrade, e.Err)
}

// Unwrap is what went wrong.
func (e *FetchError) Unwrap() error { return e.Err }

// errPreflight is a version that is not what YAML says, or does not work here.
var errPreflight = errors.New("preflight")

// Fetch brings the versions that are wanted and not here, and lets them show in
// a preflight what they are. One that fails is not tried again as long as the same
// is declared: the bytes would be the same.
func (d *Driver) Fetch(ctx context.Context, want *resource.Set) error {
	if d.cfg.ReadOnly {
		return nil
	}
	d.forgiveOthers(want)
	var errs []error
	for _, o := range want.All() {
		r, ok := o.Resource.(resource.Release)
		if !ok || d.here(r) {
			continue
		}
		err := d.knownUnfit(r)
		if err == nil {
			err = d.fetch(ctx, r)
		}
		if err == nil {
			continue
		}
		if ctx.Err() != nil {
			return errors.Join(append(errs, ctx.Err())...) // it says nothing of the version
		}
		if errors.Is(err, errPreflight) || errors.Is(err, artifact.ErrSignature) || errors.Is(err, artifact.ErrArchive) {
			d.condemn(r, err)
		}
		errs = append(errs, &FetchError{Upgrade: r.Upgrade, Version: r.Version, Origin: o.Origin, Err: err})
	}
	return errors.Join(errs...)
}

// Forgive has versions tried again that failed before they were used.
func (d *Driver) Forgive() {
	d.mu.Lock()
	defer d.mu.Unlock()
	clear(d.unfit)
}

// forgiveOthers forgets the failures of what is not wanted any more.
func (d *Driver) forgiveOthers(want *resource.Set) {
	d.mu.Lock()
	defer d.mu.Unlock()
	maps.DeleteFunc(d.unfit, func(key resource.Key, _ unfit) bool { return !want.Has(key) })
}

func (d *Driver) condemn(r resource.Release, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.unfit[r.Key()] = unfit{of: r, err: err}
}

func (d *Driver) knownUnfit(r resource.Release) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if u, ok := d.unfit[r.Key()]; ok && same(u.of, r) {
		return u.err
	}
	return nil
}

func same(a, b resource.Release) bool {
	return resource.Object{Resource: a}.Same(resource.Object{Resource: b})
}

// here reports that a version has its name.
func (d *Driver) here(r resource.Release) bool {
	root := d.root(r.Root)
	_, err := root.Manifest(r.Dir)
	if err != nil {
		return false
	}
	info, err := os.Lstat(root.Version(r.Dir))
	return err == nil && info.IsDir()
}

func (d *Driver) fetch(ctx context.Context, r resource.Release) error {
	root := d.root(r.Root)
	if err := root.Make(); err != nil {
		return err
	}
	if err := room(r.Root); err != nil {
		return err
	}
	store, refs, err := d.store(root, r)
	if err != nil {
		return err
	}
	if err := fetchAny(ctx, store, refs); err != nil {
		return err
	}
	tree, err := store.Tree(refs[0])
	if err != nil {
		return err
	}
	if err := preflight(ctx, tree, r); err != nil {
		return fmt.Errorf("%w: %w", errPreflight, err)
	}
	d.point("preflight-passed")
	lock, err := root.Lock(lockPatience)
	if err != nil {
		return err
	}
	defer lock.Close()
	return errors.Join(d.publish(root, r, store, refs[0]), store.Keep(refs[:1]))
}

// fetchAny fetches by the first key that has signed.
func fetchAny(ctx context.Context, store *artifact.Store, refs []artifact.Ref) error {
	var errs []error
	for _, ref := range refs {
		err := store.Fetch(ctx, ref)
		if err == nil {
			return nil
		}
		errs = append(errs, err)
		if !errors.Is(err, artifact.ErrSignature) {
			break
		}
	}
	return errors.Join(errs...)
}

// store is the cache of a root, and the artifact as it may be fetched: once for
// each key that is good enough.
func (d *Driver) store(root *release.Root, r resource.Release) (*artifact.Store, []artifact.Ref, error) {
	store, err := artifact.Open(root.Cache(), options())
	if err != nil {
		return nil, nil, err
	}
	keys := d.cfg.Keys
	if own := r.Signature.Key; own != "" {
		if len(keys) > 0 && !slices.Contains(keys, own) {
			return nil, nil, fmt.Errorf("%w: the agent's file trusts other keys than %s", artifact.ErrSignature, own)
		}
		keys = []string{own}
	}
	ref := artifact.Ref{URL: r.Source.URL, SHA256: r.Source.SHA256}
	if len(keys) == 0 {
		return store, []artifact.Ref{ref}, nil
	}
	var refs []artifact.Ref
	for _, key := range keys {
		ref.Minisign = key
		refs = append(refs, ref)
	}
	return store, refs, nil
}

func (d *Driver) publish(root *release.Root, r resource.Release, store *artifact.Store, ref artifact.Ref) error {
	m := release.Manifest{Version: r.Version, SHA256: r.Source.SHA256}
	return root.Publish(r.Dir, m, func(to string) error { return store.Move(ref, to) })
}

func (d *Driver) point(name string) {
	if d.cfg.At != nil {
		d.cfg.At(name)
	}
}

// mendPatience bounds how long everything else waits for an archive that is gone:
// nothing else is done meanwhile.
const mendPatience = 10 * time.Second

// mend puts a version in the place of a damaged one, from the archive that was
// kept. That one is there as long as the version is wanted, unless somebody
// removed it. Who has signed these bytes was seen when they came.
func (d *Driver) mend(ctx context.Context, root *release.Root, r resource.Release) error {
	store, err := artifact.Open(root.Cache(), options())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, mendPatience)
	defer cancel()
	ref := artifact.Ref{URL: r.Source.URL, SHA256: r.Source.SHA256}
	if err := store.Fetch(ctx, ref); err != nil {
		return err
	}
	return d.publish(root, r, store, ref)
}

// room reports a disk that has none.
func room(path string) error {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return fmt.Errorf("look for room on the disk: %w", err)
	}
	free := s.Bavail * uint64(s.Bsize)
	switch {
	case free < leastBytes:
		return fmt.Errorf("disk full: %d bytes are free at %s, and a version needs %d at least: %w", free, path, leastBytes, unix.ENOSPC)
	case s.Files > 0 && s.Ffree < leastInodes:
		return fmt.Errorf("disk full: %d inodes are free at %s, and a version needs %d at least: %w", s.Ffree, path, leastInodes, unix.ENOSPC)
	}
	return nil
}

// Resolve notes which versions are not here yet, and why some never will be.
func (d *Driver) Resolve(_ context.Context, want *resource.Set) (*resource.Set, []diff.Note) {
	var notes []diff.Note
	for _, o := range want.All() {
		r, ok := o.Resource.(resource.Release)
		if !ok || d.here(r) {
			continue
		}
		text := "version " + r.Version + " is not here yet"
		if err := d.knownUnfit(r); err != nil {
			text = fmt.Sprintf("version %s is not used: %v", r.Version, err)
		}
		notes = append(notes, diff.Note{Code: diff.NotReady, Key: o.Key(), Text: text, Origin: o.Origin})
	}
	return want, notes
}
