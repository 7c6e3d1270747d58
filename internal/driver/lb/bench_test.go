package lb

import (
	"net/netip"
	"os"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"reconciler/internal/resource"
	"reconciler/internal/testns"
)

// bench is a namespace with a link, up0, to another one, far, whose end is far0:
// 192.0.2.1/24 and 2001:db8::1/64 here, and .2 there. The test's thread is in
// the first one until it ends.
type bench struct {
	*testns.NS
	t   *testing.T
	far *testns.NS
	d   *Driver
}

func newNet(t *testing.T) *bench {
	t.Helper()
	b := &bench{NS: testns.New(t), t: t, far: testns.New(t), d: &Driver{}}
	b.IP("link", "add", "up0", "type", "veth", "peer", "name", "far0", "netns", b.far.Name)
	b.IP("link", "set", "up0", "address", "02:00:00:00:00:01", "up")
	b.far.IP("link", "set", "far0", "address", "02:00:00:00:00:02", "up")
	b.IP("addr", "add", "192.0.2.1/24", "dev", "up0")
	b.IP("addr", "add", "2001:db8::1/64", "dev", "up0", "nodad")
	b.far.IP("addr", "add", "192.0.2.2/24", "dev", "far0")
	b.far.IP("addr", "add", "2001:db8::2/64", "dev", "far0", "nodad")
	stay(t, b.Path())
	return b
}

// stay binds the test to a thread in a network namespace. The thread ends with
// the goroutine: it is never given back.
func stay(t *testing.T, path string) {
	t.Helper()
	runtime.LockOSThread()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.Setns(int(f.Fd()), unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
}

// eventually waits for what the kernel does by itself.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if is() {
			return
		}
	}
	t.Fatalf("not within ten seconds: %s", what)
}

func addr4(a [4]byte) netip.Addr { return netip.AddrFrom4(a) }

func addr(text string) netip.Addr { return netip.MustParseAddr(text) }

func mac(last byte) resource.MAC { return resource.MAC{2, 0, 0, 0, 0, last} }
