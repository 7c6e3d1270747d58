// Package handover is the driver of the reconciler's own process: which version
// it is, and the start of the next one.
//
// It owns the successor that it started, or the connection to the former process
// that started it. It decides neither which version is wanted nor whether one
// has shown itself, touches no dataplane, and imports clock, driver, diff,
// handover, observed and resource.
package handover

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"reconciler/internal/clock"
	"reconciler/internal/diff"
	"reconciler/internal/driver"
	"reconciler/internal/handover"
	"reconciler/internal/observed"
	"reconciler/internal/resource"
)

// Host is the program around the driver.
type Host interface {
	handover.Former
	// Doors are the listeners that a successor inherits.
	Doors() []handover.Door
	// Alive fails if the loop does not answer.
	Alive(context.Context) error
	// Alone is called when the former process died before this one was kept.
	Alone()
}

// Driver reads and changes the process.
type Driver struct {
	log    *slog.Logger
	args   []string // of the successor
	began  time.Duration
	launch chan *attempt

	mu     sync.Mutex
	host   Host
	former *handover.Conn // nil: nobody stands by
	key    resource.Key   // what was observed last
	next   string         // the version that is to take over
	failed string         // the last one that did not
	reason string
}

var (
	_ driver.Driver    = (*Driver)(nil)
	_ driver.Watcher   = (*Driver)(nil)
	_ driver.Annotator = (*Driver)(nil)
)

// Open makes a driver. former, if not nil, is who started this process; args are
// those that a successor gets, the name of the program first.
func Open(former *handover.Conn, args []string, log *slog.Logger) *Driver {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Driver{log: log, args: args, began: clock.Boottime(), former: former, launch: make(chan *attempt, 1)}
}

// Serve tells the driver of the program around it. Without one it can start
// nothing.
func (d *Driver) Serve(h Host) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.host = h
}

// Name is the driver's name in keys.
func (*Driver) Name() string { return resource.HandoverDriver }

// Check knows that only a program that runs can hand over.
func (*Driver) Check(resource.Resource) []driver.Fault { return nil }

// Observe tells which version of an upgrade this process is.
func (d *Driver) Observe(_ context.Context, q observed.Query) (observed.State, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	objects := resource.NewSet(1)
	for _, o := range q.Want.All() {
		s, ok := o.Resource.(resource.Self)
		if !ok || d.host == nil {
			continue
		}
		d.key = s.Key()
		objects.Put(resource.Object{Owner: resource.Ours, Resource: resource.Self{
			Upgrade: s.Upgrade, Root: s.Root, Dir: OwnDir(s.Root), Ready: s.Ready,
			Seen: resource.SelfSeen{Started: d.began, Next: d.next, Standby: d.former != nil, Failed: d.failed, Reason: d.reason},
		}})
	}
	return observed.State{Objects: objects}, nil
}

// OwnDir is the directory of the version that this process runs from; empty
// where it is none of a root.
func OwnDir(root string) string {
	own, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return ""
	}
	real, err := filepath.EvalSymlinks(root)
	if err != nil {
		return ""
	}
	rest, ok := strings.CutPrefix(strings.TrimSuffix(own, " (deleted)"), filepath.Join(real, "versions")+"/")
	if !ok {
		return ""
	}
	dir, _, _ := strings.Cut(rest, "/")
	return dir
}

// Annotate says what it costs that one takes over.
func (d *Driver) Annotate(_ observed.State, plan *diff.Plan) {
	for i := range plan.Ops {
		op := &plan.Ops[i]
		to, ok := op.To.(resource.Self)
		from, _ := op.From.(resource.Self)
		if ok && to.Dir != from.Dir {
			op.Effects = append(op.Effects, "writes to the API are refused for a moment; reads are answered")
		}
	}
}

// Apply starts a successor, or lets the former process go. It waits for neither.
func (d *Driver) Apply(_ context.Context, ops []diff.Op) []error {
	d.mu.Lock()
	defer d.mu.Unlock()
	errs := make([]error, len(ops))
	for i, op := range ops {
		to, ok := op.To.(resource.Self)
		switch {
		case !ok:
		case to.Dir == OwnDir(to.Root):
			errs[i] = d.release()
		default:
			errs[i] = d.start(to)
		}
	}
	return errs
}

// release lets the former process go, if it is still there.
func (d *Driver) release() error {
	if d.former == nil {
		return nil
	}
	err := d.former.Commit()
	d.former = nil
	if err != nil {
		d.log.Warn("the former reconciler is not told to go; it ended by itself", "err", err)
	}
	return nil
}

// attempt is a successor that was started.
type attempt struct {
	handover.Successor
	key resource.Key
	how string // it ended; empty: it has not, or nobody looked
}

func (d *Driver) start(to resource.Self) error {
	switch {
	case d.host == nil:
		return errors.New("only a reconciler that runs can hand over")
	case d.next != "":
		return nil // it is on its way
	}
	latest, err := filepath.EvalSymlinks(filepath.Join(to.Root, "latest"))
	if err != nil {
		return fmt.Errorf("find the next version: %w", err)
	}
	if filepath.Base(latest) != to.Dir {
		return fmt.Errorf("latest leads to %s, and not to version %s", latest, to.Dir)
	}
	if err := d.release(); err != nil {
		return err
	}
	a, err := d.spawn(filepath.Join(latest, "reconciler"), to)
	if err != nil {
		// It would not start the next time either: the version is to blame.
		d.failed, d.reason = to.Dir, fmt.Sprintf("it cannot be started: %v", err)
		return nil
	}
	d.next, d.failed, d.reason = to.Dir, "", ""
	d.launch <- a // nothing else is on its way, so there is room
	return nil
}

// spawn starts it with our arguments, listeners and output, in a group of its
// own: a signal for this one is none for that.
func (d *Driver) spawn(program string, to resource.Self) (*attempt, error) {
	own, theirs, err := handover.Pair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	doors := d.host.Doors()
	cmd := exec.Command(program, d.args[1:]...)
	cmd.Args[0] = d.args[0]
	cmd.Stdin, cmd.Stdout, cmd.Stderr = nil, os.Stdout, os.Stderr
	cmd.ExtraFiles = []*os.File{theirs}
	for _, door := range doors {
		cmd.ExtraFiles = append(cmd.ExtraFiles, door.File)
	}
	cmd.Env = append(successorEnv(os.Environ()), handover.Env+"="+handover.Environ(doors))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, own.Close())
	}
	return &attempt{
		Successor: handover.Successor{
			Conn: own, PID: cmd.Process.Pid, Dir: to.Dir, Version: resource.ReleaseVersion(to.Dir), Wait: handover.StepWait(to.Ready.Timeout),
		},
		key: to.Key(),
	}, nil
}

// successorEnv leaves out what names this process.
func successorEnv(env []string) []string {
	var out []string
	for _, e := range env {
		if !strings.HasPrefix(e, "WATCHDOG_PID=") && !strings.HasPrefix(e, "LISTEN_") {
			out = append(out, e)
		}
	}
	return out
}

// Watch carries handovers through: as the former process, and as the successor.
func (d *Driver) Watch(ctx context.Context, changed func(...resource.Key)) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { d.serve(ctx, changed); return nil })
	for {
		select {
		case <-ctx.Done():
			return g.Wait()
		case a := <-d.launch:
			d.handOver(ctx, a)
			changed(a.key)
		}
	}
}

// serve keeps the former process informed, and notes when it is gone.
func (d *Driver) serve(ctx context.Context, changed func(...resource.Key)) {
	d.mu.Lock()
	former, host := d.former, d.host
	d.mu.Unlock()
	if former == nil || host == nil {
		return
	}
	err := former.Serve(ctx, host.Alive)
	d.mu.Lock()
	kept, key := d.former != former, d.key
	d.former = nil
	d.mu.Unlock()
	switch {
	case errors.Is(err, handover.ErrGone):
		if !kept {
			host.Alone()
		}
		changed(key)
	case errors.Is(err, handover.ErrStop):
		host.End()
	case host.Told():
		if err := former.Stop(); err != nil {
			d.log.Warn("the former reconciler is not told to end", "err", err)
		}
	}
	_ = former.Close() // it has no more to say
}

func (d *Driver) handOver(ctx context.Context, a *attempt) {
	a.Ended = func() string { return a.ended(time.Second) }
	began := time.Now()
	err := handover.HandOver(ctx, d.host, a.Successor)
	switch {
	case errors.Is(err, handover.ErrStop):
		d.host.End()
		a.ended(endPatience)
		return
	case ctx.Err() != nil && d.host.Told():
		a.ended(endPatience) // then who starts another one finds nobody here
		return
	case err == nil || ctx.Err() != nil:
		return // the other one goes on
	}
	a.end()
	d.goOn(ctx)
	reason := fmt.Sprintf("%v (after %s)", err, time.Since(began).Round(time.Millisecond))
	d.log.Warn("the next version did not take over", "version", a.Dir, "reason", reason)
	d.mu.Lock()
	d.next, d.failed, d.reason = "", a.Dir, reason
	d.mu.Unlock()
}

const (
	// endPatience is how long a successor has that was told to end.
	endPatience = 10 * time.Second
	// goOnAgain is the rest between two attempts to go on.
	goOnAgain = time.Second
)

// goOn makes this process the one that writes again; nobody else does.
func (d *Driver) goOn(ctx context.Context) {
	for ctx.Err() == nil {
		err := d.host.Resume(ctx)
		if err == nil {
			return
		}
		d.log.Error("cannot go on after a failed handover; trying again", "err", err)
		select {
		case <-ctx.Done():
		case <-time.After(goOnAgain):
		}
	}
}

// ended waits for its end, and tells how that was; empty if it has not ended
// within a time.
func (a *attempt) ended(within time.Duration) string {
	const often = 5 * time.Millisecond
	for deadline := time.Now().Add(within); a.how == ""; time.Sleep(often) {
		var status unix.WaitStatus
		pid, err := unix.Wait4(a.PID, &status, unix.WNOHANG, nil)
		switch {
		case err != nil && !errors.Is(err, unix.EINTR):
			a.how = err.Error()
		case pid == a.PID:
			a.how = howEnded(status)
		case time.Now().After(deadline):
			return ""
		}
	}
	return a.how
}

// end ends it and all it started, if it has not ended.
func (a *attempt) end() {
	_ = a.Conn.Close()
	if a.how == "" { // else its number may be another one's by now
		_ = unix.Kill(-a.PID, unix.SIGKILL)
	}
	a.ended(endPatience)
}

func howEnded(status unix.WaitStatus) string {
	if status.Signaled() {
		return "signal: " + status.Signal().String()
	}
	return fmt.Sprintf("exit status %d", status.ExitStatus())
}
