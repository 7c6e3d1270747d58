package daemon

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"reconciler/internal/driver/bpffs"
	"reconciler/internal/resource"
)

// shimPatience is how long a process may take to become what it is to be.
const shimPatience = 5 * time.Second

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
	fresh.Starts = restarts(fresh.Starts, windowOf(one), bootTime())
	one.Seen = resource.DaemonSeen{}
	fresh.Daemon, fresh.Boot, fresh.State = one, bootID(), resource.DaemonRunning
	if err := d.groups.prepare(fresh.group(), one); err != nil {
		d.cfg.Log.Warn("a process is not limited", "daemon", one.Instance(), "err", err)
		fresh.Note = "it is not limited: " + err.Error()
	}
	if err := d.hear(fresh, spec); err != nil {
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

// spec is what the shim is to make of itself.
func (d *Driver) spec(one resource.Daemon) (*spec, error) {
	name := one.User
	if name == "" {
		name = defaultUser
	}
	u, err := user.Lookup(name)
	if err != nil {
		return nil, err
	}
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	s := &spec{
		Argv: filled(one.Argv, one.Link), UID: uid, GID: gid, Dir: d.filesOf(one), Listeners: len(one.Sockets),
		Env: []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=" + u.HomeDir, "USER=" + name, "LANG=C.UTF-8"},
	}
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

// spawn starts the shim and waits until it has become the process, or says why
// it could not.
func (d *Driver) spawn(p *process, s *spec, listeners []int) error {
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	in, given, err := os.Pipe()
	if err != nil {
		return err
	}
	said, out, err := os.Pipe()
	if err != nil {
		return errors.Join(err, in.Close(), given.Close())
	}
	defer said.Close()
	log, err := d.openLog(p.Daemon)
	if err != nil {
		return errors.Join(err, in.Close(), given.Close(), out.Close())
	}
	files := []uintptr{in.Fd(), log.Fd(), log.Fd()}
	for _, fd := range listeners {
		files = append(files, uintptr(fd))
	}
	files = append(files, out.Fd())
	pidfd := -1
	pid, err := syscall.ForkExec(ownProgram, d.cfg.Shim, &syscall.ProcAttr{
		Dir: "/", Env: []string{"PATH=/usr/bin:/bin"}, Files: files, Sys: &syscall.SysProcAttr{Setsid: true, PidFD: &pidfd},
	})
	closed := errors.Join(in.Close(), out.Close(), log.Close())
	if err != nil {
		return errors.Join(err, closed, given.Close())
	}
	p.PID, p.pidfd = pid, pidfd
	if pidfd < 0 {
		if p.pidfd, err = unix.PidfdOpen(pid, 0); err != nil {
			return errors.Join(err, given.Close())
		}
	}
	if p.Ticks, err = startTicks(pid); err != nil {
		return errors.Join(err, given.Close())
	}
	// Before it is told what to become: until then it ends with this program.
	if err := d.write(p); err != nil {
		return errors.Join(err, given.Close())
	}
	d.point("start-held")
	_, err = given.Write(text)
	if err := errors.Join(err, given.Close()); err != nil && !errors.Is(err, syscall.EPIPE) {
		return err
	}
	return became(said)
}

// became waits for the end of what the shim says: nothing, as its end closes
// with its exec, or why there is none.
func became(said *os.File) error {
	if err := said.SetReadDeadline(time.Now().Add(shimPatience)); err != nil {
		return err
	}
	text, err := io.ReadAll(io.LimitReader(said, 4096))
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("it is not there after %s", shimPatience)
	case err != nil:
		return err
	case len(text) > 0:
		return errors.New(string(text))
	}
	return nil
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
