// Package state keeps what must survive this process: a directory for each
// network namespace, written so that a crash at any moment leaves the old
// content or the new, and a lock, because a namespace has one mutator.
//
// It owns the directory, its proof of identity and the way files are written.
// It knows nothing of what is in the files and imports clock.
package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

const (
	identityFile = "identity.json"
	staleSuffix  = ".stale"
	lockSuffix   = ".lock"

	// openPatience bounds the wait for another process that opens the same
	// directory, which takes it a few fsyncs.
	openPatience = 5 * time.Second
)

// Dir is the state directory of one network namespace.
type Dir struct {
	path    string
	id      Identity
	mutator string // of claimNamespace
}

// Open opens, and creates where needed, the directory below base of the
// calling thread's network namespace. What it finds there of another namespace
// that once had the same inode is moved to NAME.stale, in place of an older
// one.
func Open(base string) (*Dir, error) {
	id, err := Namespace()
	if err != nil {
		return nil, fmt.Errorf("open state in %s: %w", base, err)
	}
	return open(base, id)
}

func open(base string, id Identity) (*Dir, error) {
	d := &Dir{path: filepath.Join(base, id.Name), id: id, mutator: mutatorName}
	if err := d.claim(base); err != nil {
		return nil, fmt.Errorf("open state in %s: %w", d.path, explain(err))
	}
	return d, nil
}

// claim makes the directory ours: existing, private and of this namespace.
func (d *Dir) claim(base string) error {
	if err := os.MkdirAll(base, 0o755); err != nil {
		return err
	}
	release, err := lockWithin(filepath.Join(base, ".open"+lockSuffix), openPatience)
	if err != nil {
		return err
	}
	defer release()
	found, err := readIdentity(d.path)
	if err == nil && found == d.id {
		return nil
	}
	if !found.same(d.id) {
		if err := setAside(d.path); err != nil {
			return err
		}
	}
	return d.found(base)
}

// found creates the directory, or renews the proof in it.
func (d *Dir) found(base string) error {
	if err := os.MkdirAll(d.path, 0o700); err != nil {
		return err
	}
	if err := os.Chmod(d.path, 0o700); err != nil {
		return err
	}
	data, err := json.Marshal(d.id)
	if err != nil {
		return err
	}
	if err := d.WriteFile(identityFile, append(data, '\n')); err != nil {
		return err
	}
	return syncDir(base)
}

// readIdentity returns the zero Identity where there is no proof.
func readIdentity(dir string) (Identity, error) {
	data, err := os.ReadFile(filepath.Join(dir, identityFile))
	if err != nil {
		return Identity{}, err
	}
	var id Identity
	if err := json.Unmarshal(data, &id); err != nil {
		return Identity{}, fmt.Errorf("decode %s: %w", identityFile, err)
	}
	return id, nil
}

// setAside keeps one generation of a directory that is not ours.
func setAside(path string) error {
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := os.RemoveAll(path + staleSuffix); err != nil {
		return err
	}
	return os.Rename(path, path+staleSuffix)
}

// Identity is the namespace that the directory belongs to.
func (d *Dir) Identity() Identity { return d.id }

// Path is where a file or directory of this name lies, existing or not.
func (d *Dir) Path(name string) string { return filepath.Join(d.path, name) }

// WriteFile replaces a file as the function WriteFile does, with mode 0600.
func (d *Dir) WriteFile(name string, data []byte) error {
	return WriteFile(d.Path(name), data, 0o600)
}

// ReadFile returns a file's content; fs.ErrNotExist where there is none.
func (d *Dir) ReadFile(name string) ([]byte, error) { return os.ReadFile(d.Path(name)) }

// Remove removes a file, durably; one that is not there is no error.
func (d *Dir) Remove(name string) error {
	err := os.Remove(d.Path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return syncDir(d.path)
}

// Lock makes this process the mutator of the namespace, whatever state
// directory another has, until release, or its end. Another holder is a
// *LockedError at once. What interrupted writes left behind is removed. The
// calling thread must be in the namespace that the directory was opened for.
func (d *Dir) Lock() (release func(), err error) {
	// Beside the directory and not in it: it must outlast setAside.
	releaseDir, err := lock(d.path + lockSuffix)
	if err != nil {
		return nil, err
	}
	releaseNamespace, err := d.claimNamespace()
	if err != nil {
		releaseDir()
		return nil, err
	}
	release = func() {
		releaseNamespace()
		releaseDir()
	}
	if err := Sweep(d.path); err != nil {
		release()
		return nil, err
	}
	return release, nil
}
