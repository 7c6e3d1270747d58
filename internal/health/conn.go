package health

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// conn is a TCP connection. The runtime waits for it as it does for those of
// package net, which cannot make a socket in one namespace and wait for it
// outside.
type conn struct {
	*os.File
	local, remote netip.AddrPort
	forget        func() bool // the context that would close it
}

func (c *conn) LocalAddr() net.Addr  { return net.TCPAddrFromAddrPort(c.local) }
func (c *conn) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.remote) }

func (c *conn) Close() error {
	c.forget()
	return c.File.Close()
}

// endpoint is where to connect, and how.
type endpoint struct {
	to     netip.AddrPort
	source netip.Addr // zero: the kernel's choice
	from   origin
}

func newEndpoint(address netip.Addr, c Check) endpoint {
	e := endpoint{to: netip.AddrPortFrom(address.Unmap(), c.Port), from: origin{c.Netns, c.Mark}}
	if source := c.Source.Unmap(); source.IsValid() && source.Is4() == e.to.Addr().Is4() {
		e.source = source
	}
	return e
}

// connect makes a connection that answers until the deadline and no longer than
// the context.
func (e endpoint) connect(ctx context.Context, deadline time.Time) (*conn, error) {
	c, err := e.begin()
	if err != nil {
		return nil, err
	}
	c.forget = context.AfterFunc(ctx, func() { c.File.Close() })
	err = c.SetDeadline(deadline)
	if err == nil {
		err = c.established()
	}
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("connect: %w", err)
	}
	return c, nil
}

// begin makes a socket and starts to connect it.
func (e endpoint) begin() (*conn, error) {
	f, err := e.from.open(family(e.to.Addr()), unix.SOCK_STREAM, 0)
	if err != nil {
		return nil, err
	}
	c := &conn{File: f, local: netip.AddrPortFrom(e.source, 0), remote: e.to}
	err = control(f, func(fd int) error {
		if err := e.bind(fd); err != nil {
			return local(err)
		}
		return unix.Connect(fd, sockaddr(e.to))
	})
	if err != nil && err != error(unix.EINPROGRESS) {
		f.Close()
		return nil, fmt.Errorf("connect: %w", err)
	}
	return c, nil
}

// bind readies a socket. It is closed by a reset, as HAProxy's are: nothing is
// left to say, and thousands of sockets need not wait for their end.
func (e endpoint) bind(fd int) error {
	if err := unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}); err != nil {
		return fmt.Errorf("set linger: %w", err)
	}
	if !e.source.IsValid() {
		return nil
	}
	// The port is chosen by connect, which knows the other end.
	if err := unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1); err != nil {
		return fmt.Errorf("bind to %s: %w", e.source, err)
	}
	if err := unix.Bind(fd, sockaddr(netip.AddrPortFrom(e.source, 0))); err != nil {
		return fmt.Errorf("bind to %s: %w", e.source, err)
	}
	return nil
}

// established waits until the connection stands or has failed.
func (c *conn) established() error {
	raw, err := c.SyscallConn()
	if err != nil {
		return local(err)
	}
	var result error
	err = raw.Write(func(fd uintptr) bool {
		if _, err := unix.Getpeername(int(fd)); err == nil {
			return true
		}
		errno, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR)
		switch {
		case err != nil:
			result = local(err)
		case errno != 0:
			result = unix.Errno(errno)
		default:
			return false
		}
		return true
	})
	if result != nil {
		return result
	}
	return err
}

// origin is where a socket stands.
type origin struct {
	netns string
	mark  uint32
}

// open makes a socket for which no thread waits.
func (o origin) open(family, kind, protocol int) (*os.File, error) {
	fd := -1
	err := within(o.netns, func() (err error) {
		fd, err = unix.Socket(family, kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, protocol)
		return err
	})
	if err != nil {
		return nil, local(fmt.Errorf("make socket: %w", err))
	}
	if o.mark != 0 {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, int(o.mark)); err != nil {
			unix.Close(fd)
			return nil, local(fmt.Errorf("mark socket: %w", err))
		}
	}
	return os.NewFile(uintptr(fd), "socket"), nil
}

// control calls f with the descriptor of a file.
func control(file *os.File, f func(fd int) error) error {
	raw, err := file.SyscallConn()
	if err != nil {
		return local(err)
	}
	var result error
	if err := raw.Control(func(fd uintptr) { result = f(int(fd)) }); err != nil {
		return local(err)
	}
	return result
}

func family(a netip.Addr) int {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}
