package chain

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cilium/ebpf"

	"reconciler/internal/driver/bpffs"
)

// A map that has a path of its own is shared by all instances that name the
// path. Each marks that in its directory, by a symbolic link to the path: as
// ours, whose pin goes with the last of them, or as one that it only uses.
const (
	ownPrefix = "own:"
	usePrefix = "use:"
)

// share pins a map at its own path, where none is yet, and marks what it is to
// the instance: the mark first, so that no pin of ours is without.
func (d *Driver) share(dir, name, path string, external bool, m *ebpf.Map) error {
	missing := !bpffs.Exists(path)
	is, isNot := usePrefix, ownPrefix
	switch {
	case external:
		if err := d.disown(path); err != nil {
			return err
		}
	case (missing || d.sharedAs(ownPrefix, path, "")) && !d.sharedAs(usePrefix, path, dir):
		is, isNot = isNot, is
	}
	if err := os.Remove(filepath.Join(dir, isNot+bpffs.Escape(name))); err != nil && !os.IsNotExist(err) {
		return err
	}
	if err := os.Symlink(path, filepath.Join(dir, is+bpffs.Escape(name))); err != nil && !os.IsExist(err) {
		return fmt.Errorf("mark whose pin it is: %w", err)
	}
	if !missing {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("make the directory of a shared pin: %w", err)
	}
	return pin(m.FD(), path)
}

// disown turns marks of ours into those of who only uses a path: one program
// that calls it external is enough.
func (d *Driver) disown(path string) error {
	for _, dir := range d.instanceDirs() {
		for name, p := range marks(dir, ownPrefix) {
			if p != path {
				continue
			}
			if err := os.Rename(filepath.Join(dir, ownPrefix+bpffs.Escape(name)), filepath.Join(dir, usePrefix+bpffs.Escape(name))); err != nil {
				return fmt.Errorf("mark whose pin it is: %w", err)
			}
		}
	}
	return nil
}

// instanceDirs are the directories of all instances.
func (d *Driver) instanceDirs() []string {
	dirs, _ := filepath.Glob(filepath.Join(d.pins.programs(), "*", "*"))
	return dirs
}

// marks are the paths that an instance has marked, by map.
func marks(dir, prefix string) map[string]string {
	out := map[string]string{}
	names, _ := bpffs.List(dir)
	for _, n := range names {
		name, ok := strings.CutPrefix(n, prefix)
		if !ok {
			continue
		}
		if path, err := os.Readlink(filepath.Join(dir, n)); err == nil {
			out[bpffs.Unescape(name)] = path
		}
	}
	return out
}

// sharedAs reports that an instance has marked a path, but the one in a
// directory.
func (d *Driver) sharedAs(prefix, path, except string) bool {
	return slices.ContainsFunc(d.instanceDirs(), func(dir string) bool {
		if dir == except {
			return false
		}
		for _, p := range marks(dir, prefix) {
			if p == path {
				return true
			}
		}
		return false
	})
}

// unshare removes the pins of ours that only the instance in a directory uses.
// What somebody else has pinned there meanwhile stays.
func (d *Driver) unshare(dir string) error {
	for name, path := range marks(dir, ownPrefix) {
		id := pinnedMapID(path)
		if id == 0 || id != pinnedMapID(mapPin(dir, name)) || d.sharedAs(ownPrefix, path, dir) || d.sharedAs(usePrefix, path, dir) {
			continue
		}
		if err := os.Remove(path); err != nil {
			return fmt.Errorf("remove the pin of map %s: %w", name, err)
		}
		for up := filepath.Dir(path); strings.HasPrefix(up, d.pins.maps()); up = filepath.Dir(up) {
			if err := bpffs.RemoveEmpty(up); err != nil {
				return fmt.Errorf("remove the directory of a pin: %w", err)
			}
		}
	}
	return nil
}

// SharedPins lists the pins of maps that have a path of their own: those that go
// with their programs, and those that stay, as others made them, or nobody
// knows any more who.
func (d *Driver) SharedPins() (leave, stay []string, err error) {
	for _, dir := range d.instanceDirs() {
		for _, path := range marks(dir, ownPrefix) {
			leave = append(leave, path)
		}
		for _, path := range marks(dir, usePrefix) {
			stay = append(stay, path)
		}
	}
	err = filepath.WalkDir(d.pins.maps(), func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			stay = append(stay, path)
		}
		return err
	})
	if os.IsNotExist(err) {
		err = nil
	}
	slices.Sort(stay)
	stay = slices.DeleteFunc(slices.Compact(stay), func(path string) bool { return slices.Contains(leave, path) || !bpffs.Exists(path) })
	slices.Sort(leave)
	return slices.Compact(leave), stay, err
}
