package engine

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"
)

// Probe is one way of asking whether the host is still reachable.
type Probe interface {
	// String names it: source, default-gateway, tcp 192.0.2.11:179.
	String() string
	// Run answers within the context; nil means reachable.
	Run(context.Context) error
}

type probeFunc struct {
	name string
	run  func(context.Context) error
}

func (p probeFunc) String() string                { return p.name }
func (p probeFunc) Run(ctx context.Context) error { return p.run(ctx) }

// SourceProbe connects to where the source is fetched from, host:port.
func SourceProbe(address string) Probe {
	return probeFunc{"source", func(ctx context.Context) error { return connect(ctx, address) }}
}

// TCPProbe connects to an address and a port.
func TCPProbe(to netip.AddrPort) Probe {
	return probeFunc{"tcp " + to.String(), func(ctx context.Context) error { return connect(ctx, to.String()) }}
}

// PingProbe wants an ICMP echo answered. It needs the right to raw sockets.
func PingProbe(to netip.Addr) Probe {
	return probeFunc{"ping " + to.String(), func(ctx context.Context) error { return ping(ctx, to) }}
}

func connect(ctx context.Context, address string) error {
	c, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	return c.Close()
}

const (
	echoRequest4, echoReply4 = 8, 0     // RFC 792
	echoRequest6, echoReply6 = 128, 129 // RFC 4443
	echoAgain                = 250 * time.Millisecond
)

// ping sends echo requests until one is answered or the context ends.
func ping(ctx context.Context, to netip.Addr) error {
	network, request, reply := "ip4:icmp", byte(echoRequest4), byte(echoReply4)
	if to.Is6() {
		network, request, reply = "ip6:ipv6-icmp", echoRequest6, echoReply6
	}
	c, err := new(net.Dialer).DialContext(ctx, network, to.String())
	if err != nil {
		return fmt.Errorf("ping %s: %w", to, err)
	}
	defer c.Close()
	id := uint16(time.Now().UnixNano())
	for ctx.Err() == nil {
		if _, err = c.Write(echo(request, id)); err == nil {
			err = awaitEcho(ctx, c.(*net.IPConn), reply, id)
		}
		if err == nil {
			return nil
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) && !sleep(ctx, echoAgain) {
			break
		}
	}
	return fmt.Errorf("ping %s: no answer: %w", to, err)
}

// echo is a request with a checksum; the kernel writes that of ICMPv6 itself.
func echo(request byte, id uint16) []byte {
	b := []byte{request, 0, 0, 0, 0, 0, 0, 1}
	binary.BigEndian.PutUint16(b[4:], id)
	var sum uint32
	for i := 0; i < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	binary.BigEndian.PutUint16(b[2:], ^uint16(sum+sum>>16))
	return b
}

// awaitEcho reads packets, ReadFrom because only that takes the IP header off.
func awaitEcho(ctx context.Context, c net.PacketConn, reply byte, id uint16) error {
	until := time.Now().Add(echoAgain)
	if d, ok := ctx.Deadline(); ok && d.Before(until) {
		until = d
	}
	if err := c.SetReadDeadline(until); err != nil {
		return err
	}
	var b [1500]byte
	for {
		n, _, err := c.ReadFrom(b[:])
		if err != nil {
			return err
		}
		if n >= 8 && b[0] == reply && binary.BigEndian.Uint16(b[4:]) == id {
			return nil
		}
	}
}
