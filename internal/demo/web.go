package demo

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// server is a web server in a tenant's namespace, which answers with its name.
type server struct {
	at   namespace
	name string
	http *http.Server
}

func (s *server) start() error {
	var listener net.Listener
	err := s.at.inside(func() (err error) {
		listener, err = net.Listen("tcp4", ":80")
		return err
	})
	if err != nil {
		return fmt.Errorf("start server %s: %w", s.name, err)
	}
	s.http = &http.Server{
		Handler:           http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, s.name) }),
		ReadHeaderTimeout: patience,
	}
	go func() { _ = s.http.Serve(listener) }() // until it is killed
	return nil
}

// kill closes its listener and all its connections. One that does not run is no
// error.
func (s *server) kill() error {
	if s.http == nil {
		return nil
	}
	return s.http.Close()
}

// tally is what became of requests.
type tally struct {
	fresh, kept map[string]int // by who answered; on new connections, on those that are kept
	failed      int
	why         error // the first one
}

func newTally() tally { return tally{fresh: map[string]int{}, kept: map[string]int{}} }

func (t tally) requests() int {
	n := t.failed
	for _, answered := range []map[string]int{t.fresh, t.kept} {
		for _, k := range answered {
			n += k
		}
	}
	return n
}

// clients ask a server through a VIP, again and again: one on a new connection
// each time, the others each on one that it keeps.
type clients struct {
	url  string // of the VIP: host and port
	quit chan struct{}
	wg   sync.WaitGroup

	mu  sync.Mutex
	now tally
}

const (
	keptConnections = 48
	requestEvery    = 4 * time.Millisecond
	requestPatience = 2 * time.Second
)

// ask begins to send requests from a namespace.
func ask(from namespace, url string) (*clients, error) {
	c := &clients{url: url, quit: make(chan struct{}), now: newTally()}
	var kept []net.Conn
	err := from.inside(func() error {
		for range keptConnections {
			conn, err := c.dial()
			if err != nil {
				return err
			}
			kept = append(kept, conn)
		}
		return nil
	})
	if err != nil {
		return nil, errors.Join(err, closeAll(kept))
	}
	c.wg.Go(func() { _ = from.inside(c.renew) })
	c.wg.Go(func() { c.keep(kept) })
	return c, nil
}

func closeAll(conns []net.Conn) error {
	var errs []error
	for _, c := range conns {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

func (c *clients) dial() (net.Conn, error) { return net.DialTimeout("tcp4", c.url, requestPatience) }

// stop ends all requests.
func (c *clients) stop() {
	close(c.quit)
	c.wg.Wait()
}

// pause waits for the next request, and reports whether there is one.
func (c *clients) pause() bool {
	select {
	case <-c.quit:
		return false
	case <-time.After(requestEvery):
		return true
	}
}

// renew asks on a new connection each time.
func (c *clients) renew() error {
	for c.pause() {
		conn, err := c.dial()
		if err != nil {
			c.count(nil, "", err)
			continue
		}
		name, err := request(conn, bufio.NewReader(conn))
		_ = conn.Close()
		c.count(func(t *tally) map[string]int { return t.fresh }, name, err)
	}
	return nil
}

// keep asks on one connection after the other. One that fails is not tried again.
func (c *clients) keep(conns []net.Conn) {
	defer func() { _ = closeAll(conns) }()
	readers := make([]*bufio.Reader, len(conns))
	for i, conn := range conns {
		readers[i] = bufio.NewReader(conn)
	}
	for i := 0; c.pause(); i = (i + 1) % len(conns) {
		if readers[i] == nil {
			continue
		}
		name, err := request(conns[i], readers[i])
		if err != nil {
			readers[i] = nil
		}
		c.count(func(t *tally) map[string]int { return t.kept }, name, err)
	}
}

func request(conn net.Conn, r *bufio.Reader) (string, error) {
	if err := conn.SetDeadline(time.Now().Add(requestPatience)); err != nil {
		return "", err
	}
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: www.example\r\n\r\n"); err != nil {
		return "", err
	}
	answer, err := http.ReadResponse(r, nil)
	if err != nil {
		return "", err
	}
	name, err := io.ReadAll(answer.Body)
	return strings.TrimSpace(string(name)), err
}

func (c *clients) count(answered func(*tally) map[string]int, name string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.now.failed++
		if c.now.why == nil {
			c.now.why = err
		}
		return
	}
	answered(&c.now)[name]++
}

// take hands out what was counted since the last time.
func (c *clients) take() tally {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.now
	c.now = newTally()
	return t
}

// until waits for what a tally, since the last take, is to tell. It takes it.
func (c *clients) until(ctx context.Context, what string, holds func(tally) bool) (tally, error) {
	for start := time.Now(); time.Since(start) < patience; time.Sleep(lookEvery) {
		if ctx.Err() != nil {
			return tally{}, context.Cause(ctx)
		}
		c.mu.Lock()
		held := holds(c.now)
		c.mu.Unlock()
		if held {
			return c.take(), nil
		}
	}
	return c.take(), fmt.Errorf("await %s: not within %s", what, patience)
}
