package daemon

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"reconciler/internal/diff"
	"reconciler/internal/observed"
	"reconciler/internal/resource"
	"reconciler/internal/shim"
	"reconciler/internal/testns"
)

// insideEnv says that the tests are in a network namespace of their own.
const insideEnv = "DAEMON_TEST_INSIDE"

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == shim.Command {
		fmt.Fprintln(os.Stderr, shim.Exec())
		os.Exit(127)
	}
	if os.Getenv(holderEnv) != "" {
		hold()
		return
	}
	if os.Geteuid() == 0 && os.Getenv(insideEnv) == "" {
		runtime.LockOSThread()
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			err = exec.Command("ip", "link", "set", "lo", "up").Run()
		}
		if err == nil {
			err = syscall.Exec("/proc/self/exe", os.Args, append(os.Environ(), insideEnv+"=1"))
		}
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	status := m.Run()
	if err := os.RemoveAll(helperDir()); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(status)
}

// helperDir is one that unprivileged users may enter.
func helperDir() string {
	return filepath.Join(os.TempDir(), fmt.Sprintf("daemon-helper-%d", os.Getpid()))
}

// helper is the program that is kept running, built once.
var helper = sync.OnceValues(func() (string, error) {
	if err := os.MkdirAll(helperDir(), 0o755); err != nil {
		return "", err
	}
	path := filepath.Join(helperDir(), "helper")
	cmd := exec.Command("go", "build", "-o", path, "./testdata/helper")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return path, nil
})

// rig is a driver with a directory of its own.
type rig struct {
	*testing.T
	*Driver
	cfg    Config
	helper string
	mark   string // what only its processes have in their command line
}

func newRig(t *testing.T) *rig {
	t.Helper()
	testns.NeedRoot(t)
	path, err := helper()
	if err != nil {
		t.Fatal(err)
	}
	mark := fmt.Sprintf("test-%d-%d", os.Getpid(), time.Now().UnixNano())
	r := &rig{T: t, helper: path, mark: mark, cfg: Config{State: t.TempDir(), Namespace: mark, Users: []string{"daemon"}, Exec: []string{path}}}
	t.Cleanup(r.end)
	r.open()
	return r
}

func (r *rig) open() {
	r.Helper()
	d, err := Open(r.cfg)
	if err != nil {
		r.Fatal(err)
	}
	r.Driver = d
}

// reopen is what a restart of the program is to the driver.
func (r *rig) reopen() {
	r.Helper()
	if err := r.Driver.Close(); err != nil {
		r.Fatal(err)
	}
	r.open()
}

// end kills what its cgroups hold, and removes them.
func (r *rig) end() {
	for _, p := range r.Driver.known {
		_ = p.signal(unix.SIGKILL)
	}
	for _, dir := range r.groups.dirs("") {
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			if e.IsDir() {
				r.waitFor("an empty cgroup", func() bool { return r.groups.kill(e.Name()) == nil && r.groups.remove(e.Name()) == nil })
			}
		}
		_ = os.Remove(dir)
	}
	for _, p := range r.Driver.known {
		var ws unix.WaitStatus
		_, _ = unix.Wait4(p.PID, &ws, unix.WNOHANG, nil)
	}
	_ = r.Driver.Close()
}

// daemon is one that runs the helper.
func (r *rig) daemon(args ...string) resource.Daemon {
	return resource.Daemon{
		Name: "one", Argv: append(append([]string{r.helper}, args...), r.mark), StopAfter: 300 * time.Millisecond,
		Digest: fmt.Sprintf("%064x", len(args)),
	}
}

func (r *rig) apply(ops ...diff.Op) {
	r.Helper()
	for i, err := range r.Driver.Apply(context.Background(), ops) {
		if err != nil {
			r.Fatalf("%s %s: %v", ops[i].Verb, ops[i].Key, err)
		}
	}
}

func create(d resource.Daemon) diff.Op { return diff.Op{Verb: diff.Create, Key: d.Key(), To: d} }

func remove(d resource.Daemon) diff.Op { return diff.Op{Verb: diff.Delete, Key: d.Key(), From: d} }

func (r *rig) observe() []resource.Daemon {
	r.Helper()
	s, err := r.Driver.Observe(context.Background(), observed.Query{All: true})
	if err != nil {
		r.Fatal(err)
	}
	var out []resource.Daemon
	for _, o := range s.Objects.All() {
		out = append(out, o.Resource.(resource.Daemon))
	}
	return out
}

// seen is the one process with the key; the zero value where there is none.
func (r *rig) seen(d resource.Daemon) resource.DaemonSeen {
	r.Helper()
	for _, o := range r.observe() {
		if o.Key() == d.Key() {
			return o.Seen
		}
	}
	return resource.DaemonSeen{}
}

func (r *rig) waitFor(what string, ok func() bool) {
	r.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			r.Errorf("waited in vain for %s", what)
			return
		}
	}
}

// awaitState waits until a process has a state.
func (r *rig) awaitState(d resource.Daemon, s resource.DaemonState) resource.DaemonSeen {
	r.Helper()
	r.waitFor("state "+string(s), func() bool { return r.seen(d).State == s })
	return r.seen(d)
}

// watch runs the watch of the driver until the test ends, or stop.
func (r *rig) watch() (changed <-chan resource.Key, stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	keys, done := make(chan resource.Key, 256), make(chan error, 1)
	d := r.Driver
	go func() {
		done <- d.Watch(ctx, func(all ...resource.Key) {
			for _, k := range all {
				keys <- k
			}
		})
	}()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				r.Error(err)
			}
		})
	}
	r.Cleanup(stop)
	return keys, stop
}

// log is what a process wrote.
func (r *rig) log(d resource.Daemon) string {
	text, err := os.ReadFile(r.logOf(d))
	if err != nil {
		r.Fatal(err)
	}
	return string(text)
}

// mine are the processes of the rig that run, whoever keeps them.
func (r *rig) mine() (pids []int) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		r.Fatal(err)
	}
	for _, e := range entries {
		var pid int
		if _, err := fmt.Sscan(e.Name(), &pid); err != nil || zombie(pid) {
			continue
		}
		text, err := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		if err == nil && strings.Contains(string(text), r.mark+"\x00") {
			pids = append(pids, pid)
		}
	}
	return pids
}
