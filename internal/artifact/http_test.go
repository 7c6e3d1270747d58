package artifact

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// server serves one artifact and the ways in which servers fail to.
type server struct {
	*httptest.Server
	data  []byte
	asked atomic.Int64
	quit  chan struct{} // ends what stalls
}

func serve(t *testing.T, data []byte, start func(*httptest.Server)) *server {
	s := &server{data: data, quit: make(chan struct{})}
	s.Server = httptest.NewUnstartedServer(s)
	start(s.Server)
	t.Cleanup(func() { close(s.quit); s.Close() })
	return s
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.asked.Add(1)
	switch r.URL.Path {
	case "/x", "/here/x":
		w.Write(s.data)
	case "/missing":
		http.NotFound(w, r)
	case "/partial":
		w.WriteHeader(http.StatusPartialContent)
		w.Write(s.data)
	case "/encoded":
		w.Header().Set("Content-Encoding", "gzip")
		w.Write(s.data)
	case "/other":
		w.Write(append([]byte(nil), s.data[1:]...))
	case "/cut":
		w.Header().Set("Content-Length", "1000")
		w.Write(s.data)
	case "/cut-chunks":
		w.Write(s.data)
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	case "/silent":
		<-s.quit
	case "/stall":
		w.Write(s.data[:1])
		w.(http.Flusher).Flush()
		<-s.quit
	case "/slow":
		s.trickle(w, 150*time.Millisecond)
	case "/loop":
		http.Redirect(w, r, "/loop", http.StatusFound)
	case "/relative":
		http.Redirect(w, r, "here/x", http.StatusMovedPermanently)
	case "/to":
		w.Header().Set("Location", r.URL.Query().Get("to"))
		w.WriteHeader(http.StatusTemporaryRedirect)
	case "/r0":
		w.Write(s.data)
	default: // /rN redirects N times
		n, _ := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/r"))
		http.Redirect(w, r, fmt.Sprintf("/r%d", n-1), http.StatusSeeOther)
	}
}

// trickle sends a byte at a time.
func (s *server) trickle(w http.ResponseWriter, each time.Duration) {
	for i := range s.data {
		w.Write(s.data[i : i+1])
		w.(http.Flusher).Flush()
		select {
		case <-time.After(each):
		case <-s.quit:
			return
		}
	}
}

func TestDownload(t *testing.T) {
	data := elf("abcdef")
	plain := serve(t, data, (*httptest.Server).Start)
	tls := serve(t, data, (*httptest.Server).StartTLS)
	transport := tls.Client().Transport.(*http.Transport)
	short := Options{StallTimeout: time.Second, HeaderTimeout: time.Second}
	for _, c := range []struct {
		name string
		url  string
		opt  Options
		want error
	}{
		{"http", plain.URL + "/x", Options{}, nil},
		{"https", tls.URL + "/x", Options{Transport: transport}, nil},
		{"labelled as encoded", plain.URL + "/encoded", Options{}, nil},
		{"relative redirect", plain.URL + "/relative", Options{}, nil},
		{"redirect to https", plain.URL + "/to?to=" + tls.URL + "/x", Options{Transport: transport}, nil},
		{"5 redirects", plain.URL + "/r5", Options{}, nil},
		{"6 redirects", plain.URL + "/r6", Options{}, ErrRedirect},
		{"redirect loop", plain.URL + "/loop", Options{}, ErrRedirect},
		{"redirect to http", tls.URL + "/to?to=" + plain.URL + "/x", Options{Transport: transport}, ErrRedirect},
		{"redirect to a file", plain.URL + "/to?to=file:///etc/passwd", Options{}, ErrRedirect},
		{"redirect with user", plain.URL + "/to?to=http://u:p@" + plain.Listener.Addr().String() + "/x", Options{}, ErrRedirect},
		{"redirect nowhere", plain.URL + "/to", Options{}, ErrStatus},
		{"404", plain.URL + "/missing", Options{}, ErrStatus},
		{"206", plain.URL + "/partial", Options{}, ErrStatus},
		{"wrong digest", plain.URL + "/other", Options{}, ErrDigest},
		{"truncated", plain.URL + "/cut", Options{}, io.ErrUnexpectedEOF},
		{"truncated chunks", plain.URL + "/cut-chunks", Options{}, io.ErrUnexpectedEOF},
		{"as large as may be", plain.URL + "/x", Options{MaxDownload: int64(len(data))}, nil},
		{"too large", plain.URL + "/x", Options{MaxDownload: int64(len(data)) - 1}, ErrTooLarge},
		{"too large, length untold", plain.URL + "/slow", Options{MaxDownload: 3}, ErrTooLarge},
		{"larger than an object", plain.URL + "/x", Options{MaxObject: int64(len(data)) - 1}, ErrTooLarge},
		{"silent", plain.URL + "/silent", short, ErrStalled},
		{"stalled", plain.URL + "/stall", short, ErrStalled},
		{"slow", plain.URL + "/slow", short, nil},
		{"slower than the whole may be", plain.URL + "/slow", Options{TotalTimeout: 100 * time.Millisecond}, ErrStalled},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := open(t, c.opt)
			ref := Ref{URL: c.url, SHA256: digest(data)}
			wantError(t, s.Fetch(context.Background(), ref), c.want)
			wantClean(t, s)
			if c.want == nil {
				wantObject(t, s, ref, data)
			}
		})
	}
}

func TestCertificates(t *testing.T) {
	tls := serve(t, elf("x"), (*httptest.Server).StartTLS)
	err := open(t, Options{}).Fetch(context.Background(), Ref{URL: tls.URL + "/x", SHA256: digest(elf("x"))})
	var unknown x509.UnknownAuthorityError
	if !errors.As(err, &unknown) {
		t.Errorf("error %v, want one about the certificate", err)
	}
}

// TestTooLargeIsNotRead counts what a server could send of an answer whose
// length it told.
func TestTooLargeIsNotRead(t *testing.T) {
	sent := make(chan int, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(64<<20))
		w.(http.Flusher).Flush()
		total := 0
		for range 64 {
			n, err := w.Write(make([]byte, 1<<20))
			total += n
			if err != nil {
				break
			}
		}
		sent <- total
	}))
	defer srv.Close()
	s := open(t, Options{MaxDownload: 32 << 20})
	wantError(t, s.Fetch(context.Background(), Ref{URL: srv.URL, SHA256: digest(nil)}), ErrTooLarge)
	if n := <-sent; n > 16<<20 {
		t.Errorf("%d bytes were sent, though their number was known to be too large", n)
	}
}

// TestHeadersOfRequests looks at what another host learns by a redirect.
func TestHeadersOfRequests(t *testing.T) {
	data := elf("x")
	headers := make(chan http.Header, 2)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		headers <- r.Header
		if r.URL.Path == "/a" {
			http.SetCookie(w, &http.Cookie{Name: "a", Value: "b"})
			http.Redirect(w, r, "/b", http.StatusFound)
			return
		}
		w.Write(data)
	}))
	defer srv.Close()
	fetch(t, open(t, Options{}), Ref{URL: srv.URL + "/a?secret", SHA256: digest(data)})
	<-headers
	got := <-headers
	for _, name := range []string{"Authorization", "Cookie", "Referer", "Accept-Encoding"} {
		if v := got.Get(name); v != "" {
			t.Errorf("%s: %s", name, v)
		}
	}
}

// TestTimeouts has a network that does not connect, a server that does not
// greet, and a caller who does not wait.
func TestTimeouts(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer silent.Close()
	nowhere := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}}
	patient := func() context.Context { return context.Background() }
	for _, c := range []struct {
		name string
		url  string
		opt  Options
		ctx  func() context.Context
		want error
	}{
		{"connect", "http://h/", Options{Transport: nowhere, ConnectTimeout: 50 * time.Millisecond}, patient, ErrStalled},
		{"TLS", "https://" + silent.Addr().String(), Options{ConnectTimeout: 50 * time.Millisecond}, patient, ErrStalled},
		{"headers", "http://" + silent.Addr().String(), Options{HeaderTimeout: 50 * time.Millisecond}, patient, ErrStalled},
		{"total", "http://" + silent.Addr().String(), Options{TotalTimeout: 50 * time.Millisecond}, patient, ErrStalled},
		{"cancelled", "http://" + silent.Addr().String(), Options{}, func() context.Context {
			ctx, cancel := context.WithCancel(context.Background())
			time.AfterFunc(50*time.Millisecond, cancel)
			return ctx
		}, context.Canceled},
	} {
		t.Run(c.name, func(t *testing.T) {
			begun := time.Now()
			err := open(t, c.opt).Fetch(c.ctx(), Ref{URL: c.url, SHA256: digest(nil)})
			wantError(t, err, c.want)
			if took := time.Since(begun); took > 5*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}

func TestNoWorkTwice(t *testing.T) {
	for _, c := range []struct {
		name string
		data []byte
	}{
		{"bare", elf("x")},
		{"archive", tgz(t, file("a.o"))},
	} {
		t.Run(c.name, func(t *testing.T) {
			srv := serve(t, c.data, (*httptest.Server).Start)
			s := open(t, Options{})
			ref := Ref{URL: srv.URL + "/x", SHA256: digest(c.data)}
			fetch(t, s, ref)
			before := listing(t, s.dir)
			info, err := os.Stat(s.blob(ref.SHA256))
			must(t, err)
			fetch(t, s, ref)
			after, err := os.Stat(s.blob(ref.SHA256))
			must(t, err)
			if n := srv.asked.Load(); n != 1 {
				t.Errorf("%d requests, want 1", n)
			}
			if !os.SameFile(info, after) || !slices.Equal(before, listing(t, s.dir)) {
				t.Error("the cache was written anew")
			}
		})
	}
}
