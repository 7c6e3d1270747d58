package main

import (
	"context"
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// host is a throwaway network namespace. It is used on the goroutine that
// onHost called only, whose thread is in the namespace.
type host struct {
	*client
}

// onHost runs f in a new network namespace, on a thread of its own that ends
// with it.
func onHost(f func(*host) error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread must not be used again
		result <- enter(f)
	}()
	return <-result
}

func enter(f func(*host) error) error {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("make a network namespace: %w", err)
	}
	c, err := dial()
	if err != nil {
		return err
	}
	defer c.close()
	if err := c.do(func(b *batch) { b.setUp(1) }); err != nil {
		return fmt.Errorf("set lo up: %w", err)
	}
	return f(&host{c})
}

// clear empties the namespace before the kernel does it behind the back of the
// next measurement.
func (h *host) clear() error {
	return h.do(func(b *batch) { b.deleteGroup(ourGroup) })
}

// ip runs `ip -batch -` on the namespace.
func (h *host) ip(ctx context.Context, script string) error {
	cmd := exec.CommandContext(ctx, "ip", "-batch", "-")
	cmd.Stdin = strings.NewReader(script)
	cmd.Stdout = io.Discard
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("ip -batch: %w: %s", err, strings.TrimSpace(stderr.String()))
	}
	return nil
}
