package engine

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
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

// GatewayProbe wants an ICMP echo answered by a default gateway of the main
// table, of either family.
func GatewayProbe() Probe {
	return probeFunc{"default-gateway", func(ctx context.Context) error {
		gateways := defaultGateways()
		if len(gateways) == 0 {
			return errors.New("there is no default gateway")
		}
		var errs []error
		for _, g := range gateways {
			limited, cancel := context.WithTimeout(ctx, probePatience/time.Duration(len(gateways)))
			err := ping(limited, g)
			cancel()
			if err == nil {
				return nil
			}
			errs = append(errs, err)
		}
		return errors.Join(errs...)
	}}
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

// defaultGateways reads /proc/net: both families, at most a few.
func defaultGateways() []netip.Addr {
	v4 := scanProc("/proc/thread-self/net/route", gateway4)
	return append(v4, scanProc("/proc/thread-self/net/ipv6_route", gateway6)...)
}

const maxGateways = 4

func scanProc(file string, parse func([]string) (netip.Addr, bool)) []netip.Addr {
	f, err := os.Open(file)
	if err != nil {
		return nil
	}
	defer f.Close()
	var out []netip.Addr
	for s := bufio.NewScanner(io.LimitReader(f, maxProc)); s.Scan() && len(out) < maxGateways; {
		if a, ok := parse(strings.Fields(s.Text())); ok {
			out = append(out, a)
		}
	}
	return out
}

// gateway4 reads "Iface Destination Gateway Flags RefCnt Use Metric Mask …".
func gateway4(w []string) (netip.Addr, bool) {
	if len(w) < 8 || w[1] != "00000000" || w[7] != "00000000" {
		return netip.Addr{}, false
	}
	a, ok := parseProcAddr(w[2] + ":0")
	return a.Addr(), ok && !a.Addr().IsUnspecified()
}

// gateway6 reads "dst len src len nexthop metric refcnt use flags device".
func gateway6(w []string) (netip.Addr, bool) {
	if len(w) < 10 || w[1] != "00" || strings.Trim(w[0], "0") != "" {
		return netip.Addr{}, false
	}
	raw, err := hex.DecodeString(w[4])
	a, ok := netip.AddrFromSlice(raw)
	if err != nil || !ok || a.IsUnspecified() {
		return netip.Addr{}, false
	}
	if a.IsLinkLocalUnicast() {
		a = a.WithZone(w[9])
	}
	return a, true
}
