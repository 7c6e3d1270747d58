package daemon

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"reconciler/internal/clock"
	"reconciler/internal/diff"
	"reconciler/internal/observed"
	"reconciler/internal/resource"
	"reconciler/internal/testns"
)

func TestStartObserveStop(t *testing.T) {
	r := newRig(t)
	d := r.daemon("sleep")
	r.apply(create(d), create(d)) // twice is once
	s := r.seen(d)
	if s.State != resource.DaemonRunning || s.PID == 0 || s.Started == 0 || s.Restarts != 0 {
		t.Fatalf("seen %+v", s)
	}
	if got := r.mine(); len(got) != 1 || got[0] != s.PID {
		t.Fatalf("processes %v, want %d", got, s.PID)
	}
	r.apply(remove(d))
	if s := r.awaitState(d, resource.DaemonExited); s.Reason != "signal: SIGTERM" || !s.Failed || s.Ended == 0 {
		t.Errorf("seen %+v", s)
	}
	r.apply(remove(d), remove(d))
	if all := r.observe(); len(all) != 0 {
		t.Errorf("it is remembered: %+v", all)
	}
	for _, dir := range r.groups.dirs(strings.TrimSuffix(fileOf(d), recordSuffix)) {
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%s is left", dir)
		}
	}
}

// One that does not end when asked is killed at its deadline and not before,
// with all that it started.
func TestKilledAtTheDeadline(t *testing.T) {
	r := newRig(t)
	d := r.daemon("ignore")
	r.apply(create(d))
	r.waitFor("its child", func() bool { return len(r.mine()) == 2 })
	r.apply(remove(d))
	s := r.seen(d)
	if s.State != resource.DaemonStopping || s.Kill == 0 {
		t.Fatalf("seen %+v", s)
	}
	r.apply(remove(d)) // asked again, as after a crash
	time.Sleep(100 * time.Millisecond)
	if n := len(r.mine()); clock.Boottime() < s.Kill && n != 2 {
		t.Fatalf("%d processes before the deadline, want 2", n)
	}
	r.waitFor("the deadline", func() bool { return clock.Boottime() > s.Kill })
	r.apply(remove(d))
	if s := r.awaitState(d, resource.DaemonExited); s.Reason != "signal: SIGKILL" {
		t.Errorf("seen %+v", s)
	}
	r.waitFor("its child to end", func() bool { return len(r.mine()) == 0 })
}

// What a process leaves behind when it ends, ends with it.
func TestNothingIsLeftOfOneThatEnded(t *testing.T) {
	r := newRig(t)
	d := r.daemon("leave")
	r.apply(create(d))
	if s := r.awaitState(d, resource.DaemonExited); s.Reason != "exit status 0" || s.Failed {
		t.Errorf("seen %+v", s)
	}
	r.waitFor("its child to end", func() bool { return len(r.mine()) == 0 })
}

func TestRestartsAreCounted(t *testing.T) {
	r := newRig(t)
	d := r.daemon("exit", "7")
	d.Restart.Window = time.Hour
	r.apply(create(d))
	for n := range 3 {
		s := r.awaitState(d, resource.DaemonExited)
		if s.Reason != "exit status 7" || !s.Failed || s.Restarts != uint32(n) {
			t.Fatalf("after %d restarts: %+v", n, s)
		}
		r.reopen() // the count outlives the program
		r.apply(diff.Op{Verb: diff.Update, Key: d.Key(), From: d, To: d})
	}
}

func TestOneThatCannotStart(t *testing.T) {
	r := newRig(t)
	d := r.daemon("sleep")
	d.Argv[0] = "/nonexistent/program"
	began := time.Now()
	err := r.Driver.Apply(t.Context(), ops(create(d)))[0]
	if err == nil || !strings.Contains(err.Error(), "/nonexistent/program: no such file") {
		t.Errorf("error %v", err)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %s", took)
	}
	if s := r.seen(d); s.State != resource.DaemonExited || !s.Failed {
		t.Errorf("seen %+v", s)
	}
}

func TestAdoption(t *testing.T) {
	r := newRig(t)
	d := r.daemon("ignore")
	r.apply(create(d))
	r.waitFor("its child", func() bool { return len(r.mine()) == 2 })
	was := r.seen(d)
	r.reopen()
	if s := r.seen(d); s.State != resource.DaemonRunning || s.PID != was.PID || s.Started != was.Started {
		t.Fatalf("seen %+v, want %+v", s, was)
	}
	r.apply(create(d))
	if n := len(r.mine()); n != 2 {
		t.Fatalf("%d processes", n)
	}
	r.apply(remove(d))
	kill := r.seen(d).Kill
	r.reopen()
	if s := r.seen(d); s.State != resource.DaemonStopping || s.Kill != kill {
		t.Fatalf("seen %+v", s)
	}
	r.waitFor("the deadline", func() bool { return clock.Boottime() > kill })
	r.apply(remove(d))
	r.awaitState(d, resource.DaemonExited)
	r.waitFor("its child to end", func() bool { return len(r.mine()) == 0 })
}

// A number that another process has now is not taken for the one that had it.
func TestAnotherProcessIsNotAdopted(t *testing.T) {
	r := newRig(t)
	d, other := r.daemon("sleep"), r.daemon("sleep")
	other.Name = "other"
	r.apply(create(d), create(other))
	pid := r.seen(other).PID
	r.forge(d, func(rec *record) { rec.PID = pid })
	if s := r.seen(d); s.State != resource.DaemonExited {
		t.Errorf("seen %+v", s)
	}
	if s := r.seen(other); s.State != resource.DaemonRunning || s.PID != pid {
		t.Errorf("the other one: %+v", s)
	}
}

// After a boot each is started as if it had never been: no time of the former
// boot keeps it waiting, and none that had ended stays so.
func TestABootForgetsAll(t *testing.T) {
	r := newRig(t)
	runs, ended := r.daemon("sleep"), r.daemon("exit", "0")
	ended.Name = "ended"
	r.apply(create(runs), create(ended))
	r.awaitState(ended, resource.DaemonExited)
	r.forge(runs, func(rec *record) { rec.Boot = "another" })
	r.forge(ended, func(rec *record) { rec.Boot, rec.Ended = "another", 1<<60 })
	if all := r.observe(); len(all) != 0 {
		t.Errorf("seen %+v", all)
	}
	if left, err := os.ReadDir(r.dir()); err != nil || len(left) != 2 { // the logs
		t.Errorf("left %v, %v", left, err)
	}
}

// forge changes a record while no driver is there.
func (r *rig) forge(d resource.Daemon, change func(*record)) {
	r.Helper()
	path := r.path(fileOf(d))
	var rec record
	if err := readRecord(path, &rec); err != nil {
		r.Fatal(err)
	}
	change(&rec)
	text, err := json.Marshal(rec)
	if err == nil {
		err = os.WriteFile(path, text, 0o600)
	}
	if err != nil {
		r.Fatal(err)
	}
	r.reopen()
}

// Files that change alone are written and told of; the process stays.
func TestReload(t *testing.T) {
	r := newRig(t)
	d := r.daemon("conf")
	d.Reload, d.Files = "HUP", []resource.NamedText{{Name: "conf", Text: "12345"}}
	r.apply(create(d))
	r.waitFor("the file", func() bool { return strings.Contains(r.log(d), "conf has 5 bytes, mode -rw-------") })
	pid := r.seen(d).PID
	next := d
	next.Files = []resource.NamedText{{Name: "conf", Text: "123"}}
	r.apply(diff.Op{Verb: diff.Update, Key: d.Key(), From: d, To: next})
	r.waitFor("the other file", func() bool { return strings.Contains(r.log(d), "conf has 3 bytes") })
	if all := r.observe(); len(all) != 1 || all[0].Seen.PID != pid || !all[0].Equal(next) {
		t.Errorf("seen %+v", all)
	}
}

// Each link has its own, and they do not know of each other.
func TestInstances(t *testing.T) {
	r := newRig(t)
	a, b := r.daemon("sleep"), r.daemon("sleep")
	a.Link, b.Link = "eth0", "eth0.100"
	a.Argv, b.Argv = append(a.Argv, "of-{interface}", r.mark), append(b.Argv, "of-{interface}", r.mark)
	r.apply(create(a), create(b))
	for _, d := range []resource.Daemon{a, b} {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", r.seen(d).PID))
		if err != nil || !strings.Contains(string(text), "of-"+d.Link+"\x00") {
			t.Errorf("%s runs %q, %v", d.Link, text, err)
		}
	}
	r.apply(remove(a))
	r.awaitState(a, resource.DaemonExited)
	if s := r.seen(b); s.State != resource.DaemonRunning {
		t.Errorf("the other one: %+v", s)
	}
}

// What is secret is in records of root alone: not in logs, fields or command
// lines.
func TestSecrets(t *testing.T) {
	const secret = "s3cr3t-w0rd"
	r := newRig(t)
	var logged bytes.Buffer
	r.cfg.Log = slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	r.reopen()
	d := r.daemon("sleep")
	d.Env = []resource.NamedText{{Name: "SECRET", Text: secret}}
	d.Files = []resource.NamedText{{Name: "key", Text: secret}}
	r.apply(create(d))
	r.waitFor("its environment", func() bool { return strings.Contains(r.log(d), "up true") })
	bad := r.daemon("sleep")
	bad.Name, bad.Env, bad.Files, bad.Argv = "bad", d.Env, d.Files, []string{"/nonexistent"}
	if err := r.Driver.Apply(t.Context(), ops(create(bad)))[0]; err == nil || strings.Contains(err.Error(), secret) {
		t.Errorf("error %v", err)
	}
	r.reopen()
	for _, o := range r.observe() {
		if text := fmt.Sprint(o.Fields()); strings.Contains(text, secret) {
			t.Errorf("fields %s", text)
		}
	}
	if strings.Contains(logged.String(), secret) || strings.Contains(r.log(d), secret) {
		t.Error("it is in a log")
	}
	err := filepath.WalkDir(r.cfg.State, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		text, rerr := os.ReadFile(path)
		if rerr == nil && bytes.Contains(text, []byte(secret)) && info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// A watch that began before anything was read hears of what was adopted.
func TestTheWatchHearsOfTheAdopted(t *testing.T) {
	r := newRig(t)
	d := r.daemon("sleep")
	r.apply(create(d))
	r.reopen()
	changed, _ := r.watch()
	time.Sleep(100 * time.Millisecond)
	pid := r.seen(d).PID
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for { // first that it is ready
		select {
		case k := <-changed:
			if k != d.Key() {
				t.Fatalf("told of %s", k)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("not told")
		}
		if r.seen(d).State == resource.DaemonExited {
			return
		}
	}
}

// Of two programs that have the namespace in turn, as in a handover, each sees
// what the other one did meanwhile.
func TestTwoInTurn(t *testing.T) {
	r := newRig(t)
	d, e := r.daemon("sleep"), r.daemon("sleep")
	e.Name = "other"
	r.apply(create(d))
	r.observe()
	former := r.Driver
	r.open()
	next := r.Driver
	if s := r.seen(d); s.State != resource.DaemonRunning {
		t.Fatalf("seen %+v", s)
	}
	r.Driver = former
	r.apply(create(e), remove(d))
	r.awaitState(d, resource.DaemonExited)
	r.apply(remove(d))
	r.Driver = next
	r.apply(create(e))
	if all := r.observe(); len(all) != 1 || all[0].Key() != e.Key() || all[0].Seen.State != resource.DaemonRunning {
		t.Errorf("seen %+v", all)
	}
	if n := len(r.mine()); n != 1 {
		t.Errorf("%d processes", n)
	}
	if err := former.Close(); err != nil {
		t.Error(err)
	}
}

// Who only looks changes nothing, whatever became of a process meanwhile.
func TestReadOnly(t *testing.T) {
	r := newRig(t)
	d, e := r.daemon("sleep"), r.server("v1", "tcp", "127.0.0.1:7041")
	e.Argv[1] = "sleep"
	r.apply(create(d), create(e))
	r.forge(d, func(rec *record) { rec.PID = 0 }) // as in the middle of a start
	writer := r.Driver
	for _, one := range []resource.Daemon{d, e} { // once they have said all that they say
		for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			if text, err := os.ReadFile(r.logOf(one)); err == nil && len(text) > 0 {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s says nothing", one.Name)
			}
		}
	}
	before := r.disk()
	r.cfg.ReadOnly = true
	r.open()
	pid := r.seen(e).PID
	if s := r.seen(e); s.State != resource.DaemonRunning {
		t.Errorf("seen %+v", s)
	}
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	r.awaitState(e, resource.DaemonExited)
	if after := r.disk(); after != before {
		t.Errorf("before %s\nafter  %s", before, after)
	}
	if n := len(r.mine()); n != 1 {
		t.Errorf("%d processes, want that of the unfinished start", n)
	}
	if err := r.Driver.Apply(t.Context(), ops(create(e)))[0]; err == nil {
		t.Error("it starts a process")
	}
	if err := r.Driver.Close(); err != nil {
		t.Error(err)
	}
	r.Driver = writer
}

// disk is all that is in the state directory.
func (r *rig) disk() string {
	var b strings.Builder
	err := filepath.WalkDir(r.cfg.State, func(path string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			text, rerr := os.ReadFile(path)
			fmt.Fprintf(&b, "%s %s %v\n", path, text, rerr)
		}
		return err
	})
	if err != nil {
		r.Fatal(err)
	}
	return b.String()
}

func BenchmarkObserve(b *testing.B) {
	testns.NeedRoot(b)
	path, err := helper()
	if err != nil {
		b.Fatal(err)
	}
	d, err := Open(Config{State: b.TempDir(), Namespace: fmt.Sprintf("test-bench-%d", os.Getpid())})
	if err != nil {
		b.Fatal(err)
	}
	var all, gone []diff.Op
	for n := range 16 {
		one := resource.Daemon{Name: fmt.Sprintf("b%d", n), Argv: []string{path, "sleep"}, Digest: strings.Repeat("a", 64)}
		all, gone = append(all, create(one)), append(gone, remove(one))
	}
	began := time.Now()
	if err := errors.Join(d.Apply(b.Context(), all)...); err != nil {
		b.Fatal(err)
	}
	b.Logf("%s a start", time.Since(began)/time.Duration(len(all)))
	for b.Loop() {
		if _, err := d.Observe(b.Context(), observed.Query{}); err != nil {
			b.Fatal(err)
		}
	}
	for len(d.known) > 0 {
		if err := errors.Join(d.Apply(context.Background(), gone)...); err != nil {
			b.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
