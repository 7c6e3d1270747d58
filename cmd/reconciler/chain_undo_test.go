package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"reconciler/internal/driver/failpoint"
	"reconciler/internal/state"
	"reconciler/internal/testns"
)

// contentsTree declares a chain of two programs, with these entries in a map of
// each.
func contentsTree(t *testing.T, dir, entries string) {
	t.Helper()
	object, err := filepath.Abs(verdictObject)
	if err != nil {
		t.Fatal(err)
	}
	text := "version: 1\ninterfaces:\n  v0: {kind: veth, veth: {peer: v1}}\nprograms:\n"
	for _, p := range []string{"a", "b"} {
		text += fmt.Sprintf("  %s: {object: {file: %s}, entry: plain, maps: {settings_of_the_program: {mode: merge, entries: [%s]}}}\n", p, object, entries)
	}
	text += "chains:\n  v0: {xdp-ingress: {programs: [a, b]}}\n"
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := state.WriteFile(filepath.Join(dir, "net.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestKilledContents kills the daemon between the changes of two maps: its next
// start puts back what the first held, what was not declared before included.
func TestKilledContents(t *testing.T) {
	t.Parallel()
	testns.NeedRoot(t)
	h := &failHost{T: t, program: buildProgram(t), ns: testns.New(t), state: t.TempDir()}
	dropPins(t, h.ns)
	tree := filepath.Join(t.TempDir(), "tree")
	const former, next = "{key: 1, value: 10}", "{key: 1, value: 11}, {key: 3, value: 30}"
	contentsTree(t, tree, former)
	h.mustRun("", 0, "apply", tree)
	start := func(point string) *exec.Cmd {
		cmd := exec.Command(h.program, "run", "--dir", tree)
		cmd.Env = append(os.Environ(), "RECONCILER_NETNS="+h.ns.Name, "RECONCILER_STATE_DIR="+h.state,
			"RECONCILER_SOCKET="+filepath.Join(h.state, "api.sock"), "RECONCILER_METRICS=", failpoint.Env+"="+point)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return cmd
	}
	says := func(words string) {
		t.Helper()
		for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
			if h.run("", "status"); regexp.MustCompile("(?m)" + words).Match(h.last) {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("status does not say %q:\n%s", words, h.last)
			}
		}
	}
	holds := func(program string) string {
		return bpftool(t, "-j", "map", "dump", "pinned", programPin(t, h.ns, program+"@v0", "map:settings_of_the_program"))
	}
	was := holds("a")
	victim := start("1:kill")
	says("^in sync")
	contentsTree(t, tree, next)
	if err := victim.Wait(); err == nil {
		t.Fatal("the daemon was not killed")
	}
	if holds("a") == was || holds("b") != was {
		t.Fatalf("not killed in the middle:\n%s\n%s", holds("a"), holds("b"))
	}
	again := start("")
	defer func() { _ = again.Process.Kill(); _ = again.Wait() }()
	says("Quarantined")
	if now := holds("a"); now != was {
		t.Errorf("the map holds\n%s\nwant what it held before the apply\n%s", now, was)
	}
	h.run("", "events")
	if strings.Contains(string(h.last), "could not be put back") {
		t.Errorf("%s", h.last)
	}
}
