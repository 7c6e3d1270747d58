package health

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

const ownNamespace = "/proc/thread-self/ns/net"

// namespacePath is where a network namespace of a check lies.
func namespacePath(name string) string {
	if strings.Contains(name, "/") {
		return name
	}
	return filepath.Join("/run/netns", name)
}

// within runs f on a thread in a network namespace; f makes sockets, which stay
// there wherever they are used, and waits for nothing. The name is looked up
// each time, so what f makes is in the namespace that has the name now.
func within(name string, f func() error) error {
	if name == "" {
		return f()
	}
	there, err := os.Open(namespacePath(name))
	if err != nil {
		return fmt.Errorf("open network namespace: %w", err)
	}
	defer there.Close()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	home, err := os.Open(ownNamespace)
	if err != nil {
		return fmt.Errorf("open own network namespace: %w", err)
	}
	defer home.Close()
	if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter network namespace %s: %w", name, err)
	}
	defer mustReturn(home)
	return f()
}

// mustReturn takes the thread home. There is no going on with one that is not:
// whoever ran on it next would be in the wrong place.
func mustReturn(home *os.File) {
	if err := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); err != nil {
		panic(fmt.Sprintf("health: leave a network namespace: %v", err))
	}
}

// place tells one namespace from another of the same name; zero for the
// daemon's own.
type place struct{ dev, inode uint64 }

func placeOf(name string) (place, error) {
	if name == "" {
		return place{}, nil
	}
	var st unix.Stat_t
	if err := unix.Stat(namespacePath(name), &st); err != nil {
		return place{}, fmt.Errorf("look for network namespace %s: %w", name, err)
	}
	return place{st.Dev, st.Ino}, nil
}
