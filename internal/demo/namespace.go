package demo

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// namespace is a network namespace by its name below /run/netns.
type namespace string

func (n namespace) path() string { return "/run/netns/" + string(n) }

// ip runs ip in the namespace.
func (n namespace) ip(ctx context.Context, args ...string) (string, error) {
	return command(ctx, "ip", append([]string{"-n", string(n)}, args...)...)
}

// inside runs f in the namespace, on a thread of its own that ends with it.
// Sockets that f opens stay in the namespace wherever they are used.
func (n namespace) inside(f func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread must not be used again
		result <- n.enter(f)
	}()
	return <-result
}

func (n namespace) enter(f func() error) error {
	handle, err := os.Open(n.path())
	if err != nil {
		return fmt.Errorf("enter namespace: %w", err)
	}
	defer handle.Close()
	if err := unix.Setns(int(handle.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter namespace %s: %w", n, err)
	}
	return f()
}

const (
	lookEvery = time.Millisecond
	patience  = 15 * time.Second
)

// condition is what the kernel may be asked, in the namespace of the calling
// thread.
type condition struct {
	what  string
	holds func() bool
}

// await looks inside the namespace until a condition holds, and returns how
// long that took.
func (n namespace) await(ctx context.Context, c condition) (time.Duration, error) {
	start := time.Now()
	err := n.inside(func() error {
		for !c.holds() {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if time.Since(start) > patience {
				return fmt.Errorf("await %s: not within %s", c.what, patience)
			}
			time.Sleep(lookEvery)
		}
		return nil
	})
	return time.Since(start), err
}

// demand asks the kernel once; the error names what does not hold.
func (n namespace) demand(conditions ...condition) error {
	return n.inside(func() error {
		for _, c := range conditions {
			if !c.holds() {
				return fmt.Errorf("the kernel does not hold %s", c.what)
			}
		}
		return nil
	})
}

func all(conditions ...condition) condition {
	var what []string
	for _, c := range conditions {
		what = append(what, c.what)
	}
	return condition{strings.Join(what, " and "), func() bool {
		return !slices.ContainsFunc(conditions, func(c condition) bool { return !c.holds() })
	}}
}

func without(c condition) condition {
	return condition{"no " + c.what, func() bool { return !c.holds() }}
}

func address(prefix, link string) condition {
	return condition{"address " + prefix + " on " + link, func() bool {
		i, err := net.InterfaceByName(link)
		if err != nil {
			return false
		}
		addrs, err := i.Addrs()
		return err == nil && slices.ContainsFunc(addrs, func(a net.Addr) bool { return a.String() == prefix })
	}}
}

func up(link string) condition {
	return condition{link + " up", func() bool {
		i, err := net.InterfaceByName(link)
		return err == nil && i.Flags&net.FlagUp != 0
	}}
}

func mtu(link string, bytes int) condition {
	return condition{fmt.Sprintf("mtu %d on %s", bytes, link), func() bool {
		i, err := net.InterfaceByName(link)
		return err == nil && i.MTU == bytes
	}}
}

// route is a route of the IPv4 main table.
func route(to netip.Prefix, via netip.Addr, link string) condition {
	mask := netip.AddrFrom4([4]byte(net.CIDRMask(to.Bits(), 32)))
	want := []string{link, procHex(to.Addr()), procHex(via), procHex(mask)}
	return condition{fmt.Sprintf("route %s via %s", to, via), func() bool {
		table, err := os.ReadFile("/proc/thread-self/net/route")
		for line := range strings.Lines(string(table)) {
			f := strings.Fields(line)
			if err == nil && len(f) > 7 && slices.Equal(want, []string{f[0], f[1], f[2], f[7]}) {
				return true
			}
		}
		return false
	}}
}

// procHex is an address as /proc/net/route prints it: the number that its
// bytes are to this machine.
func procHex(a netip.Addr) string {
	return fmt.Sprintf("%08X", binary.NativeEndian.Uint32(a.AsSlice()))
}
