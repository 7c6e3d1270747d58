package health

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

const (
	echoRequest4, echoReply4 = 8, 0     // RFC 792
	echoRequest6, echoReply6 = 128, 129 // RFC 4443
	echoHeader               = 8
	echoLength               = echoHeader + 8 // and the nonce

	// pingBuffers has room for what waits for the addresses of thousands of
	// dead neighbours; the others are not to wait behind it.
	pingBuffers = 8 << 20 // bytes
)

// ready lets the kernel drop what is no reply to us, and gives the socket room.
func (p *pinger) ready(fd int) error {
	filter := p.filter()
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &program); err != nil {
		return fmt.Errorf("filter socket: %w", err)
	}
	if err := room(fd, unix.SO_SNDBUFFORCE, unix.SO_SNDBUF); err != nil {
		return err
	}
	return room(fd, unix.SO_RCVBUFFORCE, unix.SO_RCVBUF)
}

// room sets a buffer, within the system's limit where that binds us.
func room(fd, forced, plain int) error {
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, forced, pingBuffers) == nil {
		return nil
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, plain, pingBuffers); err != nil {
		return fmt.Errorf("set buffer of socket: %w", err)
	}
	return nil
}

// filter takes echo replies with our id. What it sees begins with the IP header
// in version 4, and behind it in version 6.
func (p *pinger) filter() []unix.SockFilter {
	const drop, all = 0, 1 << 16
	mode, reply, skip := uint16(unix.BPF_IND), uint32(echoReply4), []unix.SockFilter{
		{Code: unix.BPF_LDX | unix.BPF_B | unix.BPF_MSH, K: 0}, // X: the length of the IP header
	}
	if p.family == unix.AF_INET6 {
		mode, reply, skip = unix.BPF_ABS, echoReply6, nil
	}
	return append(skip,
		unix.SockFilter{Code: unix.BPF_LD | unix.BPF_B | mode, K: 0},
		unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: reply, Jf: 3},
		unix.SockFilter{Code: unix.BPF_LD | unix.BPF_H | mode, K: 4},
		unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: uint32(p.id), Jf: 1},
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: all},
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: drop},
	)
}

// request is an echo request; the kernel sums those of version 6.
func (p *pinger) request(seq uint16, nonce uint64) []byte {
	b := make([]byte, echoLength)
	b[0] = echoRequest6
	binary.BigEndian.PutUint16(b[4:], p.id)
	binary.BigEndian.PutUint16(b[6:], seq)
	binary.BigEndian.PutUint64(b[echoHeader:], nonce)
	if p.family == unix.AF_INET {
		b[0] = echoRequest4
		binary.BigEndian.PutUint16(b[2:], checksum(b))
	}
	return b
}

// parse reads an echo reply.
func (p *pinger) parse(b []byte) (id, seq uint16, nonce uint64, ok bool) {
	reply := byte(echoReply6)
	if p.family == unix.AF_INET {
		reply = echoReply4
		if len(b) == 0 {
			return 0, 0, 0, false
		}
		b = b[min(int(b[0]&0xf)*4, len(b)):]
	}
	if len(b) < echoLength || b[0] != reply {
		return 0, 0, 0, false
	}
	return binary.BigEndian.Uint16(b[4:]), binary.BigEndian.Uint16(b[6:]), binary.BigEndian.Uint64(b[echoHeader:]), true
}

// checksum is that of RFC 1071, of an even number of bytes.
func checksum(b []byte) uint16 {
	var sum uint32
	for ; len(b) >= 2; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	sum = sum>>16 + sum&0xffff
	return ^uint16(sum>>16 + sum)
}

// sourceMessage asks for the source address of one packet; nil leaves it to the
// kernel.
func sourceMessage(source netip.Addr) []byte {
	switch {
	case !source.IsValid():
		return nil
	case source.Is4():
		return unix.PktInfo4(&unix.Inet4Pktinfo{Spec_dst: source.As4()})
	}
	return unix.PktInfo6(&unix.Inet6Pktinfo{Addr: source.As16()})
}

// addressOf is the address that a packet came from.
func addressOf(from unix.Sockaddr) netip.Addr {
	switch from := from.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrFrom4(from.Addr)
	case *unix.SockaddrInet6:
		return netip.AddrFrom16(from.Addr)
	}
	return netip.Addr{}
}
