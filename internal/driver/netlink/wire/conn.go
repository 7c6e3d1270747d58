// Package wire speaks rtnetlink: one socket, many messages a system call,
// buffers used again.
//
// It owns framing, sequence numbers, acknowledgements and attributes. It never
// knows what a link or a route means, never keeps what it read, and imports
// nothing of ours.
package wire

import (
	"cmp"
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
	// wake is how often a receive that waits looks whether its context ended.
	wake = 100 * time.Millisecond
	// patience is how long one exchange may take when the context has no
	// deadline.
	patience = 2 * time.Minute
)

// socket is a netlink socket to the kernel of the network namespace that it
// was opened in, and memory for what it receives.
type socket struct {
	file *os.File
	raw  syscall.RawConn
	in   []byte
}

// open opens a socket in the network namespace of the calling thread. With
// groups, a mask of multicast groups, it hears their events.
func open(flags int, groups uint32) (*socket, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|flags, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open netlink socket: %w", err)
	}
	s := &socket{file: os.NewFile(uintptr(fd), "netlink"), in: make([]byte, readSize)}
	if err := s.setUp(fd, groups); err != nil {
		return nil, errors.Join(fmt.Errorf("set up netlink socket: %w", err), s.Close())
	}
	return s, nil
}

func (s *socket) setUp(fd int, groups uint32) (err error) {
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
	s.raw, err = s.file.SyscallConn()
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

// Close closes the socket.
func (s *socket) Close() error { return s.file.Close() }

// control calls f with the socket, which stays open meanwhile.
func (s *socket) control(f func(fd int) error) error {
	var err error
	if e := s.raw.Control(func(fd uintptr) { err = f(int(fd)) }); e != nil {
		return e
	}
	return err
}

// receive returns what one receive returns. It is tried again when there may
// be something, until it is over.
func (s *socket) receive(over func(error) bool) ([]byte, error) {
	var n int
	var err error
	e := s.raw.Read(func(fd uintptr) bool {
		n, err = unix.Read(int(fd), s.in)
		return over(err)
	})
	switch err := cmp.Or(e, err); {
	case err != nil:
		return nil, fmt.Errorf("receive: %w", err)
	case n == len(s.in):
		return nil, fmt.Errorf("receive: a message may be longer than the buffer of %d bytes", n)
	}
	return s.in[:n], nil
}

// Conn is a socket for requests. It is used by one goroutine at a time.
//
// It is not in the runtime's poller: the kernel answers within the call that
// asks, and the poller woke a thread for each part of a dump, in vain.
type Conn struct {
	*socket
	seq uint32
	out Batch
	// most is how many messages one send may hold.
	most int
	// spent is set when an exchange was given up: what comes next on the
	// socket may belong to it.
	spent bool
}

// Dial opens a socket for requests in the network namespace of the calling
// thread.
func Dial() (*Conn, error) {
	s, err := open(0, 0)
	if err != nil {
		return nil, err
	}
	c := &Conn{socket: s}
	if err := s.control(c.setUp); err != nil {
		return nil, errors.Join(fmt.Errorf("set up netlink socket: %w", err), s.Close())
	}
	return c, nil
}

func (c *Conn) setUp(fd int) error {
	size, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF)
	if err != nil {
		return fmt.Errorf("get receive buffer: %w", err)
	}
	c.most = max(1, size/answerSize)
	every := unix.NsecToTimeval(wake.Nanoseconds())
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &every); err != nil {
		return fmt.Errorf("set timeout: %w", err)
	}
	return nil
}

// Spent reports that the socket must be dialed anew.
func (c *Conn) Spent() bool { return c.spent }

// reader returns what the next receive of one exchange returns.
type reader func() ([]byte, error)

// reader begins an exchange. It ends with the context, or when patience is at
// its end.
func (c *Conn) reader(ctx context.Context) reader {
	end := time.Now().Add(patience)
	if d, ok := ctx.Deadline(); ok && d.Before(end) {
		end = d
	}
	return func() ([]byte, error) {
		for ctx.Err() == nil && time.Now().Before(end) {
			buf, err := c.receive(always)
			if !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) {
				return buf, err
			}
		}
		return nil, fmt.Errorf("receive: %w", cmp.Or(context.Cause(ctx), os.ErrDeadlineExceeded))
	}
}

func always(error) bool { return true }

func (c *Conn) write(b []byte) error {
	err := c.control(func(fd int) (err error) {
		for again := true; again; again = err == unix.EINTR {
			_, err = unix.Write(fd, b)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("send: %w", err)
	}
	return nil
}
