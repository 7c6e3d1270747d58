package source

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func heard(h *hints) bool {
	select {
	case <-h.Events():
		return true
	case <-time.After(200 * time.Millisecond):
		return false
	}
}

func TestHintsWatchWhatIsThereNow(t *testing.T) {
	base := t.TempDir()
	a, b := filepath.Join(base, "a"), filepath.Join(base, "b")
	must(t, os.Mkdir(a, 0o755))
	must(t, os.Mkdir(b, 0o755))
	h := &hints{log: slog.New(slog.DiscardHandler)}
	defer h.Close()
	if !h.Watch([]string{a}) {
		t.Error("a new directory is not reported")
	}
	if h.Watch([]string{a}) {
		t.Error("one already watched is reported as new")
	}
	write(t, a+"/f", "x")
	if !heard(h) {
		t.Error("nothing heard of a file")
	}
	must(t, os.Rename(a, base+"/old"))
	must(t, os.Rename(b, a))
	for heard(h) {
	}
	if !h.Watch([]string{a, base + "/none"}) {
		t.Error("another directory of the same name is not reported")
	}
	write(t, a+"/f", "x")
	if !heard(h) {
		t.Error("nothing heard of the directory that took the name")
	}
	for heard(h) {
	}
	if h.Watch(nil) {
		t.Error("no directory is reported as new")
	}
	write(t, a+"/g", "x")
	if heard(h) {
		t.Error("heard of a directory that is no longer watched")
	}
}
