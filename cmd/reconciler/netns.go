package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"reconciler/internal/engine"
)

// netnsPath is where a network namespace given by --netns lies.
func netnsPath(name string) string {
	if strings.Contains(name, "/") {
		return name
	}
	return filepath.Join("/run/netns", name)
}

// enter moves the program into the namespace of --netns. Threads have
// namespaces of their own, so it starts itself again from one thread that is
// there: then all are. It returns when this is so.
func (c *cli) enter() error {
	if c.netns == "" {
		return nil
	}
	if err := enterNetns(netnsPath(c.netns)); err != nil {
		return fmt.Errorf("enter network namespace %s: %w", c.netns, err)
	}
	return nil
}

// named tells whether a path still means the network namespace of the program,
// as engine.Config.Namespace has it.
func named(path string) error {
	var fs unix.Statfs_t
	var there, here unix.Stat_t
	err := unix.Statfs(path, &fs)
	if err == nil {
		err = unix.Stat(path, &there)
	}
	switch {
	case errors.Is(err, unix.ENOENT), err == nil && fs.Type != unix.NSFS_MAGIC:
		return fmt.Errorf("%w: %s no longer names it", engine.ErrNamespaceGone, path)
	case err != nil:
		return nil // not to be looked at is not gone
	}
	if err := unix.Stat("/proc/self/ns/net", &here); err != nil {
		return nil
	}
	if there.Dev != here.Dev || there.Ino != here.Ino {
		return fmt.Errorf("%w: %s names another one", engine.ErrNamespaceReplaced, path)
	}
	return nil
}

func enterNetns(path string) error {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var there, here unix.Stat_t
	if err := unix.Fstat(fd, &there); err != nil {
		return err
	}
	if err := unix.Stat("/proc/self/ns/net", &here); err != nil {
		return err
	}
	if there.Dev == here.Dev && there.Ino == here.Ino {
		return nil
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Setns(fd, unix.CLONE_NEWNET); err != nil {
		return err
	}
	return syscall.Exec("/proc/self/exe", os.Args, os.Environ())
}
