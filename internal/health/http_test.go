package health

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// answer reads a request and writes this.
func answer(text string) func(net.Conn) {
	return func(c net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
			io.WriteString(c, text)
		}
	}
}

// flood reads a request and then writes this over and over.
func flood(first, again string) func(net.Conn) {
	return func(c net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(c)); err != nil {
			return
		}
		_, err := io.WriteString(c, first)
		for again = strings.Repeat(again, 1+4096/len(again)); err == nil; {
			_, err = io.WriteString(c, again)
		}
	}
}

// drip reads a request and writes this one byte each 10 ms.
func drip(text string) func(net.Conn) {
	return func(c net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(c)); err != nil {
			return
		}
		for i := range len(text) {
			if _, err := io.WriteString(c, text[i:i+1]); err != nil {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
}

func hang(c net.Conn) { io.Copy(io.Discard, c) }

func reset(c net.Conn) {
	http.ReadRequest(bufio.NewReader(c))
	c.(*net.TCPConn).SetLinger(0)
}

func TestHTTP(t *testing.T) {
	var created StatusSet
	created.Add(201, 201)
	created.Add(301, 302)
	ok := Request{Body: "ok"}
	for _, c := range []struct {
		name   string
		server func(net.Conn)
		given  Request
		code   Code
		detail string
	}{
		{"a status", answer("HTTP/1.1 204 No Content\r\n\r\n"), Request{}, OK, ""},
		{"an old server", answer("HTTP/1.0 200 OK\r\n\r\n"), Request{}, OK, ""},
		{"a status is enough", flood("HTTP/1.1 200 OK\r\n\r\n", "x"), Request{}, OK, ""},
		{"a body", answer("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n\n ok.\r\n"), ok, OK, ""},
		{"a body to the end of the connection", answer("HTTP/1.1 200 OK\r\n\r\nit is ok"), ok, OK, ""},
		{"a body in chunks", answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n"), ok, OK, ""},
		{"news before the status", answer("HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\n\r\nok"), ok, OK, ""},
		{"a status that is wanted", answer("HTTP/1.1 201 Created\r\n\r\n"), Request{Status: created}, OK, ""},
		{"a redirection that is wanted", answer("HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n"), Request{Status: created}, OK, ""},
		{"HEAD", answer("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"), Request{Method: "HEAD"}, OK, ""},

		{"wrong status", answer("HTTP/1.1 503 Service Unavailable\r\n\r\nok"), ok, BadStatus, "status 503"},
		{"200 where others are wanted", answer("HTTP/1.1 200 OK\r\n\r\n"), Request{Status: created}, BadStatus, "status 200"},
		{"a status out of range", answer("HTTP/1.1 999 What\r\n\r\n"), Request{}, BadStatus, "status 999"},
		{"a redirection", answer("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\n\r\n"), Request{}, BadStatus, "status 302"},
		{"another protocol", answer("HTTP/1.1 101 Switching Protocols\r\n\r\n"), Request{}, BadStatus, "status 101"},
		{"wrong body", answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK"), ok, BadBody, `"ok" is not in the body`},
		{"no body", answer("HTTP/1.1 200 OK\r\n\r\n"), ok, BadBody, `"ok" is not in the body`},
		{"a body that is cut short", answer("HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\no"), ok, BadProtocol, "the connection ended too early"},

		{"a body without end", flood("HTTP/1.1 200 OK\r\n\r\n", "o.k."), ok, BadBody, `"ok" is not in the first 65536 bytes of the body`},
		{"a huge body", flood("HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", "k. o. "), ok, BadBody, `"ok" is not in the first 65536 bytes of the body`},
		{"chunks without end", flood("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "8\r\n01234567\r\n"), ok, BadBody, `"ok" is not in the first 65536 bytes of the body`},
		{"a header without end", flood("HTTP/1.1 200 OK\r\n", "A: b\r\n"), ok, BadProtocol, "read response: its header has no end"},
		{"a line without end", flood("HTTP/1.1 200 ", "OK"), ok, BadProtocol, "read response: its header has no end"},
		{"news without end", flood("", "HTTP/1.1 103 Early Hints\r\n\r\n"), ok, BadProtocol, "read response: its header has no end"},
		{"no HTTP at all", answer("SSH-2.0-OpenSSH_9.2\r\n"), ok, BadProtocol, ""},
		{"noise", flood("", "\x00\xff\n"), ok, BadProtocol, ""},
		{"nothing", answer(""), ok, BadProtocol, "the connection ended too early"},
		{"a reset", reset, ok, Reset, ""},

		{"no answer", hang, ok, Timeout, ""},
		{"a dripping header", drip("HTTP/1.1 200 OK\r\nServer: " + strings.Repeat("a", 500) + "\r\n\r\nok"), ok, Timeout, ""},
		{"a dripping body", drip("HTTP/1.1 200 OK\r\n\r\n" + strings.Repeat("o", 500) + "k"), ok, Timeout, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			timeout := 5 * time.Second
			if c.code == Timeout {
				timeout = 300 * time.Millisecond
			}
			detail := want(t, serve(t, "127.0.0.1:0", c.server), Check{Type: HTTP, HTTP: c.given, Timeout: timeout}, c.code)
			if c.detail != "" && detail != c.detail {
				t.Errorf("%q, want %q", detail, c.detail)
			}
			if len(detail) > maxDetail {
				t.Errorf("a detail of %d bytes", len(detail))
			}
		})
	}
}

// What is wanted is found wherever it begins, at the seams of reads too.
func TestBodyIsFoundAnywhere(t *testing.T) {
	at := func(i int, wanted string) int {
		text := strings.Repeat("x", i) + wanted
		server := serve(t, "127.0.0.1:0", answer(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(text), text)))
		want(t, server, Check{Type: HTTP, HTTP: Request{Body: wanted}}, OK)
		return i
	}
	for _, i := range []int{0, 1, 4000, 4051, 4090, 4095, 4096, 4097, 8191, 8192, 8200, 32768, maxBody - 2} {
		at(i, "ok")
	}
	at(10000, strings.Repeat("long", 5000))
}

func TestRequestAsItIsSent(t *testing.T) {
	for _, c := range []struct {
		given Request
		want  string // with the server's address for AT
	}{
		{Request{}, "GET / HTTP/1.1\r\nHost: AT\r\nConnection: close\r\nUser-Agent: reconciler\r\n\r\n"},
		{Request{Method: "OPTIONS", Path: "/a?b=c", Host: "www.example", Headers: HeaderLines(map[string]string{"X-B": "2", "X-A": "1: 2"})},
			"OPTIONS /a?b=c HTTP/1.1\r\nHost: www.example\r\nConnection: close\r\nX-A: 1: 2\r\nX-B: 2\r\nUser-Agent: reconciler\r\n\r\n"},
		{Request{Headers: HeaderLines(map[string]string{"user-agent": "me"})}, "GET / HTTP/1.1\r\nHost: AT\r\nConnection: close\r\nuser-agent: me\r\n\r\n"},
	} {
		got := make(chan string, 1)
		at := serve(t, "127.0.0.1:0", func(c net.Conn) {
			b := make([]byte, 4096)
			n, _ := c.Read(b)
			got <- string(b[:n])
			io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
		})
		want(t, at, Check{Type: HTTP, HTTP: c.given}, OK)
		if text := strings.ReplaceAll(<-got, at.String(), "AT"); text != c.want {
			t.Errorf("sent  %q\nwant %q", text, c.want)
		}
	}
}

// A request that is none is never sent, and never takes a backend out.
func TestRequestsThatAreNone(t *testing.T) {
	var asked atomic.Int32
	at := serve(t, "127.0.0.1:0", func(net.Conn) { asked.Add(1) })
	for _, r := range []Request{
		{Method: "GET / HTTP/1.1\r\nEvil: 1\r\n"}, {Method: "G T"}, {Method: "GÉT"},
		{Path: "relative"}, {Path: "/a b"}, {Path: "/\r\nEvil: 1"},
		{Host: "a b"}, {Host: "a\r\nEvil: 1"},
		{Headers: HeaderLines(map[string]string{"A": "b\r\n\r\nGET /"})},
		{Headers: HeaderLines(map[string]string{"A\r\nB": "c"})}, {Headers: "no colon\r\n"}, {Headers: "A: \x00\r\n"},
	} {
		t.Logf("%q", fmt.Sprint(r))
		if detail := want(t, at, Check{Type: HTTP, HTTP: r}, Local); !strings.HasPrefix(detail, "write request: ") {
			t.Errorf("%q", detail)
		}
	}
	want(t, at, Check{}, Local)
	want(t, at, Check{Type: 99}, Local)
	if n := asked.Load(); n != 0 {
		t.Errorf("%d connections were made", n)
	}
}

// Each probe has a connection of its own, however much the server would like to
// keep one.
func TestHTTPConnectsAnew(t *testing.T) {
	var conns atomic.Int32
	at := serve(t, "127.0.0.1:0", func(c net.Conn) {
		conns.Add(1)
		for r := bufio.NewReader(c); ; {
			if _, err := http.ReadRequest(r); err != nil {
				return
			}
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok")
		}
	})
	for range 5 {
		want(t, at, Check{Type: HTTP, HTTP: Request{Body: "ok"}}, OK)
	}
	if n := conns.Load(); n != 5 {
		t.Errorf("5 probes made %d connections", n)
	}
}

// endless is a server that says something, and then the same again for ever.
type endless struct {
	first, again []byte
	read         int
}

func (e *endless) Write(b []byte) (int, error) { return len(b), nil }

func (e *endless) Read(b []byte) (int, error) {
	if len(e.first) == 0 {
		if e.first = e.again; len(e.again) == 0 {
			return 0, io.EOF
		}
	}
	n := copy(b, e.first)
	e.first = e.first[n:]
	e.read += n
	return n, nil
}

// Whatever a server says, for however long: there is a verdict about the server,
// and an end to reading.
func FuzzResponse(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\n\r\nok"), []byte(""))
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"), []byte("no"))
	f.Add([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), []byte("1;a=b\r\nx\r\n"))
	f.Add([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"), []byte("A: b\r\n"))
	f.Add([]byte(""), []byte("HTTP/1.1 100 Continue\r\n\r\n"))
	c := Check{Type: HTTP, Port: 80, HTTP: Request{Body: "ok"}}.Defaults()
	h, err := newExchange(loopback, c)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, first, again []byte) {
		server := &endless{first: first, again: again}
		code, detail := outcome(h.exchange(server))
		switch code {
		case OK, BadProtocol, BadStatus, BadBody:
		default:
			t.Errorf("%v %q", code, detail)
		}
		if most := maxHeader + 2*maxBody; server.read > most {
			t.Errorf("%d bytes were read, want at most %d", server.read, most)
		}
	})
}
