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
	// C holds at most one hint.
	C   chan struct{}
	log *slog.Logger

	watcher *fsnotify.Watcher // nil while there is none to be had
	done    chan struct{}     // closed when the watcher's listener has ended
	watched map[string]os.FileInfo
}

func newHints(log *slog.Logger) *hints {
	return &hints{C: make(chan struct{}, 1), log: log}
}

// Watch makes dirs the set of watched directories. One that was replaced under
// the same name is watched anew. Where a watch is refused, there is none.
func (h *hints) Watch(dirs []string) {
	if !h.start() {
		return
	}
	want := make(map[string]os.FileInfo, len(dirs))
	for _, dir := range dirs {
		if info, err := os.Stat(dir); err == nil {
			want[dir] = info
		}
	}
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
			h.log.Warn("cannot watch, polling only", "dir", dir, "error", err)
			continue
		}
		h.watched[dir] = info
		h.hint() // it was not watched while it was read
	}
}

// start makes sure that there is a living watcher.
func (h *hints) start() bool {
	select {
	case <-h.done: // nil blocks: never started
		h.Close()
	default:
	}
	if h.watcher != nil {
		return true
	}
	w, err := fsnotify.NewWatcher()
	if err != nil {
		h.log.Warn("cannot watch, polling only", "error", err)
		return false
	}
	h.watcher, h.done, h.watched = w, make(chan struct{}), make(map[string]os.FileInfo)
	go h.listen(w, h.done)
	return true
}

// listen empties the watcher, so that it never waits for us. An error, such as
// an overflow of its queue, is as good a reason to look as an event.
func (h *hints) listen(w *fsnotify.Watcher, done chan struct{}) {
	defer close(done)
	events, errs := w.Events, w.Errors
	for events != nil && errs != nil {
		select {
		case _, ok := <-events:
			if !ok {
				events = nil
			}
		case err, ok := <-errs:
			if !ok {
				errs = nil
			}
			h.log.Debug("watch", "error", err)
		}
		h.hint()
	}
}

func (h *hints) hint() {
	select {
	case h.C <- struct{}{}:
	default:
	}
}

// Close ends the watching and its goroutines.
func (h *hints) Close() {
	if h.watcher == nil {
		return
	}
	_ = h.watcher.Close()
	<-h.done
	h.watcher, h.done, h.watched = nil, nil, nil
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
