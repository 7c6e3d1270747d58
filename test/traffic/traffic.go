// Package traffic sends frames out of a link, many with one system call, for
// tests and benchmarks.
//
// It never ships, and it imports nothing of ours.
package traffic

import (
	"encoding/binary"
	"fmt"
	"net"
	"unsafe"

	"golang.org/x/sys/unix"
)

// UDP is a frame of 60 bytes to nobody: 192.0.2.1 to 192.0.2.2, port 9.
func UDP() []byte {
	b := make([]byte, 60)
	copy(b, []byte{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0})
	ip := b[14:]
	ip[0], ip[8], ip[9] = 0x45, 64, unix.IPPROTO_UDP
	binary.BigEndian.PutUint16(ip[2:], 46)
	copy(ip[12:], []byte{192, 0, 2, 1, 192, 0, 2, 2})
	binary.BigEndian.PutUint16(ip[20:], 9)
	binary.BigEndian.PutUint16(ip[22:], 9)
	binary.BigEndian.PutUint16(ip[24:], 26)
	return b
}

// Batch is how many frames a call sends at the most.
const Batch = 64

// Sender sends copies of one frame. One goroutine may use it.
type Sender struct {
	fd   int
	msgs [Batch]message
}

// message is a struct mmsghdr.
type message struct {
	head unix.Msghdr
	sent uint32
	_    [4]byte
}

// Open opens a sender out of a link of the caller's network namespace.
func Open(link string, frame []byte) (*Sender, error) {
	l, err := net.InterfaceByName(link)
	if err != nil {
		return nil, err
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open packet socket: %w", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: l.Index}); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("bind to %s: %w", link, err)
	}
	s := &Sender{fd: fd}
	for i := range s.msgs {
		s.msgs[i].head.Iov = &unix.Iovec{Base: &frame[0], Len: uint64(len(frame))}
		s.msgs[i].head.Iovlen = 1
	}
	return s, nil
}

// Direct has frames pass by the queueing discipline and programs on egress.
func (s *Sender) Direct() error {
	if err := unix.SetsockoptInt(s.fd, unix.SOL_PACKET, unix.PACKET_QDISC_BYPASS, 1); err != nil {
		return fmt.Errorf("bypass the queueing discipline: %w", err)
	}
	return nil
}

// Send sends n frames, at most Batch, and returns how many were taken: fewer,
// or none, where a queue is full.
func (s *Sender) Send(n int) (int, error) {
	sent, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(s.fd), uintptr(unsafe.Pointer(&s.msgs[0])), uintptr(min(n, Batch)), 0, 0, 0)
	switch errno {
	case 0:
		return int(sent), nil
	case unix.ENOBUFS, unix.EAGAIN, unix.EINTR:
		return 0, nil
	}
	return 0, fmt.Errorf("send: %w", errno)
}

// Close closes the socket.
func (s *Sender) Close() error { return unix.Close(s.fd) }
