package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Host names the network namespace of process 1.
const Host = "host"

// initCookie is the cookie of the first network namespace of a boot: the
// kernel counts from 1 (net/core/net_namespace.c, gen_cookie_next).
const initCookie = 1

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
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return Identity{}, err
	}
	name, err := namespaceName(cookie)
	if err != nil {
		return Identity{}, err
	}
	return Identity{Name: name, Cookie: cookie, Boot: strings.TrimSpace(string(boot))}, nil
}

func namespaceName(cookie uint64) (string, error) {
	var own, first unix.Stat_t
	if err := unix.Stat("/proc/thread-self/ns/net", &own); err != nil {
		return "", fmt.Errorf("stat /proc/thread-self/ns/net: %w", err)
	}
	err := unix.Stat("/proc/1/ns/net", &first)
	switch {
	case errors.Is(err, fs.ErrPermission): // only root may look at process 1
		if cookie == initCookie {
			return Host, nil
		}
	case err != nil:
		return "", fmt.Errorf("stat /proc/1/ns/net: %w", err)
	case own.Dev == first.Dev && own.Ino == first.Ino:
		return Host, nil
	}
	return strconv.FormatUint(own.Ino, 10), nil
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
