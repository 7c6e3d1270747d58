package health

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"reconciler/internal/testns"
)

func TestTCP(t *testing.T) {
	nobody := func(net.Conn) {}
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		t.Run(address, func(t *testing.T) {
			at := serve(t, address, nobody)
			want(t, at, Check{Type: TCP}, OK)
			mapped := netip.AddrPortFrom(netip.AddrFrom16(at.Addr().As16()), at.Port())
			want(t, mapped, Check{Type: TCP}, OK)
		})
	}
}

func TestTCPRefused(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	want(t, l.Addr().(*net.TCPAddr).AddrPort(), Check{Type: TCP}, Refused)
}

// A listener whose queue is full lets the kernel drop what comes.
func TestTCPThatNobodyAccepts(t *testing.T) {
	at := full(t)
	detail := want(t, at, Check{Type: TCP, Timeout: 100 * time.Millisecond}, Timeout)
	if !strings.HasPrefix(detail, "connect: ") {
		t.Errorf("timed out in %q, not while it connects", detail)
	}
}

func full(t *testing.T) netip.AddrPort {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrInet4{Addr: loopback.As4()}), unix.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	at := netip.AddrPortFrom(loopback, uint16(name.(*unix.SockaddrInet4).Port))
	for range 2 {
		c, err := net.DialTimeout("tcp", at.String(), 100*time.Millisecond)
		if err != nil {
			return at
		}
		t.Cleanup(func() { c.Close() })
	}
	t.Fatal("the queue of a listener holds more than one connection")
	return at
}

func TestTCPSource(t *testing.T) {
	from := make(chan string, 1)
	at := serve(t, "127.0.0.1:0", func(c net.Conn) {
		host, _, _ := net.SplitHostPort(c.RemoteAddr().String())
		from <- host
	})
	for source, code := range map[string]Code{"127.9.8.7": OK, "192.0.2.77": Local} {
		detail := want(t, at, Check{Type: TCP, Source: netip.MustParseAddr(source)}, code)
		if code == OK {
			if got := <-from; got != source {
				t.Errorf("came from %s, want %s", got, source)
			}
		} else if !strings.Contains(detail, source) {
			t.Errorf("%q does not name the source", detail)
		}
	}
	want(t, at, Check{Type: TCP, Source: netip.MustParseAddr("2001:db8::7")}, OK)
	if got := <-from; got != "127.0.0.1" {
		t.Errorf("a source of the other family made it come from %s", got)
	}
}

// A connection is ended by a reset, so that none lingers on this host.
func TestTCPLeavesNothingBehind(t *testing.T) {
	end := make(chan error, 1)
	at := serve(t, "127.0.0.1:0", func(c net.Conn) {
		_, err := c.Read(make([]byte, 1))
		end <- err
	})
	want(t, at, Check{Type: TCP}, OK)
	if err := <-end; !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the server saw %v, want a reset", err)
	}
}

func TestTCPInANamespace(t *testing.T) {
	ns := testns.New(t)
	ns.IP("address", "add", "192.0.2.1/32", "dev", "lo")
	ns.IP("address", "add", "192.0.2.2/32", "dev", "lo")
	var at netip.AddrPort
	from := make(chan string, 1)
	ns.Do(func() {
		at = serve(t, "192.0.2.1:0", func(c net.Conn) { from <- c.RemoteAddr().String() })
	})
	for _, name := range []string{ns.Name, ns.Path()} {
		want(t, at, Check{Type: TCP, Netns: name, Source: netip.MustParseAddr("192.0.2.2")}, OK)
		if got := <-from; !strings.HasPrefix(got, "192.0.2.2:") {
			t.Errorf("came from %s", got)
		}
	}
	want(t, netip.MustParseAddrPort("203.0.113.1:80"), Check{Type: TCP, Netns: ns.Name}, Unreachable)
	if detail := want(t, at, Check{Type: TCP, Netns: "no-such-namespace"}, Local); !strings.Contains(detail, "no-such-namespace") {
		t.Errorf("%q does not name the namespace", detail)
	}
	if own, err := os.Readlink("/proc/self/ns/net"); err != nil {
		t.Error(err)
	} else if here, _ := os.Readlink(ownNamespace); here != own {
		t.Errorf("the thread is left in %s, want %s", here, own)
	}
}

// What a policy of the routing says about the mark is how a mark shows.
func TestTCPMark(t *testing.T) {
	ns := testns.New(t)
	ns.IP("address", "add", "192.0.2.1/32", "dev", "lo")
	ns.IP("rule", "add", "fwmark", "0x17", "prohibit", "pref", "0")
	ns.IP("rule", "add", "pref", "1", "lookup", "local")
	ns.IP("rule", "delete", "pref", "0", "lookup", "local")
	var at netip.AddrPort
	ns.Do(func() { at = serve(t, "192.0.2.1:0", func(net.Conn) {}) })
	for mark, code := range map[uint32]Code{0: OK, 0x16: OK, 0x17: Unreachable} {
		t.Logf("mark %#x", mark)
		want(t, at, Check{Type: TCP, Netns: ns.Name, Mark: mark}, code)
	}
}

func TestTCPEndsWithItsTarget(t *testing.T) {
	at := full(t)
	c := Check{Type: TCP, Port: at.Port(), Timeout: time.Minute}.Defaults()
	ctx, cancel := context.WithCancel(t.Context())
	begin := time.Now()
	time.AfterFunc(50*time.Millisecond, cancel)
	if err := newProbe(at.Addr(), c, nil)(ctx, begin.Add(c.Timeout)); err == nil {
		t.Error("a success")
	}
	if took := time.Since(begin); took > late {
		t.Errorf("ended after %v", took)
	}
}
