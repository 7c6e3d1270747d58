package source

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// dirPrefix begins the revisions of directories.
const dirPrefix = "dir-"

// ReadDir reads the YAML and the objects of a directory, or a single file, once. Symbolic
// links are followed as long as they stay in the directory.
func ReadDir(dir string) (Tree, error) {
	r := readDir(dir)
	if r.err != nil {
		return Tree{}, r.err
	}
	return r.tree(time.Now()), nil
}

// reading is what one look at a directory gave.
type reading struct {
	files map[string][]byte
	// dirs are the directories in it, to be watched, as absolute paths.
	dirs []string
	// busy is set while somebody is at work in it: a file is open for
	// writing, or Git is checking out.
	busy bool
	err  error
}

// key tells readings apart.
func (r reading) key() string {
	if r.err != nil {
		return "error: " + r.err.Error()
	}
	return digest(r.files)
}

func (r reading) tree(now time.Time) Tree {
	// As long as a commit's hash.
	return Tree{Revision: dirPrefix + digest(r.files)[:40], Time: now.UTC(), Files: r.files}
}

func readDir(dir string) reading {
	w := &walk{}
	files, err := w.read(dir)
	if err != nil {
		err = fmt.Errorf("read %s: %w", dir, classify(err))
	}
	return reading{files: files, dirs: w.dirs, busy: w.busy, err: err}
}

// classify puts a sentinel of this package on an error of the file system.
func classify(err error) error {
	switch {
	case errors.Is(err, ErrTooLarge), errors.Is(err, ErrEmpty), errors.Is(err, ErrUnreadable):
		return err
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: %w", ErrMissing, err)
	}
	return fmt.Errorf("%w: %w", ErrUnreadable, err)
}

// walk reads a directory through an os.Root, which keeps links inside.
type walk struct {
	gathering
	base string
	root *os.Root
	dirs []string
	busy bool
}

func (w *walk) read(dir string) (map[string][]byte, error) {
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(real)
	if err != nil {
		return nil, err
	}
	w.base = real
	if !info.IsDir() {
		w.base = filepath.Dir(real)
	}
	if w.root, err = os.OpenRoot(w.base); err != nil {
		return nil, err
	}
	defer w.root.Close()
	w.busy = checkingOut(w.base)
	if info.IsDir() {
		err = w.directory(".", nil)
	} else {
		err = w.file(filepath.Base(real))
	}
	if err != nil {
		return nil, err
	}
	return w.done()
}

// directory reads what is in a directory. Above are the directories on the
// way to it: a link back to one of them is a loop, and adds nothing.
func (w *walk) directory(name string, above []fs.FileInfo) error {
	if len(above) == maxDepth {
		return fmt.Errorf("%w: %s is deeper than %d directories", ErrTooLarge, name, maxDepth)
	}
	f, err := w.root.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if slices.ContainsFunc(above, func(a fs.FileInfo) bool { return os.SameFile(a, info) }) {
		return nil
	}
	w.dirs = append(w.dirs, filepath.Join(w.base, name))
	entries, err := f.ReadDir(maxEntries + 1)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	for _, e := range entries {
		if err := w.entry(path.Join(name, e.Name()), append(above, info)); err != nil {
			return err
		}
	}
	return nil
}

func (w *walk) entry(name string, above []fs.FileInfo) error {
	if err := w.visit(); err != nil {
		return err
	}
	if isHidden(path.Base(name)) {
		return nil
	}
	// A link that leads nowhere or outside is an error whatever its name: it
	// may have been a directory of YAML.
	info, err := w.root.Stat(name)
	switch {
	case err != nil:
		return err
	case info.IsDir():
		return w.directory(name, slices.Clip(above))
	case !isWanted(name):
		return nil
	case !info.Mode().IsRegular():
		return fmt.Errorf("%w: %s is no regular file", ErrUnreadable, name)
	}
	return w.file(name)
}

func (w *walk) file(name string) error {
	// O_NONBLOCK: it may have become a fifo by now.
	f, err := w.root.OpenFile(name, unix.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return errors.Join(fmt.Errorf("%w: %s is no regular file", ErrUnreadable, name), err)
	}
	w.busy = w.busy || beingWritten(f)
	return w.add(name, f)
}

// beingWritten reports whether anybody has the file open for writing: only
// then does the kernel refuse a read lease with EAGAIN (fcntl(2)). File systems
// without leases answer no.
func beingWritten(f *os.File) bool {
	conn, err := f.SyscallConn()
	if err != nil {
		return false
	}
	var busy bool
	err = conn.Control(func(fd uintptr) {
		_, err := unix.FcntlInt(fd, unix.F_SETLEASE, unix.F_RDLCK)
		busy = errors.Is(err, unix.EAGAIN)
		if err == nil {
			_, _ = unix.FcntlInt(fd, unix.F_SETLEASE, unix.F_UNLCK)
		}
	})
	return err == nil && busy
}

// checkingOut reports whether Git is at work in the working tree around dir.
func checkingOut(dir string) bool {
	for range maxDepth {
		if _, err := os.Stat(filepath.Join(dir, ".git")); err == nil {
			_, err := os.Stat(filepath.Join(dir, ".git", "index.lock"))
			return err == nil
		}
		dir = filepath.Dir(dir)
	}
	return false
}
