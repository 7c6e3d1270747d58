// Package bpffs is where pins stand that outlive the process: a directory for
// each network namespace below the mount of the BPF file system, which proves
// whose it is.
//
// It owns that directory and the way through the file system. It never opens a
// pin, knows nothing of what is pinned, and imports nothing of ours.
package bpffs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// DefaultMount is where systems mount it.
const DefaultMount = "/sys/fs/bpf"

// Root is the directory of a network namespace.
type Root struct {
	Mount     string
	Namespace string
	Cookie    uint64 // proves which namespace it is: names are used again
}

// Dir is its path.
func (r Root) Dir() string { return filepath.Join(r.Mount, "reconciler", r.Namespace) }

// Ready mounts the BPF file system where it is missing, and makes the root of
// the namespace. What a namespace left there that had the same inode goes.
func (r Root) Ready() error {
	if err := r.mounted(); err != nil {
		return err
	}
	if r.Stale() {
		if err := RemoveTree(r.Dir()); err != nil {
			return fmt.Errorf("remove the pins of a namespace that is gone: %w", err)
		}
	}
	if err := os.MkdirAll(r.Mark(), 0o700); err != nil {
		return fmt.Errorf("make the directory of pins: %w", err)
	}
	return nil
}

const markPrefix = "cookie:"

// Mark is an empty directory that says whose pins these are: a file system of
// pins holds no files.
func (r Root) Mark() string {
	return filepath.Join(r.Dir(), markPrefix+strconv.FormatUint(r.Cookie, 10))
}

// Stale reports pins of another network namespace, which had the same inode.
func (r Root) Stale() bool {
	names, err := List(r.Dir())
	if err != nil || Exists(r.Mark()) {
		return false
	}
	return slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(n, markPrefix) })
}

// Tidy removes the directory where nothing is pinned any more.
func (r Root) Tidy() error {
	names, err := List(r.Dir())
	if len(names) == 1 && names[0] == filepath.Base(r.Mark()) {
		return RemoveTree(r.Dir())
	}
	return err
}

func (r Root) mounted() error {
	var fs unix.Statfs_t
	if err := unix.Statfs(r.Mount, &fs); err != nil {
		return fmt.Errorf("look for the BPF file system at %s: %w", r.Mount, err)
	}
	if fs.Type == unix.BPF_FS_MAGIC {
		return nil
	}
	if err := unix.Mount("bpf", r.Mount, "bpf", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC|unix.MS_RELATIME, "mode=0700"); err != nil {
		return fmt.Errorf("mount the BPF file system at %s: %w", r.Mount, err)
	}
	return nil
}

// List names what lies in a directory of pins, sorted; nothing where there is
// none. It is most of what a look does, so it goes without the runtime's poller.
func List(dir string) ([]string, error) {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) {
		return nil, nil
	}
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: dir, Err: err}
	}
	defer unix.Close(fd)
	names := []string{}
	for buf := make([]byte, 4096); ; {
		n, err := unix.ReadDirent(fd, buf)
		if err != nil {
			return nil, &os.PathError{Op: "read", Path: dir, Err: err}
		}
		if n <= 0 {
			slices.Sort(names)
			return names, nil
		}
		_, _, names = unix.ParseDirent(buf[:n], -1, names)
	}
}

// RemoveTree removes a directory of pins; it is no error if it is not there.
func RemoveTree(dir string) error {
	names, err := List(dir)
	if err != nil {
		return fmt.Errorf("remove %s: %w", dir, err)
	}
	var errs []error
	for _, name := range names {
		path := filepath.Join(dir, name)
		err := os.Remove(path)
		if errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, unix.EISDIR) {
			err = RemoveTree(path)
		}
		errs = append(errs, err)
	}
	return errors.Join(append(errs, RemoveEmpty(dir))...)
}

// RemoveEmpty removes a directory that holds nothing.
func RemoveEmpty(dir string) error {
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENOTEMPTY) {
		return err
	}
	return nil
}

// Exists reports whether there is a pin.
func Exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// Escape makes a name one that a pin may have.
func Escape(name string) string {
	if !strings.ContainsAny(name, "%./") {
		return name
	}
	return strings.NewReplacer("%", "%25", ".", "%2e", "/", "%2f").Replace(name)
}

// Unescape is the name that was escaped.
func Unescape(name string) string {
	if !strings.Contains(name, "%") {
		return name
	}
	return strings.NewReplacer("%25", "%", "%2e", ".", "%2f", "/").Replace(name)
}
