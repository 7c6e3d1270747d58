package source

import (
	"context"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"reconciler/internal/testns"
)

func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "8"); err != nil { // they mostly sleep
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

// running is a Source at work in the background of a test.
type running struct {
	t      *testing.T
	source Source

	mu     sync.Mutex
	trees  []Tree
	at     []time.Time
	health []error
}

func start(t *testing.T, s Source) *running {
	t.Helper()
	r := &running{t: t, source: s}
	startWith(t, r, func(tree Tree) {
		r.deliver(tree)
		if h, ok := s.(Historian); ok {
			h.Accepted(tree.Revision)
		}
	})
	return r
}

func startWith(t *testing.T, r *running, deliver func(Tree)) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.source.Run(ctx, deliver, r.report) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(10 * time.Second):
			t.Error("Run does not end")
		}
	})
}

func (r *running) deliver(tree Tree) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.trees, r.at = append(r.trees, tree), append(r.at, time.Now())
}

func (r *running) report(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.health = append(r.health, err)
}

// count is how many trees were delivered so far.
func (r *running) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.trees)
}

// last is the tree delivered last.
func (r *running) last() Tree {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.trees) == 0 {
		r.t.Fatal("no tree yet")
	}
	return r.trees[len(r.trees)-1]
}

// wait is a wait for something to become true.
func wait(t *testing.T, within time.Duration, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(within); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", within, what)
		}
	}
}

// tree waits for the n-th tree, counted from 1.
func (r *running) tree(n int, within time.Duration) Tree {
	r.t.Helper()
	wait(r.t, within, "tree", func() bool { return r.count() >= n })
	return r.last()
}

// sick waits until the health is an error that satisfies is.
func (r *running) sick(within time.Duration, is func(error) bool) error {
	r.t.Helper()
	var err error
	wait(r.t, within, "health", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		if n := len(r.health); n > 0 {
			err = r.health[n-1]
		}
		return err != nil && is(err)
	})
	return err
}

// well waits until the health is nil.
func (r *running) well(within time.Duration) {
	r.t.Helper()
	wait(r.t, within, "well again", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return len(r.health) > 0 && r.health[len(r.health)-1] == nil
	})
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// smallDisk is a file system of that size.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	testns.NeedRoot(t)
	dir := t.TempDir()
	must(t, unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size))
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// show prints files as name=content, sorted, for comparisons.
func show(t Tree) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(t.Files)) {
		b.WriteString(name + "=" + string(t.Files[name]) + ";")
	}
	return b.String()
}

// waitLong is how long a test waits for what is to come: long, as machines are
// busy, and of no matter where it comes.
const waitLong = 30 * time.Second
