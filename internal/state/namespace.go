package state

import (
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"

	"reconciler/internal/clock"
)

// Host names the network namespace of process 1.
const Host = "host"

// Identity names a network namespace and proves which one it is: an inode is
// used again after a namespace is gone, a cookie only after a boot.
type Identity struct {
	// Name is "host", or the namespace's inode in decimal digits.
	Name   string `json:"name"`
	Cookie uint64 `json:"cookie"`
	Boot   string `json:"boot"`
}

// same reports that both are one namespace. The host's stays itself over a
// boot.
func (i Identity) same(other Identity) bool {
	return i == other || i.Name == Host && other.Name == Host
}

// Namespace identifies the network namespace of the calling thread. It needs
// Linux 5.14 for the cookie.
func Namespace() (Identity, error) {
	id, err := namespace()
	if err != nil {
		return Identity{}, fmt.Errorf("identify network namespace: %w", err)
	}
	return id, nil
}

func namespace() (Identity, error) {
	cookie, err := netnsCookie()
	if err != nil {
		return Identity{}, err
	}
	boot, err := clock.BootID()
	if err != nil {
		return Identity{}, err
	}
	name, err := namespaceName()
	if err != nil {
		return Identity{}, err
	}
	return Identity{Name: name, Cookie: cookie, Boot: boot}, nil
}

func namespaceName() (string, error) {
	// /proc/1/ns/net may only be looked at by who could trace process 1, which
	// not even every root can. /proc/1/net is open to all, and each namespace
	// has files of its own there.
	own, err := inode("/proc/thread-self/net/dev")
	if err != nil {
		return "", err
	}
	first, err := inode("/proc/1/net/dev")
	if err != nil {
		return "", err
	}
	if own == first {
		return Host, nil
	}
	ns, err := inode("/proc/thread-self/ns/net")
	if err != nil {
		return "", err
	}
	return strconv.FormatUint(ns, 10), nil
}

func inode(path string) (uint64, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return 0, fmt.Errorf("stat %s: %w", path, err)
	}
	return st.Ino, nil
}

func netnsCookie() (uint64, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("open socket: %w", err)
	}
	defer unix.Close(fd)
	cookie, err := unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
	if err != nil {
		return 0, fmt.Errorf("read SO_NETNS_COOKIE (Linux 5.14): %w", err)
	}
	return cookie, nil
}
