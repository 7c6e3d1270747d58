package health

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"time"
)

// What is read of a response, in bytes.
const (
	maxHeader = 16 << 10
	maxBody   = 64 << 10
)

// httpProbe writes one request and judges the response. It has no client: one
// would follow, retry, decode and keep, and hold goroutines for it.
type httpProbe struct {
	at      endpoint
	request []byte
	method  string
	status  StatusSet
	body    []byte
}

func newHTTPProbe(address netip.Addr, c Check) (probe, error) {
	h, err := newExchange(address, c)
	if err != nil {
		return nil, err
	}
	return h.probe, nil
}

func newExchange(address netip.Addr, c Check) (*httpProbe, error) {
	at := newEndpoint(address, c)
	request, err := c.HTTP.bytes(at.to)
	if err != nil {
		return nil, err
	}
	return &httpProbe{at, request, c.HTTP.Method, c.HTTP.Status, []byte(c.HTTP.Body)}, nil
}

// bytes is the request as it is sent: a connection of its own, for that proves
// that somebody still accepts.
func (r Request) bytes(to netip.AddrPort) ([]byte, error) {
	host := r.Host
	if host == "" {
		host = to.String()
	}
	switch {
	case !isToken(r.Method):
		return nil, fmt.Errorf("write request: %q is no method", r.Method)
	case !strings.HasPrefix(r.Path, "/") || strings.ContainsFunc(r.Path, notGraphic):
		return nil, fmt.Errorf("write request: %q is no path", r.Path)
	case strings.ContainsFunc(host, notGraphic):
		return nil, fmt.Errorf("write request: %q is no host", host)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n", r.Method, r.Path, host)
	agent := true
	for line := range strings.SplitSeq(strings.TrimSuffix(r.Headers, "\r\n"), "\r\n") {
		name, value, found := strings.Cut(line, ": ")
		if line != "" && (!found || !isToken(name) || strings.ContainsFunc(value, isControl)) {
			return nil, fmt.Errorf("write request: %q is no header", line)
		}
		agent = agent && !strings.EqualFold(name, "user-agent")
	}
	b.WriteString(r.Headers)
	if agent {
		b.WriteString("User-Agent: reconciler\r\n")
	}
	b.WriteString("\r\n")
	return b.Bytes(), nil
}

// isToken tells what a method or the name of a header may be (RFC 9110, 5.6.2).
func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, notGraphic) && !strings.ContainsAny(s, "\"(),/:;<=>?@[\\]{}")
}

func notGraphic(r rune) bool { return r <= ' ' || r >= 0x7f }
func isControl(r rune) bool  { return r < ' ' && r != '\t' || r == 0x7f }

func (h *httpProbe) probe(ctx context.Context, deadline time.Time) error {
	c, err := h.at.connect(ctx, deadline)
	if err != nil {
		return err
	}
	defer c.Close()
	return h.exchange(c)
}

// exchange is request and response over a connection that has a deadline.
func (h *httpProbe) exchange(c io.ReadWriter) error {
	if _, err := c.Write(h.request); err != nil {
		return failed(BadProtocol, fmt.Errorf("send request: %w", err))
	}
	wire := &noted{Reader: c}
	limited := &io.LimitedReader{R: wire, N: maxHeader}
	response, err := h.head(bufio.NewReader(limited))
	if err != nil && limited.N <= 0 {
		return failed(BadProtocol, errors.New("read response: its header has no end"))
	}
	if err != nil {
		return failed(BadProtocol, fmt.Errorf("read response: %w", wire.cause(err)))
	}
	if !h.status.Has(response.StatusCode) {
		return failed(BadStatus, fmt.Errorf("status %d", response.StatusCode))
	}
	if len(h.body) == 0 {
		return nil
	}
	limited.N = 2 * maxBody // chunks have heads
	found, err := h.search(response.Body)
	switch {
	case found:
		return nil
	case err == nil || limited.N <= 0:
		return failed(BadBody, fmt.Errorf("%q is not in the first %d bytes of the body", h.body, maxBody))
	case errors.Is(err, io.EOF):
		return failed(BadBody, fmt.Errorf("%q is not in the body", h.body))
	}
	return failed(BadProtocol, fmt.Errorf("read body: %w", wire.cause(err)))
}

// noted remembers how reading failed: a parser tells only what it could make of
// the bytes before.
type noted struct {
	io.Reader
	err error
}

func (n *noted) Read(b []byte) (int, error) {
	k, err := n.Reader.Read(b)
	if err != nil {
		n.err = err
	}
	return k, err
}

// cause is why a parser failed: the network, if that did.
func (n *noted) cause(parsing error) error {
	if codeOf(n.err) != 0 {
		return n.err
	}
	return parsing
}

// head reads up to the end of the header; informational ones go before it.
func (h *httpProbe) head(r *bufio.Reader) (*http.Response, error) {
	for {
		response, err := http.ReadResponse(r, &http.Request{Method: h.method})
		if err != nil || response.StatusCode >= 200 || response.StatusCode == http.StatusSwitchingProtocols {
			return response, err
		}
	}
}

// search reads until it has found what is wanted, or maxBody. It keeps what the
// wanted may have begun in, and no more.
func (h *httpProbe) search(body io.Reader) (found bool, err error) {
	window := make([]byte, 0, 4<<10+len(h.body))
	for total := 0; total < maxBody && err == nil; {
		keep := min(len(window), len(h.body)-1)
		window = append(window[:0], window[len(window)-keep:]...)
		var n int
		n, err = body.Read(window[keep:cap(window)])
		window = window[:keep+n]
		total += n
		if bytes.Contains(window, h.body) {
			return true, nil
		}
	}
	return false, err
}
