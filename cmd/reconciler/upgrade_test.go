package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"reconciler/internal/state"
	"reconciler/internal/testns"
	"reconciler/test/tarball"
)

// upgrading is a host with a helper process whose versions come from a server.
type upgrading struct {
	fetching
	root     string
	archives map[string][]byte // by path
	sockets  bool
	soak     time.Duration
}

func newUpgrading(t *testing.T) *upgrading {
	t.Helper()
	testns.NeedRoot(t)
	u := &upgrading{archives: map[string][]byte{}, root: filepath.Join(openDir(t), "exporter"), soak: 1500 * time.Millisecond, sockets: true}
	u.fetching = fetching{failHost: failHost{T: t, program: buildProgram(t), ns: testns.New(t), state: t.TempDir()}}
	u.tree = filepath.Join(t.TempDir(), "tree")
	u.ns.IP("link", "set", "lo", "up")
	u.serve()
	t.Cleanup(u.endDaemons)
	return u
}

// endDaemons ends the processes that outlive the reconciler.
func (u *upgrading) endDaemons() {
	records, _ := filepath.Glob(filepath.Join(u.state, "*/daemons/*.json"))
	for _, path := range records {
		var r struct{ PID int }
		if text, err := os.ReadFile(path); err == nil && json.Unmarshal(text, &r) == nil && r.PID > 1 {
			exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", r.PID))
			if err == nil && strings.HasPrefix(exe, filepath.Dir(u.root)) {
				_ = syscall.Kill(r.PID, syscall.SIGKILL)
			}
		}
	}
}

// openDir is a directory that an unprivileged process may enter.
func openDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "upgrade-*")
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func (u *upgrading) serve() {
	u.server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, ok := u.archives[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write(b)
	}))
	var err error
	u.ns.Do(func() { u.server.Listener, err = net.Listen("tcp", "127.0.0.1:0") })
	if err != nil {
		u.Fatal(err)
	}
	u.server.Start()
	u.Cleanup(u.server.Close)
}

// build puts a version on the server, and returns its digest.
func (u *upgrading) build(version, fault string) string {
	u.Helper()
	program := filepath.Join(u.TempDir(), "exporter")
	flags := fmt.Sprintf("-s -w -X main.version=%s -X main.fault=%s", version, fault)
	cmd := exec.Command("go", "build", "-o", program, "-ldflags", flags, "./testdata/exporter")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		u.Fatalf("build: %v\n%s", err, out)
	}
	content, err := os.ReadFile(program)
	if err != nil {
		u.Fatal(err)
	}
	return u.offer("/"+version+".tar.gz", "exporter", content)
}

// offer puts an archive with one executable on the server.
func (u *upgrading) offer(path, name string, content []byte) string {
	packed, sum := tarball.Of(map[string][]byte{name: content})
	u.archives[path] = packed
	return sum
}

// push declares a version.
func (u *upgrading) push(version, sum string) {
	u.Helper()
	sockets, argument := "", `, "127.0.0.1:9100"`
	if u.sockets {
		sockets, argument = `, sockets: [{listen: "127.0.0.1:9100"}]`, ""
	}
	text := fmt.Sprintf(`version: 1
daemons:
  metrics: {command: [%[1]s/latest/exporter%[2]s]%[3]s, stop: {timeout: 5s}}
upgrades:
  exporter:
    version: %[4]s
    artifact: {url: "http://%[5]s/{version}.tar.gz", sha256: "%[6]s"}
    root: %[1]s
    start: {mode: daemon, daemon: metrics}
    preflight: {version: [--version], timeout: 5s}
    ready: {http: "http://127.0.0.1:9100/", timeout: 3s}
    soak: %[7]s
    keep: 2
`, u.root, argument, sockets, version, u.server.Listener.Addr(), sum, u.soak)
	if err := os.MkdirAll(u.tree, 0o755); err != nil {
		u.Fatal(err)
	}
	if err := state.WriteFile(filepath.Join(u.tree, "net.yaml"), []byte(text), 0o600); err != nil {
		u.Fatal(err)
	}
}

// answers is what the exporter says; empty where nobody answers.
func (u *upgrading) answers() string {
	client := &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, DialContext: u.dial}}
	r, err := client.Get("http://127.0.0.1:9100/")
	if err != nil {
		return ""
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return ""
	}
	return string(b)
}

func (u *upgrading) dial(ctx context.Context, network, address string) (c net.Conn, err error) {
	u.ns.Do(func() { c, err = new(net.Dialer).DialContext(ctx, network, address) })
	return c, err
}

// inUse waits until get upgrades says so of a version, and the process answers.
func (u *upgrading) inUse(version string) {
	u.Helper()
	u.tells("(?m)^exporter .* "+version+"$", "get", "upgrades")
	u.says("^in sync|Unfit|NotReady")
	got := u.answers()
	for deadline := time.Now().Add(patience); got == "" && time.Now().Before(deadline); { // it has only just started
		got = u.answers()
	}
	if got != version {
		u.run("", "get", "daemons")
		said := string(u.last)
		u.run("", "events")
		u.Fatalf("the exporter answers %q, want %s\n%s\n%s", got, version, said, u.last)
	}
	if got, err := os.Readlink(filepath.Join(u.root, "latest")); err != nil || !strings.HasPrefix(got, "versions/"+version+"-") {
		u.Fatalf("latest leads to %q (%v)", got, err)
	}
}

// tells waits for a pattern in what a command prints.
func (u *upgrading) tells(words string, args ...string) {
	u.Helper()
	pattern := regexp.MustCompile(words)
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		u.run("", args...)
		if pattern.Match(u.last) {
			return
		}
		if time.Now().After(deadline) {
			said := string(u.last)
			u.run("", "status")
			u.Fatalf("%s does not say %q:\n%s\nstatus:\n%s", args, words, said, u.last)
		}
	}
}

// asking asks the exporter again and again until it is told to stop, which tells
// how many requests there were and how many failed.
func (u *upgrading) asking() (stop func() (asked, failed int64)) {
	var asked, failed atomic.Int64
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			asked.Add(1)
			if u.answers() == "" {
				failed.Add(1)
			}
			time.Sleep(time.Millisecond) // others test beside
		}
	}()
	return func() (int64, int64) {
		cancel()
		<-done
		return asked.Load(), failed.Load()
	}
}

// TestUpgradeByPush is that a version comes by push without a request lost, and
// that each kind of bad version goes back by itself.
//
// It has the machine for itself: others count what they can do in some time.
func TestUpgradeByPush(t *testing.T) {
	u := newUpgrading(t)
	first, second := u.build("v1.0.0", ""), u.build("v1.1.0", "")
	u.push("v1.0.0", first)
	u.daemon()
	u.inUse("v1.0.0")

	stop := u.asking()
	u.push("v1.1.0", second)
	u.inUse("v1.1.0")
	for i, fault := range []string{"exits", "hangs", "wrong-version"} {
		u.fails(fmt.Sprintf("v1.2.%d", i), fault)
	}
	u.push("v1.3.0", u.build("v1.3.0", ""))
	u.inUse("v1.3.0")
	asked, failed := stop()
	t.Logf("%d requests, %d failed", asked, failed)
	if failed > 0 || asked < 100 {
		t.Errorf("%d of %d requests failed", failed, asked)
	}

	u.mustRun("", 0, "rollback", "--upgrade", "exporter")
	u.inUse("v1.1.0")
	u.keeps(2)
	u.fails("v1.4.0", "ends") // and takes with it what it was asked
}

// fails pushes a bad version, which goes back by itself.
func (u *upgrading) fails(version, fault string) {
	u.Helper()
	sum := u.build(version, fault)
	began := time.Now()
	u.push(version, sum)
	if fault == "wrong-version" {
		u.says("version " + version + " is not used: preflight: it says that it is \"exporter v9.9.9\"")
	} else {
		u.tells("! "+version+" failed: ", "get", "upgrades")
	}
	u.inUse("v1.1.0")
	u.Logf("%s: back after %s", fault, time.Since(began).Round(time.Millisecond))
}

// keeps wants as many versions on disk, and no leftovers.
func (u *upgrading) keeps(most int) {
	u.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		versions, err := os.ReadDir(filepath.Join(u.root, "versions"))
		staged, _ := os.ReadDir(filepath.Join(u.root, ".upgrade/staged"))
		if err == nil && len(versions) <= most && len(staged) == 0 {
			return
		}
		if time.Now().After(deadline) {
			u.Fatalf("versions %v, staged %v (%v)", versions, staged, err)
		}
	}
}
