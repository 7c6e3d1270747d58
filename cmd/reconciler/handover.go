package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"reconciler/internal/api"
	"reconciler/internal/handover"
)

// door is a listener that is served, closed and served again.
type door struct {
	name  string
	again func() (net.Listener, error)
	serve func(context.Context, net.Listener) error
}

// doors are served together. They are used from one goroutine at a time.
type doors struct {
	all   []door
	close context.CancelFunc // nil: they are closed
	ended *sync.WaitGroup
}

// open serves all of them in a group. One that fails ends the group.
func (d *doors) open(ctx context.Context, g *errgroup.Group) error {
	ctx, d.close = context.WithCancel(ctx)
	d.ended = &sync.WaitGroup{}
	for _, one := range d.all {
		l, err := one.again()
		if err != nil {
			return fmt.Errorf("serve %s: %w", one.name, err)
		}
		d.ended.Add(1)
		g.Go(func() error {
			defer d.ended.Done()
			return guarded(one.name, func() error { return one.serve(ctx, l) })
		})
	}
	return nil
}

// shut closes all of them, and waits until answers under way have ended.
func (d *doors) shut() {
	if d.close != nil {
		d.close()
		d.ended.Wait()
		d.close = nil
	}
}

// Names of what is handed over.
const (
	doorAPI     = "api"
	doorAPILock = "api-lock"
	doorAPIHeld = "api-held" // there where the service manager holds it too
	doorMetrics = "metrics"
)

// former is this process as one that hands over.
type former struct {
	*daemon
	ctx   context.Context // of run
	asked context.Context // of the program: over once somebody tells it to end
	group *errgroup.Group
	leave context.CancelFunc
}

// Told is whether somebody told this process to end.
func (f *former) Told() bool { return f.asked.Err() != nil }

// End ends this process.
func (f *former) End() { f.leave() }

// Alone goes on, unless a service manager started the former process: it starts
// another one now, and knows nothing of this one.
func (f *former) Alone() {
	if os.Getenv("NOTIFY_SOCKET") == "" {
		f.cli.log.Warn("the former version died; going on alone")
		return
	}
	f.cli.log.Warn("the former version died; leaving the place to what the service manager starts")
	f.leave()
}

// freezeMost bounds how long writes are refused if nobody ends it.
const freezeMost = 2 * time.Minute

// Plan is what would be done now.
func (f *former) Plan(ctx context.Context) (string, []string, error) { return f.engine.Foresee(ctx) }

// Alive asks the loop.
func (f *former) Alive(ctx context.Context) error { return f.engine.Alive(ctx) }

// Pause ends all writing, and gives up the lock.
func (f *former) Pause(ctx context.Context) error {
	if err := f.lease.Take("an upgrade of reconciler", freezeMost); err != nil {
		return err
	}
	if err := f.engine.Pause(ctx); err != nil {
		return errors.Join(err, f.lease.End())
	}
	f.release()
	f.release = nil
	return nil
}

// lockPatience is how long the lock may take to be free once its holder ended.
const lockPatience = 10 * time.Second

// Resume takes the lock back, and serves and writes again.
func (f *former) Resume(ctx context.Context) error {
	f.successor.Store(0)
	var err error
	if f.release == nil {
		err = f.lockWithin(ctx, lockPatience)
	}
	if err == nil && f.doors.close == nil {
		err = f.doors.open(f.ctx, f.group)
	}
	if err == nil {
		err = f.engine.Unpause(ctx)
	}
	return errors.Join(err, f.lease.End(), f.writePID())
}

// lockWithin takes the lock of the namespace as soon as it is free.
func (d *daemon) lockWithin(ctx context.Context, patience time.Duration) error {
	for deadline := time.Now().Add(patience); ; {
		release, err := d.lock(ctx)
		if err == nil {
			d.release = release
			return nil
		}
		if time.Now().After(deadline) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// Drain lets clients go to the successor.
func (f *former) Drain(successor int) {
	f.successor.Store(int64(successor))
	f.doors.shut()
}

// Leave ends this process; the successor is the main one from now on.
func (f *former) Leave(pid int) {
	f.cli.log.Info("the next version goes on", "pid", pid)
	f.notify("MAINPID=" + strconv.Itoa(pid))
	f.leave()
}

// Doors are what a successor inherits.
func (f *former) Doors() []handover.Door {
	listener, lock := f.socket.Files()
	out := []handover.Door{{Name: doorAPI, File: listener}, {Name: doorAPILock, File: lock}}
	if f.socket.Held() {
		out = append(out, handover.Door{Name: doorAPIHeld, File: lock}) // its name says it
	}
	if f.metricsFile != nil {
		out = append(out, handover.Door{Name: doorMetrics, File: f.metricsFile})
	}
	return out
}

// takeOver waits, as a successor, until the former process lets this one write.
func (d *daemon) takeOver(ctx context.Context) error {
	own, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return err
	}
	dir := filepath.Base(filepath.Dir(own))
	if err := d.inherited.Conn.TakeOver(ctx, version, dir, d.foresee); err != nil {
		return fmt.Errorf("take over: %w", err)
	}
	return d.lockWithin(ctx, lockPatience)
}

// foresee plans a revision with drivers that can only look: somebody else
// writes.
func (d *daemon) foresee(ctx context.Context, revision string) ([]string, error) {
	drivers, err := openDrivers(place{state: d.dir.Path(".")}, d.settings, d.cli.log)
	if err != nil {
		return nil, err
	}
	looking, err := d.makeEngine(append(drivers, d.self), prometheus.NewRegistry())
	if err != nil {
		return nil, err
	}
	return looking.ForeseeRevision(ctx, revision)
}

// openDoors opens what is served, or takes it from who has it open.
func (d *daemon) openDoors() error {
	given, err := d.given()
	if err != nil {
		return exit(exitUsage, err)
	}
	if d.socket, err = d.openSocket(given); err != nil {
		return exit(exitLease, err)
	}
	d.metricsFile, err = d.openMetrics(given.metrics)
	return err
}

// given is what the former process hands over, or the service manager.
func (d *daemon) given() (listeners, error) {
	if d.inherited == nil {
		return activated(d.socketPath(), d.settings.Metrics)
	}
	doors := d.inherited.Doors
	return listeners{api: doors[doorAPI], lock: doors[doorAPILock], metrics: doors[doorMetrics], held: doors[doorAPIHeld] != nil}, nil
}

func (d *daemon) openSocket(given listeners) (*api.Socket, error) {
	switch path := d.socketPath(); {
	case d.inherited != nil:
		return api.Inherit(path, given.api, given.lock, given.held)
	case given.api != nil:
		return api.Activate(path, given.api)
	default:
		return api.Listen(path)
	}
}

func (d *daemon) openMetrics(given *os.File) (*os.File, error) {
	if given != nil || d.settings.Metrics == "" {
		return given, nil
	}
	l, err := net.Listen("tcp", d.settings.Metrics)
	if err != nil {
		return nil, fmt.Errorf("listen for metrics: %w", err)
	}
	f, err := l.(*net.TCPListener).File()
	return f, errors.Join(err, l.Close())
}

// writePID writes the number of the main process, where somebody wants it.
func (d *daemon) writePID() error {
	if d.pidFile == "" {
		return nil
	}
	tmp := d.pidFile + ".tmp"
	if err := os.WriteFile(tmp, []byte(strconv.Itoa(os.Getpid())+"\n"), 0o644); err != nil {
		return fmt.Errorf("write the pid file: %w", err)
	}
	return os.Rename(tmp, d.pidFile)
}

// writable refuses writes while a handover goes on.
func (d *daemon) writable() (retry time.Duration, err error) {
	h, held := d.lease.Held()
	if !held {
		return 0, nil
	}
	return min(time.Until(h.Until), 2*time.Second), fmt.Errorf("nobody writes at the moment: %s", h.Reason)
}
