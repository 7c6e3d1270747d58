package source

import (
	"log/slog"
	"os"
	"path/filepath"

	"github.com/fsnotify/fsnotify"
)

// hints tells when something in a set of directories may have changed. It may
// miss changes and report some that are none: whoever listens looks for
// himself, and polls as well.
type hints struct {
	log     *slog.Logger
	watcher *fsnotify.Watcher // nil while there is none to be had
	watched map[string]os.FileInfo
	warned  bool
}

// Events is nil while there is no watcher. What it carries is of no interest.
func (h *hints) Events() <-chan fsnotify.Event {
	if h.watcher == nil {
		return nil
	}
	return h.watcher.Events
}

// Errors is the same for troubles, such as an overflow of the kernel's queue.
// They are as good a reason to look as an event.
func (h *hints) Errors() <-chan error {
	if h.watcher == nil {
		return nil
	}
	return h.watcher.Errors
}

// Watch makes dirs the set of watched directories, and reports whether some
// are new: what was read in them before may have changed unseen. One that was
// replaced under the same name is watched anew. Where a watch is refused,
// there is none.
func (h *hints) Watch(dirs []string) (added bool) {
	if !h.open() {
		return false
	}
	want := identities(dirs)
	for dir, was := range h.watched {
		if now, ok := want[dir]; !ok || !os.SameFile(was, now) {
			_ = h.watcher.Remove(dir) // the kernel may have done so already
			delete(h.watched, dir)
		}
	}
	for dir, info := range want {
		if h.watched[dir] != nil {
			continue
		}
		if err := h.watcher.Add(dir); err != nil {
			h.warn(dir, err)
			continue
		}
		h.watched[dir], added = info, true
	}
	return added
}

func identities(dirs []string) map[string]os.FileInfo {
	found := make(map[string]os.FileInfo, len(dirs))
	for _, dir := range dirs {
		if info, err := os.Stat(dir); err == nil {
			found[dir] = info
		}
	}
	return found
}

// open makes sure that there is a watcher.
func (h *hints) open() bool {
	if h.watcher != nil {
		return true
	}
	w, err := fsnotify.NewWatcher()
	if err != nil {
		h.warn("", err)
		return false
	}
	h.watcher, h.watched = w, make(map[string]os.FileInfo)
	return true
}

// warn tells the first refusal; the rest would be said at every look.
func (h *hints) warn(dir string, err error) {
	if !h.warned {
		h.log.Warn("cannot watch, polling only", "dir", dir, "error", err)
	}
	h.warned = true
}

// Close ends the watching; Watch begins it anew.
func (h *hints) Close() {
	if h.watcher != nil {
		_ = h.watcher.Close()
		h.watcher = nil
	}
}

// around is the directories that tell of a change of the path itself: those
// that hold it and what it links to.
func around(path string) []string {
	dirs := []string{filepath.Dir(path)}
	if real, err := filepath.EvalSymlinks(path); err == nil && real != path {
		dirs = append(dirs, filepath.Dir(real))
	}
	return dirs
}
