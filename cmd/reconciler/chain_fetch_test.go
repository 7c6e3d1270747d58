package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"reconciler/internal/state"
	"reconciler/internal/testns"
)

// fetching is a host whose object comes from a server in its namespace.
type fetching struct {
	failHost
	server *httptest.Server
	sum    string
	tree   string
	stalls chan struct{} // closed to let go of what stalls
}

func newFetching(t *testing.T) *fetching {
	t.Helper()
	testns.NeedRoot(t)
	f := &fetching{failHost: failHost{T: t, program: buildProgram(t), ns: testns.New(t), state: t.TempDir()}, stalls: make(chan struct{})}
	dropPins(t, f.ns)
	f.tree = filepath.Join(t.TempDir(), "tree")
	object, err := os.ReadFile(verdictObject)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(object)
	f.sum = hex.EncodeToString(sum[:])
	mux := http.NewServeMux()
	mux.HandleFunc("/verdict.o", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(object) })
	mux.HandleFunc("/stalled.o", func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		select {
		case <-f.stalls:
		case <-r.Context().Done():
		}
	})
	f.server = httptest.NewUnstartedServer(mux)
	f.ns.Do(func() { f.server.Listener, err = net.Listen("tcp", "127.0.0.1:0") })
	if err != nil {
		t.Fatal(err)
	}
	f.server.Start()
	t.Cleanup(func() { close(f.stalls); f.server.Close() })
	return f
}

// declare writes the tree: a chain of one program, from a path of the server.
func (f *fetching) declare(path, sum string) {
	f.Helper()
	text := fmt.Sprintf(`version: 1
interfaces:
  v0: {kind: veth, veth: {peer: v1}}
programs:
  count:
    object: {url: "http://%s/%s", sha256: "%s"}
    entry: plain
chains:
  v0: {xdp-ingress: {programs: [count]}}
`, f.server.Listener.Addr(), path, sum)
	if err := os.MkdirAll(f.tree, 0o755); err != nil {
		f.Fatal(err)
	}
	if err := state.WriteFile(filepath.Join(f.tree, "net.yaml"), []byte(text), 0o600); err != nil {
		f.Fatal(err)
	}
}

// daemon starts the daemon; what it returns kills it.
func (f *fetching) daemon() (kill func()) {
	f.Helper()
	cmd := exec.Command(f.program, "run", "--dir", f.tree)
	cmd.Env = append(os.Environ(), "RECONCILER_NETNS="+f.ns.Name, "RECONCILER_STATE_DIR="+f.state,
		"RECONCILER_SOCKET="+filepath.Join(f.state, "api.sock"), "RECONCILER_METRICS=")
	if err := cmd.Start(); err != nil {
		f.Fatal(err)
	}
	ended := false
	kill = func() {
		if !ended {
			ended = true
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	}
	f.Cleanup(kill)
	return kill
}

// says waits for a pattern in the status.
func (f *fetching) says(words string) {
	f.Helper()
	pattern := regexp.MustCompile("(?m)" + words)
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		f.run("", "status")
		if pattern.Match(f.last) {
			return
		}
		if time.Now().After(deadline) {
			f.Fatalf("status does not say %q:\n%s", words, f.last)
		}
	}
}

// detached detaches the chain by force and wants it back.
func (f *fetching) detached() {
	f.Helper()
	bpftool(f, "link", "detach", "pinned", filepath.Join(pinsOf(f, f.ns), "chains/v0/xdp-ingress/link"))
	for deadline := time.Now().Add(promptness); !f.attached(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			f.run("", "status")
			f.Fatalf("not attached again within %s\n%s", promptness, f.last)
		}
	}
}

func (f *fetching) attached() bool {
	return strings.Contains(f.ns.IP("link", "show", "v0"), "prog/xdp")
}

// TestFetchedObject is that a server that stalls, lies or is gone costs nothing
// of what runs: drift is repaired meanwhile, also after a start.
func TestFetchedObject(t *testing.T) {
	t.Parallel()
	f := newFetching(t)
	f.declare("verdict.o", f.sum)
	kill := f.daemon()
	f.says("^in sync")
	if !f.attached() {
		t.Fatal("no chain is attached")
	}
	f.declare("stalled.o", strings.Repeat("1", 64))
	f.says("Fetching")
	f.detached()
	f.declare("verdict.o", strings.Repeat("2", 64))
	f.says("net.yaml:5")
	f.says(strings.Repeat("2", 12))
	f.detached()
	f.declare("gone.o", strings.Repeat("3", 64))
	f.says("404")
	f.detached()
	kill()
	f.server.Close()
	f.declare("verdict.o", f.sum)
	f.daemon()
	f.says("^in sync")
	f.detached()
}

// TestFullCache is that an object which does not fit on the disk is told, with
// its place, and what needs none is done.
func TestFullCache(t *testing.T) {
	t.Parallel()
	f := newFetching(t)
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.MkdirAll(empty, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(empty, "net.yaml"), []byte("version: 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f.mustRun("", 0, "apply", empty) // which makes the directory
	f.declare("verdict.o", f.sum)
	cache := filepath.Join(f.state, filepath.Base(pinsOf(t, f.ns)), "objects")
	if err := os.MkdirAll(cache, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("none", cache, "tmpfs", 0, "size=4k"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(cache, unix.MNT_DETACH) })
	if status := f.run("", "apply", f.tree); status == 0 {
		t.Errorf("apply: exit status 0\n%s", f.last)
	}
	if said := string(f.last); !strings.Contains(said, "no space left") || !strings.Contains(said, "net.yaml:5") {
		t.Errorf("apply does not say what is full, and where the object is declared:\n%s", said)
	}
	f.ns.IP("link", "show", "v0")
	if err := unix.Unmount(cache, 0); err != nil {
		t.Fatal(err)
	}
	f.mustRun("", 0, "apply", f.tree)
	if !f.attached() {
		t.Error("no chain is attached")
	}
}
