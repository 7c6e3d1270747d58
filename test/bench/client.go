package main

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

const (
	sendBuffer  = 64 << 20 // bytes; a batch must fit in one sendmsg
	readBuffer  = 8 << 20
	readLength  = 256 << 10
	readTimeout = 60 // seconds, after which the kernel owes us an answer
)

// client is a raw rtnetlink socket of the namespace it was opened in.
type client struct {
	fd  int
	buf []byte
}

func dial() (*client, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open netlink socket: %w", err)
	}
	c := &client{fd: fd, buf: make([]byte, readLength)}
	if err := c.setup(); err != nil {
		c.close()
		return nil, fmt.Errorf("set up netlink socket: %w", err)
	}
	return c, nil
}

func (c *client) setup() error {
	for _, o := range []struct{ level, name, value int }{
		{unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, sendBuffer},
		{unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, readBuffer},
		{unix.SOL_NETLINK, unix.NETLINK_CAP_ACK, 1},
		{unix.SOL_NETLINK, unix.NETLINK_GET_STRICT_CHK, 1},
	} {
		if err := unix.SetsockoptInt(c.fd, o.level, o.name, o.value); err != nil {
			return err
		}
	}
	err := unix.SetsockoptTimeval(c.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: readTimeout})
	if err != nil {
		return err
	}
	return unix.Bind(c.fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
}

func (c *client) close() { _ = unix.Close(c.fd) }

// subscribe joins a multicast group.
func (c *client) subscribe(group int) error {
	return unix.SetsockoptInt(c.fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, group)
}

// do fills a batch, sends it in one sendmsg and reads to the last ack.
func (c *client) do(fill func(*batch)) error {
	var b batch
	fill(&b)
	return c.send(&b)
}

func (c *client) send(b *batch) error {
	b.seal()
	b.flag(unix.NLM_F_ACK)
	if err := unix.Sendto(c.fd, b.bytes, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fmt.Errorf("send %d requests in %d bytes: %w", b.count, len(b.bytes), err)
	}
	var failed error
	for {
		done := false
		err := c.read(func(m message) {
			if code := m.errno(); code != 0 && failed == nil {
				failed = fmt.Errorf("request %d of %d: %w", m.seq, b.count, code)
			}
			done = done || m.seq == b.count
		})
		if done || err != nil {
			return firstOf(err, failed)
		}
	}
}

// drain asks for a dump and throws the answer away, counting its messages.
func (c *client) drain(ask func(*batch)) (int, error) {
	var b batch
	ask(&b)
	b.seal()
	if err := unix.Sendto(c.fd, b.bytes, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return 0, fmt.Errorf("ask for a dump: %w", err)
	}
	count := 0
	var failed error
	for done := false; !done; {
		err := c.read(func(m message) {
			switch m.kind {
			case unix.NLMSG_DONE:
				done = true
			case unix.NLMSG_ERROR:
				done = true
				if code := m.errno(); code != 0 {
					failed = fmt.Errorf("dump: %w", code)
				}
			default:
				count++
			}
		})
		if err != nil {
			return count, err
		}
	}
	return count, failed
}

// message is one answer of the kernel.
type message struct {
	kind uint16
	seq  uint32
	body []byte
}

func (m message) errno() unix.Errno {
	if m.kind != unix.NLMSG_ERROR || len(m.body) < 4 {
		return 0
	}
	return unix.Errno(-int32(binary.NativeEndian.Uint32(m.body)))
}

// read receives once and walks the messages in it.
func (c *client) read(each func(message)) error {
	n, _, err := unix.Recvfrom(c.fd, c.buf, 0)
	if err != nil {
		return fmt.Errorf("read netlink: %w", err)
	}
	return walk(c.buf[:n], each)
}

// walk splits bytes into messages.
func walk(data []byte, each func(message)) error {
	for len(data) >= headerLen {
		length := int(binary.NativeEndian.Uint32(data))
		if length < headerLen || length > len(data) {
			return fmt.Errorf("read netlink: message of %d bytes in %d", length, len(data))
		}
		each(message{
			kind: binary.NativeEndian.Uint16(data[4:]),
			seq:  binary.NativeEndian.Uint32(data[8:]),
			body: data[headerLen:length],
		})
		data = data[min(len(data), (length+3)&^3):]
	}
	return nil
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
