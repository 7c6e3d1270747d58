package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"reconciler/internal/testns"
)

// dialFrom opens a connection out of a namespace.
func dialFrom(ns *testns.NS, within time.Duration, address string) (c net.Conn, err error) {
	ns.Do(func() { c, err = (&net.Dialer{Timeout: within}).Dial("tcp", address) })
	return c, err
}

// httpFrom is a client whose connections are opened out of a namespace, one for
// each request.
func httpFrom(ns *testns.NS, within time.Duration) *http.Client {
	return &http.Client{Timeout: within, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(_ context.Context, _, address string) (net.Conn, error) { return dialFrom(ns, within, address) },
	}}
}

// fetch asks a VIP who serves.
func fetch(c *http.Client, host string) (string, error) {
	r, err := c.Get("http://" + host + "/")
	if err != nil {
		return "", err
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err == nil && r.StatusCode != http.StatusOK {
		err = errors.New(r.Status)
	}
	return string(text), err
}

// lasting are connections that stay open, and on which one question follows
// the other: numbers are sent and must come back, or, on some, requests are
// made. Each must be served by one backend to its end.
type lasting struct {
	mu    sync.Mutex
	conns []*lastingConn
	began time.Time
	halt  chan struct{}
	ended sync.WaitGroup
}

// lastingConn is one of them. The mutex of all guards what is below.
type lastingConn struct {
	server string
	asked  int
	fault  error // that ended it
}

// talk opens so many connections, over both families if there are.
func (w *vipWorld) talk(n int, hosts ...string) *lasting {
	w.Helper()
	l := &lasting{began: w.began, halt: make(chan struct{})}
	for i := range n {
		host, c := hosts[i%len(hosts)], &lastingConn{}
		open, port := w.echoing, "7"
		if i%8 > 5 {
			open, port = w.requesting, "80"
		}
		ask, close, err := open(net.JoinHostPort(strings.Trim(host, "[]"), port))
		if err == nil {
			c.server, err = ask()
		}
		if err != nil {
			w.Fatalf("connection %d to %s: %v", i, host, err)
		}
		l.conns = append(l.conns, c)
		l.ended.Go(func() { defer close(); l.run(c, ask) })
	}
	w.Cleanup(l.stop)
	return l
}

// echoing opens a connection and returns what sends the next number over it.
func (w *vipWorld) echoing(address string) (ask func() (string, error), close func(), err error) {
	conn, err := dialFrom(w.client, unanswered, address)
	if err != nil {
		return nil, nil, err
	}
	next := uint64(0)
	return func() (string, error) {
		next++
		buf := make([]byte, 10)
		if err := conn.SetDeadline(time.Now().Add(unanswered)); err != nil {
			return "", err
		}
		if _, err := conn.Write(binary.BigEndian.AppendUint64(nil, next)); err != nil {
			return "", err
		}
		if _, err := io.ReadFull(conn, buf); err != nil {
			return "", err
		}
		if got := binary.BigEndian.Uint64(buf); got != next {
			return "", fmt.Errorf("%d came back, and %d was sent", got, next)
		}
		return fmt.Sprintf("b%d", binary.BigEndian.Uint16(buf[8:])), nil
	}, func() { conn.Close() }, nil
}

// requesting opens a connection and returns what makes the next request on it.
func (w *vipWorld) requesting(address string) (ask func() (string, error), close func(), err error) {
	conn, err := dialFrom(w.client, unanswered, address)
	if err != nil {
		return nil, nil, err
	}
	answers := bufio.NewReader(conn)
	return func() (string, error) {
		if err := conn.SetDeadline(time.Now().Add(unanswered)); err != nil {
			return "", err
		}
		if _, err := fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: www\r\n\r\n"); err != nil {
			return "", err
		}
		r, err := http.ReadResponse(answers, nil)
		if err != nil {
			return "", err
		}
		defer r.Body.Close()
		text, err := io.ReadAll(r.Body)
		return string(text), err
	}, func() { conn.Close() }, nil
}

func (l *lasting) run(c *lastingConn, ask func() (string, error)) {
	for {
		select {
		case <-l.halt:
			return
		case <-time.After(100 * time.Millisecond):
		}
		server, err := ask()
		l.mu.Lock()
		if err == nil && server != c.server {
			err = fmt.Errorf("%s answers", server)
		}
		c.asked++
		if err != nil {
			c.fault = fmt.Errorf("after %v: %w", time.Since(l.began).Round(time.Millisecond), err)
		}
		l.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (l *lasting) stop() {
	l.mu.Lock()
	select {
	case <-l.halt:
	default:
		close(l.halt)
	}
	l.mu.Unlock()
	l.ended.Wait()
}

// on counts the connections with a backend, and tells what ended some of them.
func (l *lasting) on(server string) (n int, faults []error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.conns {
		if c.server != server {
			continue
		}
		n++
		if c.fault != nil {
			faults = append(faults, c.fault)
		}
	}
	return n, faults
}

// asked counts what was asked on all of them.
func (l *lasting) asked() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.conns {
		n += c.asked
	}
	return n
}

// unbroken wants all connections with some backends to live.
func (w *vipWorld) unbroken(l *lasting, when string, servers ...string) {
	w.Helper()
	for _, s := range servers {
		n, faults := l.on(s)
		if n == 0 {
			w.Fatalf("%s has no connection", s)
		}
		if len(faults) > 0 {
			w.Errorf("%s: %d of %d connections with %s are broken: %v", when, len(faults), n, s, faults[0])
		}
	}
}

// attempt is one new connection.
type attempt struct {
	at, end time.Time
	host    string
	server  string
	err     error
}

// asking opens new connections all the time, one request on each.
type asking struct {
	mu    sync.Mutex
	all   []attempt
	halt  chan struct{}
	ended sync.WaitGroup
}

// brief bounds a new connection: one that gets no answer is given up then.
const brief = 2 * time.Second

// ask begins to open connections, several at a time to each host: while one
// waits for a backend that is gone, others go on.
func (w *vipWorld) ask(hosts ...string) *asking {
	w.Helper()
	a := &asking{halt: make(chan struct{})}
	for _, host := range slices.Concat(hosts, hosts, hosts) {
		c := httpFrom(w.client, w.brief)
		a.ended.Go(func() {
			for tick := time.Tick(50 * time.Millisecond); ; {
				select {
				case <-a.halt:
					return
				case <-tick:
				}
				one := attempt{at: time.Now(), host: host}
				one.server, one.err = fetch(c, host)
				one.end = time.Now()
				a.mu.Lock()
				a.all = append(a.all, one)
				a.mu.Unlock()
			}
		})
	}
	w.Cleanup(a.stop)
	return a
}

func (a *asking) stop() {
	a.mu.Lock()
	select {
	case <-a.halt:
	default:
		close(a.halt)
	}
	a.mu.Unlock()
	a.ended.Wait()
}

// since are the attempts that were begun at a time or later.
func (a *asking) since(t time.Time) (out []attempt) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, one := range a.all {
		if !one.at.Before(t) {
			out = append(out, one)
		}
	}
	return out
}

// more waits until so many connections were opened after a time, each of which
// must be answered, by one of the given backends and by each of them.
func (w *vipWorld) more(a *asking, n int, t time.Time, servers ...string) []attempt {
	w.Helper()
	w.eventually(fmt.Sprintf("%d new connections", n), func() bool { return len(a.since(t)) >= n })
	all := a.since(t)
	seen := map[string]int{}
	for _, one := range all {
		seen[one.server]++
		if one.err != nil {
			w.Errorf("%v after that: %s: %v", one.at.Sub(t).Round(time.Millisecond), one.host, one.err)
		} else if !slices.Contains(servers, one.server) {
			w.Errorf("%v after that: %s is answered by %s, want one of %v", one.at.Sub(t).Round(time.Millisecond), one.host, one.server, servers)
		}
	}
	for _, s := range servers {
		if seen[s] == 0 {
			w.Errorf("of %d new connections none is with %s: %v", len(all), s, seen)
		}
	}
	return all
}
