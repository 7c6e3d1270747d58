package daemon

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"reconciler/internal/resource"
)

// clients ask a server, each over a new connection, until they are stopped.
type clients struct {
	asked, failed atomic.Int64
	last          atomic.Value
	stop          context.CancelFunc
	wg            sync.WaitGroup
}

func startClients(n int, network, address string) *clients {
	ctx, stop := context.WithCancel(context.Background())
	c := &clients{stop: stop}
	client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, address)
		},
	}}
	for range n {
		c.wg.Go(func() {
			for ctx.Err() == nil {
				c.ask(client)
				time.Sleep(5 * time.Millisecond)
			}
		})
	}
	return c
}

func (c *clients) ask(client *http.Client) {
	res, err := client.Get("http://helper/")
	if err == nil {
		var text []byte
		text, err = io.ReadAll(res.Body)
		res.Body.Close()
		c.last.Store(string(text))
	}
	c.asked.Add(1)
	if err != nil {
		c.failed.Add(1)
		fmt.Println("client:", err)
	}
}

func (c *clients) end() (asked, failed int64) {
	c.stop()
	c.wg.Wait()
	return c.asked.Load(), c.failed.Load()
}

func (r *rig) server(version, network, address string) resource.Daemon {
	d := r.daemon("serve", version)
	d.Name, d.Digest, d.StopAfter = "web", fmt.Sprintf("%064x", len(version)+len(r.mark)), 20*time.Second
	d.Digest = fmt.Sprintf("%x%s", version, d.Digest[2*len(version):])
	d.Sockets = []resource.DaemonSocket{{Network: network, Address: address}}
	return d
}

// No request is lost while one version takes the place of another: with the
// former one gone before the next is there, and with both there for a while.
func TestNoConnectionIsRefused(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			r := newRig(t)
			address := "127.0.0.1:7021"
			if network == "unix" {
				address = filepath.Join(t.TempDir(), "web.sock")
			}
			v1, v2, v3 := r.server("v1", network, address), r.server("v2", network, address), r.server("v3", network, address)
			r.apply(create(v1))
			c := startClients(32, network, address)
			r.waitFor("v1", func() bool { return c.last.Load() == "v1" })
			r.apply(remove(v1))
			r.awaitState(v1, resource.DaemonExited)
			before := c.asked.Load()
			time.Sleep(300 * time.Millisecond) // they wait in the queue of the listener
			r.apply(create(v2), remove(v1))
			r.waitFor("v2", func() bool { return c.last.Load() == "v2" })
			r.reopen() // the listener comes back from the process
			r.apply(create(v3))
			r.waitFor("v3", func() bool { return c.last.Load() == "v3" })
			r.apply(remove(v2))
			r.awaitState(v2, resource.DaemonExited)
			r.waitFor("more requests", func() bool { return c.asked.Load() > before+500 })
			asked, failed := c.end()
			if failed != 0 {
				t.Errorf("%d of %d requests failed", failed, asked)
			}
			t.Logf("%s: %d requests, %d failed", network, asked, failed)
		})
	}
}

// After a kill -9 of who held the listeners they are regained from the process,
// so that its end refuses nobody.
func TestListenersAreRegained(t *testing.T) {
	r := newRig(t)
	const address = "127.0.0.1:7022"
	v1, v2 := r.server("v1", "tcp", address), r.server("v2", "tcp", address)
	r.heldBy("create", v1, "")
	r.reopen()
	if s := r.seen(v1); s.State != resource.DaemonRunning {
		t.Fatalf("seen %+v", s)
	}
	c := startClients(16, "tcp", address)
	r.waitFor("v1", func() bool { return c.last.Load() == "v1" })
	if err := unix.Kill(r.seen(v1).PID, unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	r.awaitState(v1, resource.DaemonExited)
	time.Sleep(200 * time.Millisecond)
	r.apply(create(v2))
	r.waitFor("v2", func() bool { return c.last.Load() == "v2" })
	if asked, failed := c.end(); failed != 0 {
		t.Errorf("%d of %d requests failed", failed, asked)
	}
}

// A listener that nobody needs any more is closed.
func TestListenersAreDropped(t *testing.T) {
	r := newRig(t)
	d := r.server("v1", "udp", "127.0.0.1:7023")
	d.Argv[1] = "sleep"
	r.apply(create(d))
	if c, err := net.ListenPacket("udp", "127.0.0.1:7023"); err == nil {
		c.Close()
		t.Fatal("nobody holds it")
	}
	r.apply(remove(d))
	r.awaitState(d, resource.DaemonExited)
	r.apply(remove(d))
	c, err := net.ListenPacket("udp", "127.0.0.1:7023")
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}

// To start a version does nothing to the listener of the former one, which the two
// share: it ends when it is asked to, with nobody there to wake it.
func TestTheFormerOneIsLeftAlone(t *testing.T) {
	r := newRig(t)
	const address = "127.0.0.1:7024"
	v1, v2, v3 := r.server("v1", "tcp", address), r.server("v2", "tcp", address), r.server("v3", "tcp", address)
	client := new(clients)
	asks := func(word string) func() bool {
		return func() bool {
			client.ask(&http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
				DisableKeepAlives: true,
				DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
					return new(net.Dialer).DialContext(ctx, "tcp", address)
				},
			}})
			return client.last.Load() == word
		}
	}
	r.apply(create(v1))
	r.waitFor("v1", asks("v1"))
	idle := r.server("idle", "tcp", address)
	idle.Argv[1] = "sleep" // which changes nothing itself
	r.apply(create(idle))
	if n := r.flags(v1); n&unix.O_NONBLOCK == 0 {
		t.Errorf("the listener of v1 blocks: flags %o", n)
	}
	r.apply(create(v2))
	r.waitFor("v2", asks("v2"))
	r.apply(remove(v1))
	if s := r.awaitState(v1, resource.DaemonExited); s.Reason != "exit status 0" {
		t.Errorf("v1: %+v", s)
	}
	r.reopen()
	r.apply(create(v3))
	r.waitFor("v3", asks("v3"))
	r.apply(remove(v2))
	if s := r.awaitState(v2, resource.DaemonExited); s.Failed {
		t.Errorf("v2: %+v", s)
	}
}

// A process that knows nothing of sockets that do not block gets one that does.
func TestListenersBlock(t *testing.T) {
	r := newRig(t)
	d := r.server("v1", "tcp", "127.0.0.1:7025")
	d.Argv[1] = "sleep"
	r.apply(create(d))
	if n := r.flags(d); n&unix.O_NONBLOCK != 0 {
		t.Errorf("flags %o", n)
	}
}

// flags are those of the first listener of a process.
func (r *rig) flags(d resource.Daemon) (flags int) {
	r.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/fdinfo/3", r.seen(d).PID))
	for line := range strings.Lines(string(text)) {
		_, _ = fmt.Sscanf(line, "flags: %o", &flags)
	}
	if err != nil || flags&unix.O_RDWR == 0 {
		r.Fatalf("flags %o, %v", flags, err)
	}
	return flags
}
