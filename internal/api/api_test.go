package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"reconciler/internal/diff"
	"reconciler/internal/engine"
	"reconciler/internal/observed"
	"reconciler/internal/resource"
	"reconciler/internal/source"
	"reconciler/internal/testns"
)

// asks is set in the environment of a copy of the test that plays an
// unprivileged client.
const asks = "RECONCILER_TEST_SOCKET"

func TestMain(m *testing.M) {
	if socket := os.Getenv(asks); socket != "" {
		os.Exit(unprivileged(socket))
	}
	goleak.VerifyTestMain(m)
}

// unprivileged reads, which succeeds, and writes, which must not.
func unprivileged(socket string) int {
	c := NewClient(socket)
	if _, err := c.Status(context.Background()); err != nil {
		fmt.Println("read:", err)
		return 1
	}
	_, err := c.Sync(context.Background())
	var refused *Error
	if !errors.As(err, &refused) || refused.Code != CodeForbidden {
		fmt.Println("write:", err)
		return 1
	}
	return 0
}

// engineStub answers, and remembers what it was asked.
type engineStub struct {
	mu    sync.Mutex
	asked []string
	err   error
}

func (e *engineStub) note(format string, args ...any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.asked = append(e.asked, fmt.Sprintf(format, args...))
}

// requests is what the engine was asked, as text.
func (e *engineStub) requests() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return fmt.Sprint(e.asked)
}

var revision = engine.Revision{Revision: "abc", Title: "a title"}

func (e *engineStub) Status() engine.Status {
	return engine.Status{InSync: true, Applied: revision, Notes: []diff.Note{{Code: diff.Absent, Key: resource.LinkKey("eth0")}}}
}
func (e *engineStub) History() []engine.Entry { return []engine.Entry{{Title: "first"}} }
func (e *engineStub) Snapshots() ([]engine.Snapshot, error) {
	return []engine.Snapshot{{Revision: revision, Good: true}}, e.err
}
func (e *engineStub) Plan(context.Context) (engine.Planned, error) {
	link := resource.Link{Name: "br0", Type: resource.Bridge}
	return engine.Planned{Plan: diff.Plan{Observed: "77", Ops: []diff.Op{{Verb: diff.Create, Key: link.Key(), To: link}}}}, e.err
}
func (e *engineStub) Observed(context.Context) (observed.State, error) {
	s := observed.State{Objects: resource.NewSet(1)}
	s.Objects.Put(resource.Object{Resource: resource.Link{Name: "lo"}, Owner: resource.Kernel})
	return s, e.err
}
func (e *engineStub) Events(ctx context.Context, since uint64) <-chan engine.Event {
	ch := make(chan engine.Event)
	go func() {
		defer close(ch)
		for n := since + 1; n <= 3; n++ {
			select {
			case ch <- engine.Event{Seq: n, Type: engine.EventApplied}:
			case <-ctx.Done():
				return
			}
		}
		<-ctx.Done()
	}()
	return ch
}
func (e *engineStub) pass(format string, args ...any) (engine.Pass, error) {
	e.note(format, args...)
	return engine.Pass{Outcome: engine.OutcomeApplied}, e.err
}
func (e *engineStub) Sync(context.Context) (engine.Pass, error) { return e.pass("sync") }
func (e *engineStub) Apply(_ context.Context, t source.Tree) (engine.Pass, error) {
	return e.pass("apply %s %s", t.Revision, t.Files["a.yaml"])
}
func (e *engineStub) Rollback(_ context.Context, rev string, d time.Duration) (engine.Pass, error) {
	return e.pass("rollback %s %s", rev, d)
}
func (e *engineStub) Approve(_ context.Context, rev string) (engine.Pass, error) {
	return e.pass("approve %s", rev)
}
func (e *engineStub) RollBackUpgrade(_ context.Context, upgrade string) (engine.Pass, error) {
	return e.pass("rollback upgrade %s", upgrade)
}
func (e *engineStub) Upgrades(context.Context) (engine.Upgrades, error) {
	return engine.Upgrades{Upgrades: []engine.UpgradeStatus{{Name: "exporter"}}}, e.err
}
func (e *engineStub) Retry(context.Context) (engine.Pass, error) { return e.pass("retry") }
func (e *engineStub) Suspend(_ context.Context, d time.Duration, reason string) error {
	e.note("suspend %s %s", d, reason)
	return e.err
}
func (e *engineStub) Resume(context.Context) error  { e.note("resume"); return e.err }
func (e *engineStub) Confirm(context.Context) error { e.note("confirm"); return e.err }
func (e *engineStub) Balance(context.Context) (engine.Balance, error) {
	return engine.Balance{VIPs: []engine.VIPStatus{{Name: "www"}}}, e.err
}
func (e *engineStub) Override(_ context.Context, o engine.Override, d time.Duration) (engine.Pass, error) {
	return e.pass("%s for %s", o, d)
}
func (e *engineStub) Release(_ context.Context, o engine.Override) (engine.Pass, error) {
	return e.pass("release %s", o)
}

// start serves an engine on a socket until the test ends.
func start(t *testing.T, s *Server) (*Client, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "api.sock")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	s.Log = slog.New(slog.DiscardHandler)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return NewClient(path), path
}

func TestReads(t *testing.T) {
	c, _ := start(t, &Server{Engine: &engineStub{}})
	ctx := t.Context()
	s, err := c.Status(ctx)
	if err != nil || !s.InSync || s.Applied != revision || len(s.Notes) != 1 || s.Notes[0].Key != resource.LinkKey("eth0") {
		t.Errorf("Status = %+v, %v", s, err)
	}
	if h, err := c.History(ctx); err != nil || len(h) != 1 || h[0].Title != "first" {
		t.Errorf("History = %v, %v", h, err)
	}
	if l, err := c.Snapshots(ctx); err != nil || len(l) != 1 || !l[0].Good {
		t.Errorf("Snapshots = %v, %v", l, err)
	}
	if p, err := c.Plan(ctx); err != nil || p.Observed != "77" || len(p.Ops) != 1 || p.Ops[0].To.(resource.Link).Type != resource.Bridge {
		t.Errorf("Plan = %v, %v", p, err)
	}
	if o, err := c.Observed(ctx); err != nil || !o.Objects.Has(resource.LinkKey("lo")) {
		t.Errorf("Observed = %v, %v", o, err)
	}
	if b, err := c.Balance(ctx); err != nil || len(b.VIPs) != 1 || b.VIPs[0].Name != "www" {
		t.Errorf("Balance = %v, %v", b, err)
	}
}

func TestWrites(t *testing.T) {
	e := &engineStub{}
	c, _ := start(t, &Server{Engine: e})
	ctx := t.Context()
	tree := source.Tree{Revision: "r1", Files: map[string][]byte{"a.yaml": []byte("version: 1")}}
	over := engine.Override{Kind: engine.OverDrain, Select: map[string]string{"rack": "r12"}}
	for _, do := range []func() error{
		func() error { _, err := c.Sync(ctx); return err },
		func() error { _, err := c.Apply(ctx, tree); return err },
		func() error { _, err := c.Rollback(ctx, "abc", time.Hour); return err },
		func() error { _, err := c.RollBackUpgrade(ctx, "exporter"); return err },
		func() error { _, err := c.Approve(ctx, "abc"); return err },
		func() error { _, err := c.Retry(ctx); return err },
		func() error { return c.Suspend(ctx, time.Minute, "a reason") },
		func() error { return c.Resume(ctx) },
		func() error { return c.Confirm(ctx) },
		func() error { _, err := c.Override(ctx, over, time.Minute); return err },
		func() error { _, err := c.Release(ctx, over); return err },
	} {
		if err := do(); err != nil {
			t.Error(err)
		}
	}
	want := "[sync apply r1 version: 1 rollback abc 1h0m0s rollback upgrade exporter approve abc retry suspend 1m0s a reason resume confirm " +
		"drain rack=r12 for 1m0s release drain rack=r12]"
	if got := e.requests(); got != want {
		t.Errorf("the engine was asked\n%s, want\n%s", got, want)
	}
}

func TestRefusals(t *testing.T) {
	e := &engineStub{}
	c, _ := start(t, &Server{Engine: e})
	for _, r := range []struct {
		err    error
		status int
		code   Code
	}{
		{engine.ErrUnknown, http.StatusNotFound, CodeUnknown},
		{engine.ErrAbsent, http.StatusNotFound, CodeAbsent},
		{engine.ErrNothing, http.StatusConflict, CodeNothing},
		{engine.ErrNoDesired, http.StatusConflict, CodeNoDesired},
		{engine.ErrRange, http.StatusBadRequest, CodeRange},
		{engine.ErrBusy, http.StatusConflict, CodeBusy},
		{engine.ErrStopped, http.StatusServiceUnavailable, CodeStopped},
		{errors.New("anything else"), http.StatusInternalServerError, CodeInternal},
	} {
		e.err = fmt.Errorf("wrapped: %w", r.err)
		_, err := c.Sync(t.Context())
		var refused *Error
		if !errors.As(err, &refused) || refused.Status != r.status || refused.Code != r.code {
			t.Errorf("%v: got %v, want %d %s", r.err, err, r.status, r.code)
		}
	}
}

// TestReadOnly: while a lease is held reads are answered, and writes are told
// when to come back.
func TestReadOnly(t *testing.T) {
	e := &engineStub{}
	busy := func() (time.Duration, error) { return 1500 * time.Millisecond, errors.New("an upgrade is under way") }
	c, path := start(t, &Server{Engine: e, Writable: busy})
	if _, err := c.Status(t.Context()); err != nil {
		t.Errorf("a read: %v", err)
	}
	plain := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}}
	res, err := plain.Post("http://daemon/v1/sync", "application/json", nil)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") != "2" || e.requests() != "[]" {
		t.Errorf("a write: %s, Retry-After %q, the engine was asked %v", res.Status, res.Header.Get("Retry-After"), e.requests())
	}
}

func TestEvents(t *testing.T) {
	c, _ := start(t, &Server{Engine: &engineStub{}})
	var got []uint64
	each := func(e engine.Event) error { got = append(got, e.Seq); return nil }
	if err := c.Events(t.Context(), 1, false, each); err != nil || fmt.Sprint(got) != "[2 3]" {
		t.Errorf("without following: %v, %v", got, err)
	}
	got = nil
	ctx, cancel := context.WithCancel(t.Context())
	err := c.Events(ctx, 0, true, func(e engine.Event) error {
		if e.Seq == 3 {
			cancel()
		}
		return each(e)
	})
	if !errors.Is(err, context.Canceled) || fmt.Sprint(got) != "[1 2 3]" {
		t.Errorf("following: %v, %v", got, err)
	}
}

// TestPeers: who is neither root nor in the socket's group reads, if the
// socket's mode lets them connect, and writes nothing.
func TestPeers(t *testing.T) {
	testns.NeedRoot(t) // to play another user
	e := &engineStub{}
	_, path := start(t, &Server{Engine: e})
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o660 {
		t.Fatalf("the socket: %v, %v", info, err)
	}
	binary := filepath.Join(filepath.Dir(path), "client.test")
	if err := copyFile(os.Args[0], binary); err != nil {
		t.Fatal(err)
	}
	for dir := filepath.Dir(path); dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	const nobody = 65534
	cmd := exec.Command(binary)
	cmd.Env = []string{asks + "=" + path}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("as another user: %v\n%s", err, out)
	}
	if e.requests() != "[]" {
		t.Errorf("the engine was asked %v", e.requests())
	}
	cmd = exec.Command(binary)
	cmd.Env = []string{asks + "=" + path}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody, Groups: []uint32{0}}}
	_ = cmd.Run() // its own verdict is about another user
	if e.requests() != "[sync]" {
		t.Errorf("a member of the socket's group: the engine was asked %v", e.requests())
	}
}

func copyFile(from, to string) error {
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, content, 0o755)
}

func TestListen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "api.sock")
	if _, err := NewClient(path).Status(t.Context()); !errors.Is(err, ErrNoDaemon) {
		t.Errorf("with no socket: %v", err)
	}
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	dead.Close()
	if _, err := NewClient(path).Status(t.Context()); !errors.Is(err, ErrNoDaemon) {
		t.Errorf("with a dead daemon's socket: %v", err)
	}
	first, err := Listen(path)
	if err != nil {
		t.Fatalf("over a dead daemon's socket: %v", err)
	}
	if _, err := Listen(path); !errors.Is(err, ErrInUse) {
		t.Errorf("over a live daemon's socket: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	foreign, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer foreign.Close()
	if _, err := Listen(path); !errors.Is(err, ErrInUse) {
		t.Errorf("over a socket of another program: %v", err)
	}
	file := filepath.Join(t.TempDir(), "precious")
	if err := os.WriteFile(file, []byte("data"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(file); err == nil {
		t.Error("a file was taken for a socket")
	}
	if content, err := os.ReadFile(file); err != nil || string(content) != "data" {
		t.Errorf("the file: %q, %v", content, err)
	}
}
