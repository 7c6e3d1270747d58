// Package testns gives a test a network namespace of its own: named, so that
// `ip -n NAME` and `--netns NAME` reach it, empty but for a loopback that is
// up, and gone when the test ends.
//
// It owns the namespaces that it makes and decides what a test does on a
// machine that cannot have one: skip on a developer's, fail in CI. It never
// touches the namespace that the test started in, and imports nothing of ours.
package testns

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// runDir is where iproute2 keeps named namespaces.
const runDir = "/run/netns"

// NS is a throwaway network namespace.
type NS struct {
	Name string
	t    testing.TB
}

// New makes a namespace and removes it when the test ends. Without root it
// skips the test, or fails it where CI is set.
func New(t testing.TB) *NS {
	t.Helper()
	NeedRoot(t)
	id := make([]byte, 6)
	rand.Read(id)
	ns := &NS{Name: "rt-" + hex.EncodeToString(id), t: t}
	ns.run("netns", "add", ns.Name)
	t.Cleanup(ns.Remove)
	ns.IP("link", "set", "lo", "up")
	return ns
}

// NeedRoot skips a test that has not the right to make namespaces, or fails it
// where CI is set.
func NeedRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatal("network namespaces need root, and CI must not skip")
	}
	t.Skip("network namespaces need root")
}

// NeedTool skips a test whose program is not installed, or fails it where CI is
// set.
func NeedTool(t testing.TB, name string) {
	t.Helper()
	_, err := exec.LookPath(name)
	if err == nil {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("%v, and CI must not skip", err)
	}
	t.Skip(err)
}

// NeedFile finds the one file of a pattern. Where its package is not installed
// it skips the test, or fails it where CI is set.
func NeedFile(t testing.TB, pattern string) string {
	t.Helper()
	found, err := filepath.Glob(pattern)
	if err == nil && len(found) == 1 {
		return found[0]
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("%d files are %s, and CI must not skip", len(found), pattern)
	}
	t.Skipf("%d files are %s: make deps", len(found), pattern)
	return ""
}

// NeedGuest skips a test of what only guests have: make test-guest.
func NeedGuest(t testing.TB) {
	t.Helper()
	if os.Getenv("RECONCILER_GUEST") != "1" {
		t.Skip("for a guest: make test-guest")
	}
}

// Remove deletes the namespace now instead of at the end of the test.
func (ns *NS) Remove() {
	if _, err := os.Lstat(ns.Path()); err == nil {
		ns.run("netns", "delete", ns.Name)
	}
}

// Path is the file that holds the namespace.
func (ns *NS) Path() string { return filepath.Join(runDir, ns.Name) }

// IP runs `ip -n NAME args...` and returns its output; an error fails the test.
func (ns *NS) IP(args ...string) string {
	ns.t.Helper()
	return ns.run(append([]string{"-n", ns.Name}, args...)...)
}

// TryIP is IP for a command that may fail.
func (ns *NS) TryIP(args ...string) (string, error) {
	out, err := exec.Command("ip", append([]string{"-n", ns.Name}, args...)...).CombinedOutput()
	return string(out), err
}

// JSON runs `ip -j -n NAME args...` and decodes what it prints.
func (ns *NS) JSON(args []string, into any) {
	ns.t.Helper()
	out := ns.run(append([]string{"-j", "-n", ns.Name}, args...)...)
	if strings.TrimSpace(out) == "" {
		out = "[]"
	}
	if err := json.Unmarshal([]byte(out), into); err != nil {
		ns.t.Fatalf("decode ip -j %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// NeedKind ends the test where the kernel has no such kind of link: skipped,
// but failed in a guest, which exists to have them.
func (ns *NS) NeedKind(kind string) {
	ns.t.Helper()
	out, err := ns.tryKind(kind)
	if err == nil {
		return
	}
	if os.Getenv("RECONCILER_GUEST") == "1" {
		ns.t.Fatalf("a guest must have %s links: %v\n%s", kind, err, out)
	}
	ns.t.Skipf("this kernel has no %s links", kind)
}

// tryKind makes a link of a kind and takes it away. A VLAN stands on a veth, as
// a loopback carries none.
func (ns *NS) tryKind(kind string) (string, error) {
	ns.t.Helper()
	const probe, below = "rt-probe", "rt-below"
	args := []string{"link", "add", probe, "type", kind}
	if kind == "vlan" {
		ns.IP("link", "add", below, "type", "veth", "peer", "name", below+"1")
		defer ns.IP("link", "delete", below)
		args = []string{"link", "add", "link", below, "name", probe, "type", kind, "id", "7"}
	}
	out, err := ns.TryIP(args...)
	if err == nil {
		ns.IP("link", "delete", probe)
	}
	return out, err
}

// Do runs f on a thread inside the namespace. f may end the test.
func (ns *NS) Do(f func()) {
	ns.t.Helper()
	runtime.LockOSThread()
	home := ns.open("/proc/thread-self/ns/net")
	defer home.Close()
	there := ns.open(ns.Path())
	defer there.Close()
	if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
		ns.t.Fatalf("enter namespace %s: %v", ns.Name, err)
	}
	defer func() {
		// A thread that cannot go back stays locked and ends with its goroutine.
		if err := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); err != nil {
			ns.t.Errorf("leave namespace %s: %v", ns.Name, err)
			return
		}
		runtime.UnlockOSThread()
	}()
	f()
}

// Stay binds the goroutine to a thread inside the namespace. The thread ends with
// the goroutine: it is never given back.
func (ns *NS) Stay() {
	ns.t.Helper()
	runtime.LockOSThread()
	there := ns.open(ns.Path())
	defer there.Close()
	if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
		ns.t.Fatalf("enter namespace %s: %v", ns.Name, err)
	}
}

func (ns *NS) open(path string) *os.File {
	ns.t.Helper()
	f, err := os.Open(path)
	if err != nil {
		ns.t.Fatalf("open namespace: %v", err)
	}
	return f
}

func (ns *NS) run(args ...string) string {
	ns.t.Helper()
	out, err := exec.Command("ip", args...).CombinedOutput()
	if err != nil {
		ns.t.Fatalf("ip %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}
