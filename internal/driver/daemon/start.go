package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"reconciler/internal/clock"
	"reconciler/internal/driver/bpffs"
	"reconciler/internal/resource"
	"reconciler/internal/shim"
)

// start starts a process, or one that ended again.
func (d *Driver) start(one resource.Daemon, p *process) error {
	if err := d.tryStart(one, p); err != nil {
		return fmt.Errorf("start %s: %w", one.Instance(), err)
	}
	return nil
}

func (d *Driver) tryStart(one resource.Daemon, p *process) error {
	spec, err := d.spec(one)
	if err != nil {
		return err
	}
	listeners, err := d.listeners(one)
	if err != nil {
		return err
	}
	fresh := &process{file: fileOf(one), pidfd: -1}
	if p != nil {
		fresh.Starts = p.Starts
		p.close()
	}
	fresh.Starts = restarts(fresh.Starts, windowOf(one), clock.Boottime())
	one.Seen = resource.DaemonSeen{}
	fresh.Daemon, fresh.Boot, fresh.State = one, bootID(), resource.DaemonRunning
	if err := d.groups.prepare(fresh.group(), one); err != nil {
		d.cfg.Log.Warn("a process is not limited", "daemon", one.Instance(), "err", err)
		fresh.Note = "it is not limited: " + err.Error()
	}
	if err := d.hear(fresh, &spec); err != nil {
		return err
	}
	if err := errors.Join(d.write(fresh), d.writeFiles(one)); err != nil {
		fresh.close()
		return err
	}
	d.point("start-recorded")
	d.known[fresh.file] = fresh
	spec.Procs = d.groups.procs(fresh.group())
	err = d.spawn(fresh, spec, listeners)
	d.starts[instance{one.Name, one.Link}]++
	d.point("start-forked")
	if err != nil {
		fresh.ended(err.Error(), true)
		d.stopGroup(fresh)
		err = errors.Join(err, d.write(fresh))
	}
	return err
}

func windowOf(one resource.Daemon) time.Duration {
	if one.Restart.Window > 0 {
		return one.Restart.Window
	}
	return time.Minute
}

// spec is what a process is to be.
func (d *Driver) spec(one resource.Daemon) (shim.Spec, error) {
	s, err := shim.As(cmp.Or(one.User, defaultUser))
	if err != nil {
		return s, err
	}
	s.Argv, s.Dir, s.Listeners = filled(one.Argv, one.Link), d.filesOf(one), len(one.Sockets)
	for _, e := range one.Env {
		s.Env = append(s.Env, e.Name+"="+e.Text)
	}
	var names []string
	for i := range one.Sockets {
		names = append(names, fmt.Sprintf("socket%d", i))
	}
	if len(names) > 0 {
		s.Env = append(s.Env, "LISTEN_FDNAMES="+strings.Join(names, ":"))
	}
	return s, nil
}

// filled is a command with the kernel's name of the interface, which is known
// only now.
func filled(argv []string, link string) []string {
	words := strings.NewReplacer("{interface}", link, pinnedLink, bpffs.Escape(link))
	out := make([]string, len(argv))
	for i, a := range argv {
		out[i] = words.Replace(a)
	}
	return out
}

// spawn starts a process, and writes it down before it is what it is to be.
func (d *Driver) spawn(p *process, s shim.Spec, listeners []int) error {
	log, err := d.openLog(p.Daemon)
	if err != nil {
		return err
	}
	defer log.Close()
	return s.Start(int(log.Fd()), listeners, func(pid, pidfd int) (err error) {
		p.PID, p.pidfd = pid, pidfd
		if p.Ticks, err = startTicks(pid); err == nil {
			err = d.write(p)
		}
		d.point("start-held")
		return err
	})
}

// probeExec runs a program as the process's user, among its processes, and wants
// it to exit with 0.
func (d *Driver) probeExec(ctx context.Context, one resource.Daemon) error {
	s, err := d.spec(one)
	if err != nil {
		return err
	}
	s.Argv = filled(one.Ready.Exec, one.Link)
	s.Procs = d.groups.procs((&process{file: fileOf(one)}).group())
	return s.Run(ctx, nil)
}

func (d *Driver) filesOf(one resource.Daemon) string {
	return filepath.Join(d.dir(), strings.TrimSuffix(fileOf(one), recordSuffix)+".d")
}

// writeFiles writes the files beside a process, for its user alone.
func (d *Driver) writeFiles(one resource.Daemon) error {
	dir := d.filesOf(one)
	s, err := d.spec(one)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return err
	}
	if err := errors.Join(os.Chmod(d.dir(), 0o711), os.Chmod(dir, 0o711)); err != nil {
		return err
	}
	want := make(map[string]bool)
	for _, f := range one.Files {
		want[f.Name] = true
		if err := writeOwned(filepath.Join(dir, f.Name), []byte(f.Text), s.UID, s.GID); err != nil {
			return err
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !want[e.Name()] {
			err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
		}
	}
	return err
}

// writeOwned puts a file in the place of another in one step.
func writeOwned(path string, content []byte, uid, gid int) error {
	tmp := path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err := errors.Join(err, f.Chmod(0o600), f.Chown(uid, gid), f.Close()); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}
