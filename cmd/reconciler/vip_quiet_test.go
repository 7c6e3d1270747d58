package main

import (
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"reconciler/internal/testns"
)

// TestQuietVIPs counts from outside what a daemon that is started after a kill
// asks the kernel to change of a balancer in the middle of a drain: nothing, nor
// does it write into the maps that it has in its memory.
func TestQuietVIPs(t *testing.T) {
	testns.NeedTool(t, "strace")
	t.Parallel()
	w := newVIPWorld(t, threeWays)
	w.start(w.program)
	w.become(100, 100, 100)
	w.push("b1: {enabled: true,", "b1: {enabled: false,")
	w.become(0, 100, 100)
	w.mustRun("", 0, "sync")
	w.inSync()
	w.end(unix.SIGKILL)
	before := w.memory()
	h := &traced{failHost{T: t, program: w.program, ns: w.ns, state: w.state}, filepath.Join(t.TempDir(), "trace")}
	if got := h.daemon(w.tree); got != (changes{}) {
		t.Errorf("a start after a kill made %s, want none", got)
	}
	if after := w.memory(); after != before {
		t.Errorf("the maps sum up to\n%s\nand to\n%s\nbefore the daemon was killed", after, before)
	}
}
