package state

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"reconciler/internal/testns"
)

// Two state directories do not make two mutators.
func TestOneMutatorWhateverTheDirectory(t *testing.T) {
	testns.NeedRoot(t)
	a, b := mustOpen(t, t.TempDir(), testIdentity), mustOpen(t, t.TempDir(), testIdentity)
	b.mutator = a.mutator
	other := play(t, "mutator", a.mutator)
	for range 2 { // asking who it is must not take it away
		_, err := b.Lock()
		var locked *LockedError
		if !errors.Is(err, ErrLocked) || !errors.As(err, &locked) || locked.PID != other.Process.Pid {
			t.Fatalf("got %v, want ErrLocked by %d", err, other.Process.Pid)
		}
	}
	kill(other)
	release, err := b.Lock()
	if err != nil {
		t.Fatalf("after kill -9 of the holder: %v", err)
	}
	if _, err := a.Lock(); !errors.Is(err, ErrLocked) {
		t.Errorf("got %v, want ErrLocked", err)
	}
	release()
	if release, err = a.Lock(); err != nil {
		t.Fatalf("after release: %v", err)
	}
	release()
}

func TestEachNamespaceHasItsMutator(t *testing.T) {
	d := mustOpen(t, t.TempDir(), testIdentity)
	release, err := d.claimNamespace()
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	testns.New(t).Do(func() {
		release, err := d.claimNamespace()
		if err != nil {
			t.Errorf("in another namespace: %v", err)
			return
		}
		release()
	})
}

// Anybody on the host can take the name; that must not stop the daemon.
func TestWhoCannotChangeTheNetworkIsNoMutator(t *testing.T) {
	testns.NeedRoot(t)
	d := mustOpen(t, t.TempDir(), testIdentity)
	cmd := exec.Command(copyOfThis(t), d.mutator)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	playIn(t, cmd, "mutator")
	release, err := d.Lock()
	if err != nil {
		t.Fatal(err)
	}
	release()
}

// copyOfThis lies where every user may run it.
func copyOfThis(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "state-test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	in, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	path := filepath.Join(dir, "play")
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(out, in)
	if err := errors.Join(err, out.Close(), os.Chmod(dir, 0o755)); err != nil {
		t.Fatal(err)
	}
	return path
}
