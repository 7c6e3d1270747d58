package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"reconciler/internal/diff"
	"reconciler/internal/resource"
)

// holderEnv makes the test binary one that holds a driver and dies.
const holderEnv = "DAEMON_TEST_HOLDER"

// holding is what a holder does, and where it is killed.
type holding struct {
	Config struct{ State, Namespace string }
	Op     string // create or delete
	Daemon resource.Daemon
	Point  string // empty: once it is done
	Bare   bool   // without cgroups
}

func hold() {
	die := func() { _ = unix.Kill(unix.Getpid(), unix.SIGKILL); select {} }
	var h holding
	err := json.Unmarshal([]byte(os.Getenv(holderEnv)), &h)
	if err != nil {
		panic(err)
	}
	d, err := Open(Config{State: h.Config.State, Namespace: h.Config.Namespace, At: func(p string) {
		if p == h.Point {
			die()
		}
	}})
	if err != nil {
		panic(err)
	}
	if h.Bare {
		d.groups = groups{}
	}
	op := create(h.Daemon)
	for h.Op == "churn" {
		d.Apply(context.Background(), []diff.Op{create(h.Daemon)})
		time.Sleep(time.Duration(rand.IntN(10)) * time.Millisecond)
		d.Apply(context.Background(), []diff.Op{remove(h.Daemon)})
		time.Sleep(time.Duration(rand.IntN(5)) * time.Millisecond)
		d.Apply(context.Background(), []diff.Op{remove(h.Daemon)})
	}
	if h.Op == "delete" {
		op = remove(h.Daemon)
	}
	if err := d.Apply(context.Background(), []diff.Op{op})[0]; err != nil {
		panic(err)
	}
	if h.Point == "" {
		die()
	}
	os.Exit(4) // a point that is never passed
}

// heldBy does one operation in another process, which is killed at a point.
func (r *rig) heldBy(op string, d resource.Daemon, point string) {
	r.Helper()
	r.held(holding{Op: op, Daemon: d, Point: point})
}

func (r *rig) held(h holding) {
	r.Helper()
	h.Config.State, h.Config.Namespace = r.cfg.State, r.cfg.Namespace
	text, err := json.Marshal(h)
	if err != nil {
		r.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), holderEnv+"="+string(text))
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ProcessState.Sys().(interface{ Signaled() bool }).Signaled() == false {
		r.Fatalf("the holder was not killed at %q: %v\n%s", h.Point, err, out)
	}
}

var startPoints = []string{"start-recorded", "start-held", "start-forked", ""}

// Wherever a start is cut off, there is one process in the end, and never two.
func TestKilledWhileItStarts(t *testing.T) {
	for _, point := range startPoints {
		t.Run("at "+point, func(t *testing.T) {
			r := newRig(t)
			d := r.daemon("sleep")
			r.heldBy("create", d, point)
			r.reopen()
			r.onlyOne(d)
		})
	}
}

// The same where nothing groups processes.
func TestKilledWhileItStartsWithoutCgroups(t *testing.T) {
	for _, point := range startPoints {
		t.Run("at "+point, func(t *testing.T) {
			r := newRig(t)
			d := r.daemon("sleep")
			r.held(holding{Op: "create", Daemon: d, Point: point, Bare: true})
			r.reopen()
			r.Driver.groups = groups{}
			r.onlyOne(d)
		})
	}
}

func (r *rig) onlyOne(d resource.Daemon) {
	r.Helper()
	for range 60 {
		if s := r.seen(d); s.State != resource.DaemonRunning {
			r.apply(create(d))
		}
		if n := len(r.mine()); n > 1 {
			r.Fatalf("%d processes", n)
		}
		time.Sleep(10 * time.Millisecond)
	}
	s := r.seen(d)
	if got := r.mine(); len(got) != 1 || got[0] != s.PID || s.State != resource.DaemonRunning {
		r.Fatalf("processes %v, seen %+v", got, s)
	}
}

// The same at any moment of starts, stops and kills.
func TestKilledAtRandom(t *testing.T) {
	for _, bare := range []bool{false, true} {
		for range 8 {
			r := newRig(t)
			d := r.daemon("ignore")
			d.StopAfter = time.Millisecond
			if bare { // what leaves its session is not found then
				d.Argv[1] = "sleep"
			}
			r.churned(d, bare)
			r.reopen()
			if bare {
				r.Driver.groups = groups{}
			}
			r.waitFor("it to be as wanted", func() bool {
				if s := r.seen(d); s.State != resource.DaemonRunning {
					op := create(d)
					if s.State == resource.DaemonStopping {
						op = remove(d)
					}
					_ = r.Driver.Apply(t.Context(), ops(op))
				}
				n := len(r.mine())
				return r.seen(d).State == resource.DaemonRunning && (bare && n == 1 || !bare && n == 2)
			})
			time.Sleep(50 * time.Millisecond)
			if n := len(r.mine()); n > 2 || bare && n > 1 {
				t.Fatalf("%d processes", n)
			}
			r.apply(remove(d))
			r.waitFor("its end", func() bool {
				_ = r.Driver.Apply(t.Context(), ops(remove(d)))
				return len(r.mine()) == 0 && len(r.observe()) == 0
			})
		}
	}
}

// churned starts and stops one again and again in another process, which is killed.
func (r *rig) churned(d resource.Daemon, bare bool) {
	r.Helper()
	h := holding{Op: "churn", Daemon: d, Bare: bare}
	h.Config.State, h.Config.Namespace = r.cfg.State, r.cfg.Namespace
	text, err := json.Marshal(h)
	if err != nil {
		r.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), holderEnv+"="+string(text))
	if err := cmd.Start(); err != nil {
		r.Fatal(err)
	}
	time.Sleep(50*time.Millisecond + time.Duration(rand.IntN(100_000))*time.Microsecond)
	if err := cmd.Process.Kill(); err != nil {
		r.Fatal(err)
	}
	_ = cmd.Wait() // killed
}

// One whose stop was cut off before it was told is told by the next, and is
// killed at the deadline that was written down.
func TestKilledWhileItStops(t *testing.T) {
	for _, point := range []string{"stop-recorded", ""} {
		t.Run("at "+point, func(t *testing.T) {
			r := newRig(t)
			d := r.daemon("sleep")
			d.StopAfter = time.Hour // only the signal ends it
			r.heldBy("create", d, "")
			r.heldBy("delete", d, point)
			r.reopen()
			if s := r.seen(d).State; s == resource.DaemonRunning {
				t.Fatalf("it is %s", s)
			}
			r.apply(remove(d))
			r.waitFor("its end", func() bool { return len(r.mine()) == 0 })
		})
	}
}
