// Package load is clients of a daemon that must lose none of their requests,
// while its versions change.
//
// It never ships, and it imports nothing of ours.
package load

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Daemon is where one listens.
type Daemon struct {
	Socket  string // a path
	Metrics string // a URL
	// Dial opens a connection to Metrics; nil: from where the caller is.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Load is clients at work.
type Load struct {
	asked, failed atomic.Int64
	first         atomic.Pointer[error]
	stop          context.CancelFunc
	done          sync.WaitGroup
}

// idle is how much longer than others half of the clients rest: their connections
// carry nothing most of the time.
const idle = 60

// Start starts clients, each with a connection that is kept and a rest between two
// requests: half of them ask the socket, half for metrics.
func Start(d Daemon, clients int, rest time.Duration) *Load {
	ctx, cancel := context.WithCancel(context.Background())
	l := &Load{stop: cancel}
	for i := range clients {
		transport, url, rest := &http.Transport{DialContext: d.Dial}, d.Metrics, rest
		if i%2 == 0 {
			url = "http://daemon/v1/status"
			transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "unix", d.Socket)
			}
		}
		if i%4 > 1 {
			rest *= idle
		}
		l.done.Go(func() {
			defer transport.CloseIdleConnections()
			l.ask(ctx, &http.Client{Transport: transport, Timeout: 10 * time.Second}, url, rest)
		})
	}
	return l
}

func (l *Load) ask(ctx context.Context, c *http.Client, url string, rest time.Duration) {
	for ctx.Err() == nil {
		l.asked.Add(1)
		if err := get(c, url); err != nil {
			l.failed.Add(1)
			l.first.CompareAndSwap(nil, &err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(rest):
		}
	}
}

func get(c *http.Client, url string) error {
	r, err := c.Get(url)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		return fmt.Errorf("status %s", r.Status)
	}
	_, err = io.Copy(io.Discard, r.Body)
	return err
}

// End ends them, and tells how many requests there were. It fails where one has,
// with the first error, or where there were too few to tell.
func (l *Load) End() (asked int64, err error) {
	l.stop()
	l.done.Wait()
	asked = l.asked.Load()
	if first := l.first.Load(); first != nil {
		return asked, fmt.Errorf("%d of %d requests failed: %w", l.failed.Load(), asked, *first)
	}
	if asked < 100 {
		return asked, fmt.Errorf("only %d requests", asked)
	}
	return asked, nil
}
