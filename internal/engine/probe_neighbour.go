package engine

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The kernel's neighbour table would be cheaper to read, but its states are of
// the past: an entry stays REACHABLE for half a minute after a cable was pulled,
// and becomes DELAY by our own packet. So the neighbour is asked.

// askNeighbour wants the link-layer address of a gateway told, once.
func askNeighbour(ctx context.Context, g gateway) error {
	ask := askARP
	if g.addr.Is6() {
		ask = askND
	}
	if err := ask(ctx, g); err != nil {
		return fmt.Errorf("ask for %s on %s: %w", g.addr, g.dev, err)
	}
	return nil
}

var errNoNeighbour = errors.New("no answer")

const (
	arpLen             = 28 // RFC 826, Ethernet and IPv4
	arpRequest, arpRep = 1, 2
)

// askARP sends an ARP request and waits for the reply to us.
func askARP(ctx context.Context, g gateway) error {
	link, err := net.InterfaceByName(g.dev)
	if err != nil {
		return err
	}
	if len(link.HardwareAddr) != 6 {
		return errors.New("the link has no Ethernet addresses")
	}
	from, err := sourceFor(ctx, g.addr)
	if err != nil {
		return err
	}
	fd, err := openARP(link.Index)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	to := arpAddr(link.Index)
	to.Halen = 6
	copy(to.Addr[:], "\xff\xff\xff\xff\xff\xff")
	if err := unix.Sendto(fd, arpQuestion(link.HardwareAddr, from, g.addr), 0, to); err != nil {
		return fmt.Errorf("send ARP request: %w", err)
	}
	return awaitARP(ctx, fd, link.HardwareAddr, g.addr)
}

// sourceFor is the address that the kernel would send from. Nothing is sent.
func sourceFor(ctx context.Context, to netip.Addr) (netip.Addr, error) {
	c, err := new(net.Dialer).DialContext(ctx, "udp4", netip.AddrPortFrom(to, 9).String())
	if err != nil {
		return netip.Addr{}, err
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap(), nil
}

func arpAddr(index int) *unix.SockaddrLinklayer {
	var order [2]byte
	binary.BigEndian.PutUint16(order[:], unix.ETH_P_ARP)
	return &unix.SockaddrLinklayer{Protocol: binary.NativeEndian.Uint16(order[:]), Ifindex: index}
}

// openARP is a socket that hears ARP of one link, and gives up after echoAgain.
func openARP(index int) (int, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open packet socket: %w", err)
	}
	wait := unix.NsecToTimeval(int64(echoAgain))
	err = errors.Join(unix.Bind(fd, arpAddr(index)), unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait))
	if err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("open packet socket: %w", err)
	}
	return fd, nil
}

func arpQuestion(mac net.HardwareAddr, from, to netip.Addr) []byte {
	b := []byte{0, 1, 0x08, 0x00, 6, 4, 0, arpRequest}
	b = append(b, mac...)
	b = append(b, from.AsSlice()...)
	b = append(b, make([]byte, 6)...)
	return append(b, to.AsSlice()...)
}

// awaitARP hears everybody's ARP, so it looks at the time as well.
func awaitARP(ctx context.Context, fd int, mac net.HardwareAddr, who netip.Addr) error {
	var b [arpLen]byte
	for until := time.Now().Add(echoAgain); time.Now().Before(until) && ctx.Err() == nil; {
		n, _, err := unix.Recvfrom(fd, b[:], 0)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EAGAIN):
			return errNoNeighbour
		case err != nil:
			return err
		case isARPReply(b[:n], mac, who):
			return nil
		}
	}
	return errNoNeighbour
}

func isARPReply(b []byte, mac net.HardwareAddr, who netip.Addr) bool {
	return len(b) == arpLen && b[7] == arpRep && bytes.Equal(b[14:18], who.AsSlice()) && bytes.Equal(b[18:24], mac)
}

// RFC 4861: neighbour solicitation and advertisement, which only a packet from
// the same link may carry, told by its hop limit.
const (
	solicitation, advertisement = 135, 136
	ndLen                       = 24
	ndHops                      = 255
)

// askND sends a neighbour solicitation to the neighbour itself, as the kernel
// does to one that it knows, and waits for the advertisement.
func askND(ctx context.Context, g gateway) error {
	dialer := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		return errors.Join(c.Control(func(fd uintptr) {
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS, ndHops)
		}), err)
	}}
	c, err := dialer.DialContext(ctx, "ip6:ipv6-icmp", g.addr.String())
	if err != nil {
		return err
	}
	defer c.Close()
	target := g.addr.WithZone("").AsSlice()
	question := append([]byte{solicitation, 0, 0, 0, 0, 0, 0, 0}, target...)
	if _, err := c.Write(question); err != nil {
		return fmt.Errorf("send neighbour solicitation: %w", err)
	}
	if err := c.SetReadDeadline(time.Now().Add(echoAgain)); err != nil {
		return err
	}
	var b [1500]byte
	for {
		n, err := c.Read(b[:])
		if err != nil {
			return err
		}
		if n >= ndLen && b[0] == advertisement && bytes.Equal(b[8:ndLen], target) {
			return nil
		}
	}
}
