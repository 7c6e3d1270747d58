package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"reconciler/internal/driver/failpoint"
	"reconciler/internal/testns"
)

// TestFailpoints lets an apply fail, and lets it be killed, at every operation.
// One clean apply must then converge, and what is foreign must be there.
func TestFailpoints(t *testing.T) {
	testns.NeedRoot(t)
	program := buildProgram(t)
	for _, action := range []string{"error", "kill"} {
		t.Run(action, func(t *testing.T) {
			t.Parallel()
			const most = 100
			for at := range most {
				if failAt(t, program, fmt.Sprintf("%d:%s", at, action)) {
					if at < 15 {
						t.Fatalf("the plan had %d operations: not the test that was meant", at)
					}
					return
				}
			}
			t.Fatalf("still failing at operation %d", most)
		})
	}
}

// buildProgram makes the program without the race detector: it starts some hundred
// times.
func buildProgram(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "reconciler")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return program
}

// failAt reports that the failpoint lay behind the last operation.
func failAt(t *testing.T, program, point string) bool {
	t.Helper()
	h := &failHost{T: t, program: program, ns: testns.New(t), state: t.TempDir()}
	former, want := "testdata/failpoint/former", "testdata/failpoint/want"
	h.mustRun("", 0, "apply", former)
	h.ns.IP("route", "add", "198.18.0.0/15", "via", "10.0.0.250", "proto", "bird")
	h.ns.IP("link", "add", "other0", "type", "veth", "peer", "name", "other1")
	passed := h.run(point, "apply", want) == 0
	h.mustRun("", 0, "apply", want) // which looks again, and exits 4 if anything were left
	if out := h.ns.IP("route", "show", "198.18.0.0/15"); !strings.Contains(out, "bird") {
		t.Fatalf("%s: the foreign route is gone", point)
	}
	h.ns.IP("link", "show", "other0")
	return passed
}

type failHost struct {
	*testing.T
	program string
	ns      *testns.NS
	state   string
	last    []byte
}

func (h *failHost) mustRun(point string, status int, args ...string) {
	h.Helper()
	if got := h.run(point, args...); got != status {
		h.Fatalf("%s: reconciler %s: exit status %d, want %d\n%s", point, strings.Join(args, " "), got, status, h.last)
	}
}

func (h *failHost) run(point string, args ...string) int {
	h.Helper()
	cmd := exec.Command(h.program, args...)
	cmd.Env = append(os.Environ(), "RECONCILER_NETNS="+h.ns.Name, "RECONCILER_STATE_DIR="+h.state,
		"RECONCILER_SOCKET="+filepath.Join(h.state, "api.sock"), failpoint.Env+"="+point)
	out, err := cmd.CombinedOutput()
	h.last = out
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	}
	h.Fatal(err)
	return -1
}
