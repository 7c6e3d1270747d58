package state

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ErrLocked says that another process mutates this network namespace. The
// error that wraps it is a *LockedError.
var ErrLocked = errors.New("locked")

// LockedError names the holder of a lock.
type LockedError struct {
	// What is locked: a file, or a network namespace.
	What string
	// PID is the holder's, 0 where it could not be read.
	PID int
}

func (e *LockedError) Error() string {
	if e.PID == 0 {
		return e.What + " is locked by another process"
	}
	return fmt.Sprintf("%s is locked by process %d", e.What, e.PID)
}

// Unwrap lets errors.Is find ErrLocked.
func (e *LockedError) Unwrap() error { return ErrLocked }

// lock takes the file's lock or fails at once. The file stays: removing it
// would let two processes hold a lock on the same name.
func lock(path string) (release func(), err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock: %w", explain(err))
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		defer f.Close()
		return nil, &LockedError{What: path, PID: holder(f)}
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	// The pid is only for people: a full disk does not keep the lock from us.
	if f.Truncate(0) == nil {
		_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	return func() { f.Close() }, nil
}

func holder(f *os.File) int {
	text := make([]byte, 16)
	n, _ := f.ReadAt(text, 0)
	pid, err := strconv.Atoi(strings.TrimSpace(string(text[:n])))
	if err != nil {
		return 0
	}
	return pid
}

// lockWithin waits for the lock as long as patience.
func lockWithin(path string, patience time.Duration) (release func(), err error) {
	const pause = 5 * time.Millisecond
	for deadline := time.Now().Add(patience); ; time.Sleep(pause) {
		release, err = lock(path)
		if !errors.Is(err, ErrLocked) || time.Now().After(deadline) {
			return release, err
		}
	}
}
