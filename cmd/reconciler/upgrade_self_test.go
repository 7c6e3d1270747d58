package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"reconciler/internal/state"
	"reconciler/test/load"
)

// succeeding is a host whose reconciler upgrades itself.
type succeeding struct {
	*upgrading
	pid string   // a file
	env []string // of the first
}

func newSucceeding(t *testing.T) *succeeding {
	t.Helper()
	s := &succeeding{upgrading: newUpgrading(t)}
	s.root = filepath.Join(openDir(t), "reconciler")
	s.pid = filepath.Join(s.state, "pid")
	s.soak = 500 * time.Millisecond
	return s
}

// make builds a version of a package and puts it on the server.
func (s *succeeding) make(version, from, fault string) string {
	s.Helper()
	program := filepath.Join(s.TempDir(), "reconciler")
	cmd := exec.Command("go", "build", "-o", program, "-ldflags", fmt.Sprintf("-s -w -X main.version=%s -X main.fault=%s", version, fault), from)
	if out, err := cmd.CombinedOutput(); err != nil {
		s.Fatalf("build: %v\n%s", err, out)
	}
	content, err := os.ReadFile(program)
	if err != nil {
		s.Fatal(err)
	}
	return s.offer("/"+version+".tar.gz", "reconciler", content)
}

func (s *succeeding) push(version, sum, more string) {
	s.Helper()
	text := fmt.Sprintf(`version: 1
interfaces:
  v0: {kind: veth, veth: {peer: v1}, addresses: [10.9.0.1/24]}
upgrades:
  reconciler:
    version: %s
    artifact: {url: "http://%s/{version}.tar.gz", sha256: "%s"}
    root: %s
    start: {mode: handover}
    ready: {timeout: 3s}
    soak: %s
%s`, version, s.server.Listener.Addr(), sum, s.root, s.soak, more)
	if err := os.MkdirAll(s.tree, 0o755); err != nil {
		s.Fatal(err)
	}
	if err := state.WriteFile(filepath.Join(s.tree, "net.yaml"), []byte(text), 0o600); err != nil {
		s.Fatal(err)
	}
}

// first starts the reconciler that is not below the root.
func (s *succeeding) first() {
	s.Helper()
	log, err := os.Create(filepath.Join(s.TempDir(), "log"))
	if err != nil {
		s.Fatal(err)
	}
	cmd := exec.Command(s.program, "run", "--dir", s.tree, "--pid-file", s.pid)
	cmd.Stderr = log
	cmd.Env = append(os.Environ(), "RECONCILER_NETNS="+s.ns.Name, "RECONCILER_STATE_DIR="+s.state,
		"RECONCILER_SOCKET="+filepath.Join(s.state, "api.sock"), "RECONCILER_METRICS=127.0.0.1:9377")
	cmd.Env = append(cmd.Env, s.env...)
	if err := cmd.Start(); err != nil {
		s.Fatal(err)
	}
	go func() { _ = cmd.Wait() }()
	s.Cleanup(func() {
		text, err := os.ReadFile(s.pid)
		if err == nil {
			_ = exec.Command("kill", "-KILL", strings.TrimSpace(string(text))).Run()
		}
		_ = cmd.Process.Kill()
		if s.Failed() {
			text, _ := os.ReadFile(log.Name())
			s.Logf("log:\n%s", text)
		}
	})
}

// works waits until a version runs, and is kept.
func (s *succeeding) works(version string) {
	s.Helper()
	s.tells("(?m)^reconciler  handover  [^ ]+  "+version+"$", "get", "upgrades")
	s.tells("(?m)version "+version+"$", "status")
	s.says("^in sync|Unfit|NotReady")
}

// load starts clients of both listeners.
func (s *succeeding) load(clients int) *load.Load {
	return load.Start(load.Daemon{Socket: filepath.Join(s.state, "api.sock"), Metrics: "http://127.0.0.1:9377/metrics", Dial: s.dial}, clients, 5*time.Millisecond)
}

// unbroken wants that no request failed.
func (s *succeeding) unbroken(l *load.Load) {
	s.Helper()
	asked, err := l.End()
	s.Logf("%d requests", asked)
	if err != nil {
		s.Error(err)
	}
}

// TestUpgradeOfItself is that reconciler hands over to its next versions by push,
// with all its clients, and goes on by itself where one is bad.
func TestUpgradeOfItself(t *testing.T) {
	t.Parallel()
	s := newSucceeding(t)
	s.push("v0.1.0", s.make("v0.1.0", ".", ""), "")
	s.first()
	s.works("v0.1.0")
	l := s.load(20)
	for i := range 3 {
		version := fmt.Sprintf("v0.2.%d", i)
		sum := s.make(version, ".", "")
		began := time.Now()
		s.push(version, sum, "")
		s.works(version)
		t.Logf("%s after %s", version, time.Since(began).Round(time.Millisecond))
	}
	for i, one := range []struct{ fault, reason string }{
		{"exits", "it did not start: it ended, exit status 3"},
		{"exits-late", "it did not start: it ended, exit status 4"},
		{"hangs", "it did not start: it says nothing"},
		{"lies", "it says that it is version v9.9.9, and not v0.3.3"},
		{"changes", "it would change - route 198.51.100.0/24"},
		{"dies-when-let", "it did not take over: it ended, exit status 5"},
		{"silent", "it did not take over: it says nothing"},
		{"dies-later", "it had taken over: it ended, exit status 6"},
	} {
		version, fault := fmt.Sprintf("v0.3.%d", i), one.fault
		sum := s.make(version, "./testdata/impostor", fault)
		began := time.Now()
		s.push(version, sum, "")
		s.tells("! "+version+" failed: "+one.reason, "get", "upgrades")
		t.Logf("%s: back after %s: %s", fault, time.Since(began).Round(time.Millisecond), lineOf(string(s.last), "! "+version))
		s.works("v0.2.2")
	}
	// It is as much a reconciler as before.
	s.push("v0.2.2", s.make("v0.2.2", ".", ""), "routes: [{to: 198.51.100.0/24, via: 10.9.0.2}]\n")
	s.says("^in sync")
	if out := s.ns.IP("route", "show", "198.51.100.0/24"); out == "" {
		t.Error("the route of the last push is not there")
	}
	s.unbroken(l)
}

func lineOf(text, with string) string {
	for line := range strings.Lines(text) {
		if strings.Contains(line, with) {
			return strings.TrimSpace(line)
		}
	}
	return ""
}
