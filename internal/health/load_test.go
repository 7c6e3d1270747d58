package health

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// running is a Monitor at work until the test ends.
func running(t *testing.T, c Config) *Monitor {
	t.Helper()
	m := New(c)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- m.Run(ctx) }()
	t.Cleanup(func() {
		begin := time.Now()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if took := time.Since(begin); took > late {
			t.Errorf("it took %v to stop", took)
		}
		if n := goroutines(); n != 0 {
			t.Errorf("%d goroutines are left", n)
		}
	})
	return m
}

// goroutines counts those that Monitors have started.
func goroutines() (n int) {
	text := make([]byte, 16<<20)
	for stack := range strings.SplitSeq(string(text[:runtime.Stack(text, true)]), "\n\n") {
		if strings.Contains(stack, "(*Monitor).start.") {
			n++
		}
	}
	return n
}

// eventually waits for what takes real time.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within 10 s", what)
		}
	}
}

func targetsAt(at netip.AddrPort, n int, c Check) (all []Target) {
	c.Port = at.Port()
	for i := range n {
		all = append(all, Target{ID: fmt.Sprint("web", i), Address: at.Addr(), Check: c})
	}
	return all
}

// counted is an observer that only counts.
type counted struct{ probes, turns atomic.Int64 }

func (c *counted) Probed(Type, Code, time.Duration) { c.probes.Add(1) }
func (c *counted) Turned(string, State, State)      { c.turns.Add(1) }

// A thousand real connections at a time, to servers that change their minds.
func TestAThousandRealTargetsFlap(t *testing.T) {
	var asked atomic.Int64
	at := serve(t, "127.0.0.1:0", func(c net.Conn) {
		http.ReadRequest(bufio.NewReader(c))
		switch n := asked.Add(1); {
		case n%7 == 0:
			time.Sleep(time.Second)
		case n%5 == 0:
			c.(*net.TCPConn).SetLinger(0)
		default:
			fmt.Fprintf(c, "HTTP/1.1 %d Hm\r\n\r\nok", 200+300*(n%2))
		}
	})
	seen := new(counted)
	m := running(t, Config{Observer: seen, Parallel: 100})
	check := Check{Type: HTTP, HTTP: Request{Body: "ok"}, Interval: 500 * time.Millisecond, Timeout: 300 * time.Millisecond, Rise: 1, Fall: 1}
	m.Set(targetsAt(at, 1000, check))
	begin, most, mostOpen, woken := time.Now(), 0, 0, 0
	for seen.turns.Load() < 2000 {
		select {
		case <-m.Changed():
		case <-time.After(30 * time.Second):
			t.Fatalf("%d changes after %v", seen.turns.Load(), time.Since(begin))
		}
		woken++
		m.Snapshot()
		time.Sleep(100 * time.Millisecond) // what an engine does then
		most, mostOpen = max(most, goroutines()), max(mostOpen, connectionsTo(t, at.Port()))
	}
	if most > 1000 || mostOpen == 0 || mostOpen > 150 { // 100, and what changed while the kernel's table was read
		t.Errorf("%d goroutines, %d connections", most, mostOpen)
	}
	if atMost := int(time.Since(begin)/(100*time.Millisecond)) + 1; woken > atMost {
		t.Errorf("woken %d times, want at most %d", woken, atMost)
	}
	t.Logf("%d probes, %d changes, %d goroutines, %d connections, woken %d times", seen.probes.Load(), seen.turns.Load(), most, mostOpen, woken)
}

// connectionsTo counts the sockets that are connected, or being so, to a port of
// this host. What is closed has no inode.
func connectionsTo(t *testing.T, port uint16) (n int) {
	t.Helper()
	all, err := os.ReadFile("/proc/self/net/tcp")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(all)) {
		if f := strings.Fields(line); len(f) > 9 && strings.HasSuffix(f[2], fmt.Sprintf(":%04X", port)) && f[9] != "0" {
			n++
		}
	}
	return n
}

// Setting the same again cuts no connection and makes none.
func TestSettingTheSameKeepsAConnection(t *testing.T) {
	var conns, ends atomic.Int32
	at := serve(t, "127.0.0.1:0", func(c net.Conn) {
		conns.Add(1)
		io.Copy(io.Discard, c)
		ends.Add(1)
	})
	seen := new(counted)
	m := running(t, Config{Observer: seen})
	targets := targetsAt(at, 10, Check{Type: HTTP, Timeout: time.Minute})
	m.Set(targets)
	eventually(t, "all are asked", func() bool { return conns.Load() == 10 })
	for range 100 {
		m.Set(targets)
		m.Set(targets[:9]) // the last one leaves, and comes again
		m.Set(targets)
	}
	eventually(t, "the last one is asked anew", func() bool { return conns.Load() > 10 && conns.Load()-ends.Load() == 10 })
	m.Set(targets[:9])
	eventually(t, "the last one is cut", func() bool { return conns.Load()-ends.Load() == 9 })
	if seen.probes.Load() != 0 {
		t.Errorf("%d probes have ended", seen.probes.Load())
	}
	m.Set(nil)
	eventually(t, "all are cut", func() bool { return conns.Load() == ends.Load() })
	eventually(t, "their goroutines end", func() bool { return goroutines() == 0 })
}
