package main

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"reconciler/internal/testns"
)

// verdictObject holds programs that count what they see.
const verdictObject = "../../internal/driver/chain/testdata/verdict.o"

// pinsOf is where the program pins what it loads in a namespace.
func pinsOf(t testing.TB, ns *testns.NS) string {
	t.Helper()
	var s unix.Stat_t
	if err := unix.Stat(ns.Path(), &s); err != nil {
		t.Fatal(err)
	}
	return filepath.Join("/sys/fs/bpf/reconciler", strconv.FormatUint(s.Ino, 10))
}

// dropPins removes them when the test ends.
func dropPins(t testing.TB, ns *testns.NS) {
	t.Helper()
	dir := pinsOf(t, ns)
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("remove pins: %v", err)
		}
	})
}
