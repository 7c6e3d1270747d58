package daemon

import (
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"reconciler/internal/diff"
	"reconciler/internal/resource"
)

func ops(all ...diff.Op) []diff.Op { return all }

// readiness awaits that a process is ready, is told to be by the watch, and
// stays so over a restart of the program.
func (r *rig) readiness(d resource.Daemon, changed <-chan resource.Key, stop func()) {
	r.Helper()
	select {
	case k := <-changed:
		if k != d.Key() {
			r.Errorf("the watch tells of %s", k)
		}
	case <-time.After(10 * time.Second):
		r.Error("the watch does not tell")
	}
	at := r.seen(d).Ready
	if at == 0 {
		r.Error("not ready")
	}
	stop()
	r.reopen()
	if s := r.seen(d); s.Ready != at {
		r.Errorf("ready since %s, was %s", s.Ready, at)
	}
}

func TestReadyByTCP(t *testing.T) {
	r := newRig(t)
	d := r.daemon("tcp", "127.0.0.1:7011")
	d.Ready.TCP = "127.0.0.1:7011"
	changed, stop := r.watch()
	r.apply(create(d))
	if s := r.seen(d); s.Ready != 0 {
		t.Errorf("ready at once: %+v", s)
	}
	r.readiness(d, changed, stop)
}

func TestReadyByHTTP(t *testing.T) {
	r := newRig(t)
	var status atomic.Int32
	status.Store(503)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(int(status.Load())) }))
	defer server.Close()
	d := r.daemon("sleep")
	d.Ready.HTTP = server.URL + "/ready"
	changed, stop := r.watch()
	r.apply(create(d))
	time.Sleep(300 * time.Millisecond)
	if s := r.seen(d); s.Ready != 0 {
		t.Errorf("ready at status 503: %+v", s)
	}
	status.Store(204)
	r.readiness(d, changed, stop)
}

// A probe that hangs keeps nobody from hearing of another process.
func TestAProbeThatHangs(t *testing.T) {
	r := newRig(t)
	l, err := net.Listen("tcp", "127.0.0.1:0") // accepts, and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	d, other := r.daemon("sleep"), r.daemon("exit", "1")
	d.Ready.HTTP = "http://" + l.Addr().String()
	other.Name = "other"
	changed, _ := r.watch()
	r.apply(create(d))
	time.Sleep(200 * time.Millisecond)
	r.apply(create(other))
	select {
	case k := <-changed:
		if k != other.Key() {
			t.Errorf("told of %s", k)
		}
	case <-time.After(5 * time.Second):
		t.Error("not told")
	}
}

func TestReadyByExec(t *testing.T) {
	r := newRig(t)
	path := filepath.Join("/tmp", r.mark) // nobody's, which both may reach
	t.Cleanup(func() { _ = unix.Unlink(path) })
	d := r.daemon("file", path)
	d.Ready.Exec = []string{r.helper, "there", path}
	changed, stop := r.watch()
	r.apply(create(d))
	r.readiness(d, changed, stop)
}

func TestReadyByNotification(t *testing.T) {
	for _, restart := range []bool{false, true} {
		r := newRig(t)
		d := r.daemon("notify")
		d.Ready.Notify = true
		r.apply(create(d))
		if restart { // before it says so
			r.reopen()
			r.observe()
		}
		changed, stop := r.watch()
		r.stranger(d)
		r.readiness(d, changed, stop)
	}
}

// stranger says of a process what only the process may say.
func (r *rig) stranger(d resource.Daemon) {
	r.Helper()
	c, err := net.Dial("unixgram", r.known[fileOf(d)].Notify)
	if err != nil {
		r.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("READY=1")); err != nil {
		r.Fatal(err)
	}
	time.Sleep(50 * time.Millisecond)
	if s := r.seen(d); s.Ready != 0 {
		r.Errorf("a stranger made it ready: %+v", s)
	}
}

func TestReadyByAge(t *testing.T) {
	r := newRig(t)
	d := r.daemon("sleep")
	d.Ready.Timeout = 400 * time.Millisecond
	changed, stop := r.watch()
	r.apply(create(d))
	r.readiness(d, changed, stop)
	if s := r.seen(d); s.Ready < s.Started+d.Ready.Timeout {
		t.Errorf("ready after %s", s.Ready-s.Started)
	}
}

// What the former process answers on a listener that both have says nothing of
// the new one.
func TestReadyByItsOwnAnswer(t *testing.T) {
	r := newRig(t)
	const address = "127.0.0.1:7031"
	v1, idle, v2 := r.server("v1", "tcp", address), r.server("idle", "tcp", address), r.server("v2", "tcp", address)
	idle.Argv[1] = "sleep"
	for _, d := range []*resource.Daemon{&v1, &idle, &v2} {
		d.Ready.HTTP = "http://" + address + "/"
	}
	changed, stop := r.watch()
	r.apply(create(v1))
	if k := <-changed; k != v1.Key() || r.seen(v1).Ready == 0 {
		t.Fatalf("told of %s, v1 is %+v", k, r.seen(v1))
	}
	r.apply(create(idle))
	time.Sleep(time.Second)
	if s := r.seen(idle); s.Ready != 0 {
		t.Errorf("it accepts nothing: %+v", s)
	}
	r.apply(create(v2))
	r.readiness(v2, changed, stop)
}
