package state

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestLockExcludesAnotherProcess(t *testing.T) {
	base := t.TempDir()
	other := play(t, "lock", base)
	d := mustOpen(t, base, testIdentity)
	_, err := d.Lock()
	var locked *LockedError
	if !errors.Is(err, ErrLocked) || !errors.As(err, &locked) {
		t.Fatalf("got %v, want ErrLocked", err)
	}
	if locked.PID != other.Process.Pid {
		t.Errorf("holder %d, want %d", locked.PID, other.Process.Pid)
	}
	kill(other)
	release, err := d.Lock()
	if err != nil {
		t.Fatalf("after kill -9 of the holder: %v", err)
	}
	release()
}

func TestLockIsFreeAfterRelease(t *testing.T) {
	d := mustOpen(t, t.TempDir(), testIdentity)
	for range 3 {
		release, err := d.Lock()
		if err != nil {
			t.Fatal(err)
		}
		var locked *LockedError
		if _, err := d.Lock(); !errors.As(err, &locked) || locked.PID != os.Getpid() {
			t.Fatalf("second holder: %v", err)
		}
		release()
	}
}

// The lock of a namespace that is gone must not be that of its successor, nor
// the other way round: both would hold it.
func TestLockOutlastsSettingAside(t *testing.T) {
	base := t.TempDir()
	release, err := mustOpen(t, base, testIdentity).Lock()
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	next := mustOpen(t, base, Identity{testIdentity.Name, 8, "boot-1"})
	if _, err := next.Lock(); !errors.Is(err, ErrLocked) {
		t.Errorf("got %v, want ErrLocked", err)
	}
}

func TestLockSweeps(t *testing.T) {
	d := mustOpen(t, t.TempDir(), testIdentity)
	left := d.Path(tmpPrefix + "undo.json-123")
	if err := os.WriteFile(left, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	release, err := d.Lock()
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	if _, err := os.Stat(left); err == nil {
		t.Error("an interrupted write was left behind")
	}
}

func TestLockWithinWaits(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	release, err := lock(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lockWithin(path, 20*time.Millisecond); !errors.Is(err, ErrLocked) {
		t.Fatalf("got %v, want ErrLocked", err)
	}
	time.AfterFunc(30*time.Millisecond, release)
	release, err = lockWithin(path, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	release()
}
