// Package daemon is the driver of processes: each in a cgroup of its own, with
// few rights, told by a pidfd and by when it started, never by its name.
//
// It owns the records of what it started, one file each, and the listeners that
// it holds for them. A record is written before its process is: whatever a crash leaves,
// the next start finds by the cgroup. Processes outlive the program and are
// adopted. It never waits and never decides: who starts again, who goes first
// and who is killed is for package intent to say. It imports artifact, clock,
// driver, driver/bpffs, diff, observed, resource, shim and state.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"reconciler/internal/artifact"
	"reconciler/internal/clock"
	"reconciler/internal/diff"
	"reconciler/internal/driver"
	"reconciler/internal/driver/bpffs"
	"reconciler/internal/observed"
	"reconciler/internal/resource"
)

// Config says where a driver works, and what it may do.
type Config struct {
	// State is a directory for records, logs and files; empty: nothing is there
	// to be read.
	State string
	// ReadOnly starts, stops and writes nothing.
	ReadOnly bool
	// Namespace names the network namespace, within the names of cgroups.
	Namespace string
	// Objects is the cache that {artifact:…} leads into; nil: there is none.
	Objects *artifact.Store
	// Pins is where {map:…} leads to.
	Pins bpffs.Root
	// Forbidden says that the agent lets no process run, and Users which ones
	// they may run as, beside nobody.
	Forbidden bool
	Users     []string
	// Exec are the programs that may ask whether a process is ready.
	Exec []string
	// Journal is where journald takes streams; empty: /run/systemd/journal/stdout.
	Journal string
	// Log hears of what is odd and no error; nil for none.
	Log *slog.Logger
	// At is told of each point of crash; nil but in tests.
	At func(point string)
}

// defaultUser is whom processes run as.
const defaultUser = "nobody"

// Driver reads and writes processes.
type Driver struct {
	cfg    Config
	groups groups

	mu    sync.Mutex
	known map[string]*process // by the file of its record
	// sockets are bare descriptors: an os.File that tells its own makes the socket
	// block, under the feet of the process that shares it.
	sockets map[resource.DaemonSocket]int
	starts  map[instance]uint64 // by this program
	resting bool                // another process writes
	last    resolved
	wake    *os.File // an eventfd: the set of processes is another one
}

var (
	_ driver.Driver   = (*Driver)(nil)
	_ driver.Resolver = (*Driver)(nil)
	_ driver.Watcher  = (*Driver)(nil)
	_ driver.Freezer  = (*Driver)(nil)
	_ driver.Sampler  = (*Driver)(nil)
)

// Open makes a driver. It touches nothing.
func Open(cfg Config) (*Driver, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Journal == "" {
		cfg.Journal = journalSocket
	}
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("open the driver of processes: %w", err)
	}
	return &Driver{
		cfg: cfg, groups: findGroups("/sys/fs/cgroup", cfg.Namespace), known: map[string]*process{},
		sockets: map[resource.DaemonSocket]int{}, starts: map[instance]uint64{}, wake: os.NewFile(uintptr(fd), "wake"),
	}, nil
}

// Close lets go of listeners and pidfds. Processes run on.
func (d *Driver) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	errs := []error{d.wake.Close()}
	for _, fd := range d.sockets {
		errs = append(errs, unix.Close(fd))
	}
	for _, p := range d.known {
		p.close()
	}
	clear(d.sockets)
	clear(d.known)
	return errors.Join(errs...)
}

// Name is the driver's name in keys.
func (*Driver) Name() string { return resource.DaemonDriver }

// Freeze: processes need nobody to run.
func (*Driver) Freeze() driver.Freeze {
	return driver.Freeze{Keeps: []string{"helper processes"}}
}

// Check knows what the agent's own file lets run.
func (d *Driver) Check(r resource.Resource) []driver.Fault {
	one, ok := r.(resource.Daemon)
	switch {
	case !ok:
		return nil
	case d.cfg.Forbidden:
		return []driver.Fault{{Code: driver.Unsupported, Message: "the agent's file lets no daemon run", Hint: "allow: {daemons: true}"}}
	case one.User != "" && one.User != defaultUser && !slices.Contains(d.cfg.Users, one.User):
		return []driver.Fault{{
			Field: "user", Code: driver.Unsupported, Message: "the agent's file lets no daemon run as " + one.User, Hint: "allow: {users: [" + one.User + "]}",
		}}
	case len(one.Ready.Exec) > 0 && !slices.Contains(d.cfg.Exec, one.Ready.Exec[0]):
		return []driver.Fault{{
			Field: "ready.exec", Code: driver.Unsupported, Message: "the agent's file does not let " + one.Ready.Exec[0] + " be run", Hint: "allow: {exec: [" + one.Ready.Exec[0] + "]}",
		}}
	}
	return nil
}

// Observe tells of the processes that were started here.
func (d *Driver) Observe(_ context.Context, q observed.Query) (observed.State, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.load(); err != nil {
		return observed.State{}, err
	}
	objects := resource.NewSet(len(d.known))
	for _, p := range d.known {
		d.follow(p, q.Want)
		d.look(p)
		d.rotate(p.Daemon)
		one := p.Daemon
		one.Seen = p.seen()
		if q.All {
			one.Seen.Memory = d.groups.used(p.group())
		}
		objects.Put(resource.Object{Resource: one, Owner: resource.Ours})
	}
	return observed.State{Objects: objects}, nil
}

// follow takes over what a process needs not be started again for: how it is
// asked whether it is ready, stopped, and started the next time.
func (d *Driver) follow(p *process, want *resource.Set) {
	o, ok := want.Get(p.Daemon.Key())
	if !ok || d.cfg.ReadOnly {
		return
	}
	next, ok := o.Resource.(resource.Daemon)
	next.Files, next.Seen = p.Daemon.Files, p.Daemon.Seen
	if !ok || reflect.DeepEqual(next, p.Daemon) {
		return
	}
	p.Daemon = next
	d.keepRecord(p)
}

// Apply takes one step with each process.
func (d *Driver) Apply(ctx context.Context, ops []diff.Op) []error {
	d.mu.Lock()
	defer d.mu.Unlock()
	errs := make([]error, len(ops))
	err := d.load()
	if d.cfg.ReadOnly {
		err = errReadOnly
	}
	for i, op := range ops {
		if errs[i] = errors.Join(err, ctx.Err()); errs[i] == nil {
			errs[i] = d.apply(op)
		}
	}
	d.stir()
	return errs
}

var errReadOnly = errors.New("the driver of processes only looks")

func (d *Driver) apply(op diff.Op) error {
	if op.Verb == diff.Delete {
		return d.end(op.From.(resource.Daemon))
	}
	to := op.To.(resource.Daemon)
	for _, f := range d.Check(to) {
		return errors.New(f.Message) // it may have been wanted before the agent's file was read anew
	}
	p := d.known[fileOf(to)]
	if p != nil {
		d.look(p)
	}
	switch {
	case p == nil || p.State == resource.DaemonExited:
		return d.start(to, p)
	case p.State == resource.DaemonRunning:
		return d.refresh(p, to)
	}
	return errors.New("it is about to end")
}

// end asks a process to end, kills one that was asked, or forgets one that
// ended.
func (d *Driver) end(one resource.Daemon) error {
	p := d.known[fileOf(one)]
	if p == nil {
		return nil
	}
	d.look(p)
	switch p.State {
	case resource.DaemonRunning:
		p.State, p.Kill = resource.DaemonStopping, clock.Boottime()+max(one.StopAfter, 0)
		if err := d.write(p); err != nil {
			return err
		}
		d.point("stop-recorded")
		return p.signal(signalOf(one.Stop, unix.SIGTERM))
	case resource.DaemonStopping:
		if clock.Boottime() < p.Kill { // perhaps it was recorded and not told
			return p.signal(signalOf(one.Stop, unix.SIGTERM))
		}
		return d.kill(p)
	case resource.DaemonExited:
	}
	return d.forget(p)
}

// grouped tells whether a process has a cgroup.
func (d *Driver) grouped(p *process) bool { return len(d.groups.procs(p.group())) > 0 }

// kill ends a process at once, with all that is in its cgroup, or where there is
// none in the session that it leads.
func (d *Driver) kill(p *process) error {
	if p.pidfd >= 0 && !d.grouped(p) {
		_ = unix.Kill(-p.PID, unix.SIGKILL) // it was there just now
	}
	return errors.Join(p.signal(unix.SIGKILL), d.groups.kill(p.group()))
}

// forget removes all that there was of a process that ended.
func (d *Driver) forget(p *process) error {
	err := errors.Join(d.groups.kill(p.group()), d.groups.remove(p.group()))
	if err == nil {
		err = errors.Join(os.RemoveAll(d.filesOf(p.Daemon)), os.Remove(d.path(p.file)))
	}
	if err != nil {
		return fmt.Errorf("forget %s: %w", p.Daemon.Instance(), err)
	}
	p.close()
	delete(d.known, p.file)
	d.dropSockets()
	return nil
}

// dropSockets closes listeners that no process has.
func (d *Driver) dropSockets() {
	for s, fd := range d.sockets {
		used := false
		for _, p := range d.known {
			used = used || slices.Contains(p.Daemon.Sockets, s)
		}
		if used {
			continue
		}
		unix.Close(fd)
		delete(d.sockets, s)
		if s.Network == "unix" {
			_ = os.Remove(s.Address) // nobody listens there any more
		}
	}
}

// refresh gives a process that runs its files anew, and tells it.
func (d *Driver) refresh(p *process, to resource.Daemon) error {
	if err := d.writeFiles(to); err != nil {
		return err
	}
	p.Daemon.Files = to.Files
	if err := d.write(p); err != nil {
		return err
	}
	if to.Reload == "" {
		return nil
	}
	return p.signal(signalOf(to.Reload, unix.SIGHUP))
}

func signalOf(name string, otherwise unix.Signal) unix.Signal {
	if s := unix.SignalNum("SIG" + name); s != 0 {
		return s
	}
	return otherwise
}

func (d *Driver) dir() string { return filepath.Join(d.cfg.State, "daemons") }

func (d *Driver) path(name string) string { return filepath.Join(d.dir(), name) }

func (d *Driver) point(name string) {
	if d.cfg.At != nil {
		d.cfg.At(name)
	}
}

// stir lets the watch look at another set of processes.
func (d *Driver) stir() {
	_, _ = d.wake.Write([]byte{1, 0, 0, 0, 0, 0, 0, 0}) // full is stirred already
}
