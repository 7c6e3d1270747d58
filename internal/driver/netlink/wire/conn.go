// Package wire speaks rtnetlink: one socket, many messages a system call,
// buffers used again.
//
// It owns framing, sequence numbers, acknowledgements and attributes. It never
// knows what a link or a route means, never keeps what it read, and imports
// nothing of ours.
package wire

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// readSize holds the largest message of a dump (32 KiB) and the echo of
	// the largest request.
	readSize = 64 << 10
	// buffer is asked for in both directions: it must hold an error for every
	// message of a send, as those that do not fit are lost in silence.
	buffer = 4 << 20
	// answerSize bounds what one error takes of the receive buffer: the
	// socket buffer's own size, the echo of a small message and the text.
	answerSize = 2 << 10
	// patience is how long one exchange may take when the context has no
	// deadline.
	patience = 2 * time.Minute
)

// Conn is a netlink socket to the kernel of the network namespace that it was
// dialed in. It is used by one goroutine at a time.
type Conn struct {
	file *os.File
	raw  syscall.RawConn
	seq  uint32
	in   []byte
	out  Batch
	// most is how many messages one send may hold.
	most int
	// spent is set when an exchange was given up: what comes next on the
	// socket may belong to it.
	spent bool
}

// Spent reports that the socket must be dialed anew.
func (c *Conn) Spent() bool { return c.spent }

// Dial opens a socket in the network namespace of the calling thread. With
// groups, a mask of multicast groups, it hears their events.
func Dial(groups uint32) (*Conn, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open netlink socket: %w", err)
	}
	c := &Conn{file: os.NewFile(uintptr(fd), "netlink"), in: make([]byte, readSize)}
	if err := c.setUp(fd, groups); err != nil {
		return nil, errors.Join(fmt.Errorf("set up netlink socket: %w", err), c.Close())
	}
	return c, nil
}

func (c *Conn) setUp(fd int, groups uint32) error {
	kernel := &unix.SockaddrNetlink{Family: unix.AF_NETLINK}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups}); err != nil {
		return fmt.Errorf("bind: %w", err)
	}
	if err := unix.Connect(fd, kernel); err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	for _, option := range []int{unix.NETLINK_EXT_ACK, unix.NETLINK_GET_STRICT_CHK} {
		if err := unix.SetsockoptInt(fd, unix.SOL_NETLINK, option, 1); err != nil {
			return fmt.Errorf("set option %d (needs Linux 4.20): %w", option, err)
		}
	}
	if err := grow(fd, unix.SO_SNDBUF, unix.SO_SNDBUFFORCE); err != nil {
		return err
	}
	if err := grow(fd, unix.SO_RCVBUF, unix.SO_RCVBUFFORCE); err != nil {
		return err
	}
	size, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF)
	if err != nil {
		return fmt.Errorf("get receive buffer: %w", err)
	}
	c.most = max(1, size/answerSize)
	c.raw, err = c.file.SyscallConn()
	return err
}

// grow raises a buffer over the system's limit, or as far as it goes for one
// who may not.
func grow(fd, option, force int) error {
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, force, buffer) == nil {
		return nil
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, option, buffer); err != nil {
		return fmt.Errorf("set socket buffer: %w", err)
	}
	return nil
}

// Close closes the socket. A call that waits on it returns an error.
func (c *Conn) Close() error { return c.file.Close() }

// bound makes calls on the socket end with the context, or when patience is at
// its end. The caller must call what it returns.
func (c *Conn) bound(ctx context.Context, patience time.Duration) (func(), error) {
	var end time.Time
	if patience > 0 {
		end = time.Now().Add(patience)
	}
	if d, ok := ctx.Deadline(); ok && (end.IsZero() || d.Before(end)) {
		end = d
	}
	if err := c.file.SetDeadline(end); err != nil {
		return nil, fmt.Errorf("set deadline: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = c.file.SetDeadline(time.Unix(1, 0)) })
	return func() {
		if !stop() {
			c.spent = true
		}
	}, nil
}

// read fills the buffer with what one receive returns. With wait unset it
// returns nothing instead of waiting.
func (c *Conn) read(wait bool) ([]byte, error) {
	var n int
	var err error
	again := func(fd uintptr) bool {
		n, _, err = unix.Recvfrom(int(fd), c.in, unix.MSG_TRUNC)
		return err != unix.EAGAIN && err != unix.EINTR || !wait
	}
	if e := c.raw.Read(again); e != nil {
		return nil, fmt.Errorf("receive: %w", e)
	}
	switch {
	case !wait && err == unix.EAGAIN:
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("receive: %w", err)
	case n > len(c.in):
		return nil, fmt.Errorf("receive: a message of %d bytes is longer than the buffer", n)
	}
	return c.in[:n], nil
}

func (c *Conn) write(b []byte) error {
	var err error
	again := func(fd uintptr) bool {
		_, err = unix.Write(int(fd), b)
		return err != unix.EAGAIN && err != unix.EINTR
	}
	if e := c.raw.Write(again); e != nil {
		return fmt.Errorf("send: %w", e)
	}
	if err != nil {
		return fmt.Errorf("send: %w", err)
	}
	return nil
}
