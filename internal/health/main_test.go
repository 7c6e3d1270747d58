package health

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// ask probes once, as a Monitor would.
func ask(t *testing.T, address netip.Addr, c Check) (Code, string) {
	t.Helper()
	var readers sync.WaitGroup
	pings := newPingers(readers.Go)
	c = c.Defaults()
	if c.Type == ICMP {
		pings.join(lineOf(address, c))
		defer readers.Wait()
		defer pings.leave(lineOf(address, c))
	}
	begin := time.Now()
	code, detail := outcome(newProbe(address, c, pings)(t.Context(), begin.Add(c.Timeout)))
	if took := time.Since(begin); took > c.Timeout+late {
		t.Errorf("a probe with a timeout of %v took %v", c.Timeout, took)
	}
	return code, detail
}

// late is how much later than planned things may happen on a busy machine.
const late = 3 * time.Second

// want asks and compares.
func want(t *testing.T, at netip.AddrPort, c Check, code Code) string {
	t.Helper()
	c.Port = at.Port()
	got, detail := ask(t, at.Addr(), c)
	if got != code {
		t.Errorf("%v %q, want %v", got, detail, code)
	}
	return detail
}

var loopback = netip.MustParseAddr("127.0.0.1")

// serve answers each connection with f, which owns it.
func serve(t *testing.T, address string, f func(net.Conn)) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	over, end := context.WithCancel(context.Background())
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer context.AfterFunc(over, func() { c.Close() })()
				defer c.Close()
				f(c)
			})
		}
	})
	t.Cleanup(func() { end(); l.Close(); all.Wait() })
	return l.Addr().(*net.TCPAddr).AddrPort()
}
