package release

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Publish gives a version its name. put moves a tree that is on the disk to a
// path on the same file system; where a damaged one has the name, the two change
// places in one step.
func (r *Root) Publish(dir string, m Manifest, put func(to string) error) error {
	if err := r.publish(dir, m, put); err != nil {
		return fmt.Errorf("publish version %s: %w", dir, err)
	}
	return nil
}

func (r *Root) publish(dir string, m Manifest, put func(to string) error) error {
	if !plainName(dir) {
		return fmt.Errorf("%q is no name of a version", dir)
	}
	staged := r.own("staged", dir)
	if err := os.RemoveAll(staged); err != nil {
		return err
	}
	if err := put(staged); err != nil {
		return err
	}
	r.point("publish-staged")
	files, err := Scan(staged)
	if err != nil {
		return err
	}
	m.Files = files
	content, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if err := errors.Join(syncDir(staged), syncDir(filepath.Dir(staged)), writeFile(r.own("manifest", dir), content)); err != nil {
		return err
	}
	r.point("publish-manifest")
	if err := r.swap(staged, dir); err != nil {
		return err
	}
	r.point("publish-renamed")
	return errors.Join(syncDir(r.versions()), os.RemoveAll(staged))
}

// swap gives a tree the name of a version, and that of the tree to what had it.
func (r *Root) swap(staged, dir string) error {
	err := unix.Renameat2(unix.AT_FDCWD, staged, unix.AT_FDCWD, r.Version(dir), unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EEXIST) {
		err = unix.Renameat2(unix.AT_FDCWD, staged, unix.AT_FDCWD, r.Version(dir), unix.RENAME_EXCHANGE)
	}
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) { // a file system that knows neither
		return os.Rename(staged, r.Version(dir))
	}
	if err != nil {
		return &os.LinkError{Op: "rename", Old: staged, New: r.Version(dir), Err: err}
	}
	return nil
}

// Remove removes a version of ours that is not in use: its name at once.
func (r *Root) Remove(dir string) error {
	if err := r.remove(dir); err != nil {
		return fmt.Errorf("remove version %s: %w", dir, err)
	}
	return nil
}

func (r *Root) remove(dir string) error {
	if !plainName(dir) {
		return fmt.Errorf("%q is no name of a version", dir)
	}
	if now, err := r.Current(); err != nil || now == dir {
		return errors.Join(err, errors.New("latest leads to it"))
	}
	gone := r.own("gone", dir)
	if err := os.RemoveAll(gone); err != nil {
		return err
	}
	if err := os.Rename(r.Version(dir), gone); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	r.point("remove-renamed")
	if err := errors.Join(syncDir(r.versions()), removeFile(r.own("manifest", dir))); err != nil {
		return err
	}
	r.point("remove-manifest")
	return os.RemoveAll(gone)
}

// Sweep collects what a crash left: work in progress, and manifests without a
// version. The caller has the Lock.
func (r *Root) Sweep() error {
	var errs []error
	for _, dir := range []string{"staged", "gone"} {
		entries, err := os.ReadDir(r.own(dir))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
		for _, e := range entries {
			errs = append(errs, os.RemoveAll(r.own(dir, e.Name())))
		}
	}
	manifests, err := os.ReadDir(r.own("manifest"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		errs = append(errs, err)
	}
	for _, e := range manifests {
		if _, err := os.Lstat(r.Version(e.Name())); errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, os.Remove(r.own("manifest", e.Name())))
		}
	}
	for _, name := range []string{"latest.tmp", "journal.tmp", "boot.tmp"} {
		if err := os.Remove(r.own(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("collect what was left in %s: %w", r.path, err)
	}
	return nil
}
