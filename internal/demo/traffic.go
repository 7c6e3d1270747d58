package demo

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"sync"
	"time"
)

// traffic is numbered UDP packets from one tenant to the other, across the
// bridge, and the count of those that arrive.
type traffic struct {
	from, to net.PacketConn
	target   net.Addr

	wg   sync.WaitGroup
	quit chan struct{}
	sent int
	seen map[uint32]bool
	err  error
}

const (
	packetEvery = 500 * time.Microsecond
	packetGrace = 300 * time.Millisecond // for the last ones to arrive
	trafficPort = "7007"
)

// newTraffic opens the sockets. The first packet is sent once start is called.
func newTraffic(left, right namespace) (*traffic, error) {
	t := &traffic{quit: make(chan struct{}), seen: make(map[uint32]bool)}
	host, _, err := net.ParseCIDR(rightPrefix)
	if err != nil {
		return nil, err
	}
	if t.target, err = net.ResolveUDPAddr("udp4", net.JoinHostPort(host.String(), trafficPort)); err != nil {
		return nil, err
	}
	if err := right.inside(func() (err error) { t.to, err = net.ListenPacket("udp4", ":"+trafficPort); return err }); err != nil {
		return nil, fmt.Errorf("receive packets: %w", err)
	}
	if err := left.inside(func() (err error) { t.from, err = net.ListenPacket("udp4", ":0"); return err }); err != nil {
		_ = t.to.Close()
		return nil, fmt.Errorf("send packets: %w", err)
	}
	return t, nil
}

// ready sends single packets until one arrives: neighbours are resolved and
// the ports of the bridge forward.
func (t *traffic) ready(ctx context.Context) error {
	buf := make([]byte, 64)
	for start := time.Now(); time.Since(start) < patience; {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if _, err := t.from.WriteTo([]byte("hello"), t.target); err != nil {
			time.Sleep(10 * time.Millisecond)
			continue
		}
		_ = t.to.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		if _, _, err := t.to.ReadFrom(buf); err == nil {
			return t.to.SetReadDeadline(time.Time{})
		}
	}
	return fmt.Errorf("cross the bridge: no packet within %s", patience)
}

func (t *traffic) start() {
	t.wg.Go(t.receive)
	t.wg.Go(t.send)
}

func (t *traffic) send() {
	tick := time.NewTicker(packetEvery)
	defer tick.Stop()
	for {
		select {
		case <-t.quit:
			return
		case <-tick.C:
		}
		packet := binary.BigEndian.AppendUint32(nil, uint32(t.sent))
		if _, err := t.from.WriteTo(packet, t.target); err != nil {
			t.err = fmt.Errorf("send packet %d: %w", t.sent, err)
			return
		}
		t.sent++
	}
}

// receive ends with its socket.
func (t *traffic) receive() {
	buf := make([]byte, 64)
	for {
		n, _, err := t.to.ReadFrom(buf)
		if err != nil {
			return
		}
		if n == 4 {
			t.seen[binary.BigEndian.Uint32(buf)] = true
		}
	}
}

// stop returns how many packets were sent and how many of them were lost.
func (t *traffic) stop() (sent, lost int, err error) {
	close(t.quit)
	time.Sleep(packetGrace)
	_ = t.to.Close()
	_ = t.from.Close()
	t.wg.Wait()
	return t.sent, t.sent - len(t.seen), t.err
}
