package netlink

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// ErrGone is a network namespace that is no longer where it was opened: it may
// live on without a name, but nobody means it any more.
var ErrGone = errors.New("the network namespace is gone")

const ownNamespace = "/proc/thread-self/ns/net"

// namespace is a network namespace held open.
type namespace struct {
	path string   // empty for the one of the process
	file *os.File // nil for the one of the process
}

func openNamespace(path string) (*namespace, error) {
	if path == "" {
		return &namespace{}, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	ns := &namespace{path, f}
	if err := ns.within(func() {}); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return ns, nil
}

func (ns *namespace) Close() error {
	if ns.file == nil {
		return nil
	}
	return ns.file.Close()
}

// alive reports whether the path still leads to the namespace.
func (ns *namespace) alive() error {
	if ns.file == nil {
		return nil
	}
	held, err := ns.file.Stat()
	if err != nil {
		return err
	}
	named, err := os.Stat(ns.path)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrGone, err)
	}
	if !os.SameFile(held, named) {
		return fmt.Errorf("%w: %s is another one now", ErrGone, ns.path)
	}
	return nil
}

// within runs f on a thread in the namespace.
func (ns *namespace) within(f func()) error {
	if ns.file == nil {
		f()
		return nil
	}
	runtime.LockOSThread()
	home, err := os.Open(ownNamespace)
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("open own network namespace: %w", err)
	}
	defer home.Close()
	if err := enter(ns.file); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("enter network namespace %s: %w", ns.path, err)
	}
	f()
	if err := enter(home); err != nil {
		// The thread stays locked, so that it ends with its goroutine and
		// nothing else runs in the wrong place.
		return fmt.Errorf("leave network namespace %s: %w", ns.path, err)
	}
	runtime.UnlockOSThread()
	return nil
}

func enter(f *os.File) error {
	err := unix.Setns(int(f.Fd()), unix.CLONE_NEWNET)
	if errors.Is(err, unix.EPERM) {
		return fmt.Errorf("%w: needs CAP_SYS_ADMIN", err)
	}
	return err
}
