// Package release is how versions lie on disk, and how each change of that
// survives a crash.
//
//	<root>/versions/<VERSION>-<12 digits of the artifact's SHA-256>/
//	<root>/latest                  a symbolic link to one of them
//	<root>/.upgrade/journal        what is being tried, and what was bad
//	<root>/.upgrade/boot           starts of what is being tried, as reconciler-boot counts them
//	<root>/.upgrade/manifest/<dir> what a version was when it was verified; it makes it ours
//	<root>/.upgrade/{staged,gone}  work in progress, collected by the next start
//	<root>/.upgrade/cache          archives, so that damage is repaired without a network
//	<root>/.upgrade/lock           one writer at a time
//
// A name appears by rename only, once all below it is on the disk: a version
// that has a manifest is whole. The package starts nothing, fetches nothing and
// decides nothing; reconciler-boot, which has to work when nothing else does,
// stands on it and on resource alone.
package release

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	versionsName = "versions"
	latestName   = "latest"
	ownName      = ".upgrade"
)

// Root is the directory of one upgrade.
type Root struct {
	path string
	// At is told of each point at which a crash leaves something else on the
	// disk. Tests die there; else it is nil.
	At func(point string)
}

// At returns a Root without making anything.
func At(path string) *Root { return &Root{path: path} }

// Make makes the directories of a Root, for everybody to read: what runs a
// version need not be root.
func (r *Root) Make() error {
	if err := os.MkdirAll(filepath.Dir(r.path), 0o755); err != nil {
		return fmt.Errorf("make the root of an upgrade: %w", err)
	}
	for _, dir := range []string{
		r.path, r.versions(), r.own(), r.own("manifest"), r.own("staged"), r.own("gone"), r.Cache(), filepath.Join(r.Cache(), "trees"),
	} {
		err := os.Mkdir(dir, 0o755)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err == nil {
			err = os.Chmod(dir, 0o755) // whatever the umask
		}
		if err := errors.Join(err, syncDir(filepath.Dir(dir))); err != nil {
			return fmt.Errorf("make the root of an upgrade: %w", err)
		}
	}
	return nil
}

// Path is where it is.
func (r *Root) Path() string { return r.path }

// Version is the directory of a version; one that stands beside them begins
// with "..".
func (r *Root) Version(dir string) string { return filepath.Join(r.versions(), dir) }

// Cache is where archives are kept.
func (r *Root) Cache() string { return r.own("cache") }

func (r *Root) versions() string { return filepath.Join(r.path, versionsName) }
func (r *Root) latest() string   { return filepath.Join(r.path, latestName) }

func (r *Root) own(names ...string) string {
	return filepath.Join(append([]string{r.path, ownName}, names...)...)
}

func (r *Root) point(name string) {
	if r.At != nil {
		r.At(name)
	}
}

// ErrBusy is another writer of the same root.
var ErrBusy = errors.New("another one is writing there")

// Lock keeps other writers away until the file is closed, or this process ends.
// It waits for one that is at work, but not for longer than it is told.
func (r *Root) Lock(patience time.Duration) (*os.File, error) {
	f, err := os.OpenFile(r.own("lock"), os.O_RDWR|os.O_CREATE|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return f, nil
		case !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR):
			return nil, fmt.Errorf("lock %s: %w", r.path, errors.Join(err, f.Close()))
		case time.Now().After(deadline):
			return nil, fmt.Errorf("lock %s: %w", r.path, errors.Join(ErrBusy, f.Close()))
		}
	}
}

// Current is what latest leads to, seen from versions; empty where it is not
// there, or no link.
func (r *Root) Current() (string, error) {
	target, err := os.Readlink(r.latest())
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.EINVAL) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read latest: %w", err)
	}
	if !filepath.IsAbs(target) {
		target = filepath.Join(r.path, target)
	}
	dir, err := filepath.Rel(r.versions(), target)
	if err != nil {
		return "", fmt.Errorf("read latest: %w", err)
	}
	return dir, nil
}

// Flip makes latest lead to a version that is there, in one step; nowhere where
// dir is empty. What stands under the name latest and is no link it leaves.
func (r *Root) Flip(dir string) error {
	if err := r.flip(dir); err != nil {
		return fmt.Errorf("make latest lead to %s: %w", dir, err)
	}
	return nil
}

func (r *Root) flip(dir string) error {
	if info, err := os.Lstat(r.latest()); err == nil && info.Mode()&fs.ModeSymlink == 0 {
		return errors.New("something that is no link is called latest")
	}
	if dir == "" {
		if err := os.Remove(r.latest()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return syncDir(r.path)
	}
	if !strings.HasPrefix(dir, "..") {
		if _, err := r.Manifest(dir); err != nil {
			return err
		}
	}
	if info, err := os.Stat(r.Version(dir)); err != nil || !info.IsDir() {
		return errors.Join(err, fmt.Errorf("%s is no directory", r.Version(dir)))
	}
	target, err := filepath.Rel(r.path, r.Version(dir))
	if err != nil {
		return err
	}
	tmp := r.own("latest.tmp")
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Symlink(target, tmp); err != nil {
		return err
	}
	r.point("flip-linked")
	if err := os.Rename(tmp, r.latest()); err != nil {
		return err
	}
	r.point("flip-renamed")
	return syncDir(r.path)
}

// syncDir makes the names in a directory durable.
func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// writeFile writes a file that appears whole or not at all, and stays.
func writeFile(path string, content []byte) (err error) {
	tmp := path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|unix.O_NOFOLLOW, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// removeFile removes a file for good; one that is not there is removed.
func removeFile(path string) error {
	err := os.Remove(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return errors.Join(err, syncDir(filepath.Dir(path)))
}
