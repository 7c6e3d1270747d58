package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"reconciler/internal/state"
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

// chainTree writes a tree with a pair of links, three programs with contents of
// maps, and chains of them on three hooks of one of the links. The order of the
// programs is as given.
func chainTree(t testing.TB, dir string, order ...string) {
	t.Helper()
	object, err := os.ReadFile(verdictObject)
	if err != nil {
		t.Fatal(err)
	}
	var w strings.Builder
	w.WriteString("version: 1\ninterfaces:\n  v0: {kind: veth, veth: {peer: v1}}\nprograms:\n")
	for _, p := range []string{"a", "b", "c"} {
		fmt.Fprintf(&w, "  %s: {object: {file: verdict.o}, entry: plain, maps: {settings_of_the_program: {mode: exact, entries: [{key: 1, value: 10}]}}}\n", p)
		fmt.Fprintf(&w, "  %s-tc: {object: {file: verdict.o}, entry: traffic, constants: {verdict: -1}}\n", p)
	}
	w.WriteString("chains:\n  v0:\n")
	fmt.Fprintf(&w, "    xdp-ingress: {programs: [%s]}\n", strings.Join(order, ", "))
	tc := strings.Join(order, "-tc, ") + "-tc"
	fmt.Fprintf(&w, "    tc-ingress: {programs: [%s]}\n    tc-egress: {programs: [%s]}\n", tc, tc)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"verdict.o": object, "net.yaml": []byte(w.String())} {
		if err := state.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestQuietChains counts from outside what is asked of the kernel's BPF: nothing
// where all is as declared, neither at once nor after a start.
func TestQuietChains(t *testing.T) {
	t.Parallel()
	h := newTraced(t)
	dropPins(t, h.ns)
	want := filepath.Join(t.TempDir(), "tree")
	chainTree(t, want, "a", "b", "c")
	if first := h.apply(want); first.programs < 50 {
		t.Fatalf("making all took %s: the count cannot be trusted", first)
	}
	if again := h.apply(want); again != (changes{}) {
		t.Errorf("a second apply made %s, want none", again)
	}
	if again := h.daemon(want); again != (changes{}) {
		t.Errorf("a first run made %s, want none", again)
	}
	if again := h.daemon(want); again != (changes{}) {
		t.Errorf("a run that is started again made %s, want none", again)
	}
	bpftool(t, "map", "update", "pinned", programPin(t, h.ns, "b@v0", "map:settings_of_the_program"),
		"key", "1", "0", "0", "0", "value", "9", "0", "0", "0", "0", "0", "0", "0")
	if repair := h.daemon(want); repair != (changes{programs: 1}) {
		t.Errorf("to bring one entry back took %s, want one bpf call", repair)
	}
}

// programPin is a pin of the only version of an instance.
func programPin(t testing.TB, ns *testns.NS, instance, pin string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(pinsOf(t, ns), "programs", instance, "*", pin))
	if err != nil || len(found) != 1 {
		t.Fatalf("%s of %s is pinned at %v, %v; want one place", pin, instance, found, err)
	}
	return found[0]
}

func bpftool(t testing.TB, args ...string) string {
	t.Helper()
	testns.NeedTool(t, "bpftool")
	out, err := exec.Command("bpftool", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("bpftool %v: %v\n%s", args, err, out)
	}
	return string(out)
}
