package daemon

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"reconciler/internal/clock"
	"reconciler/internal/resource"
)

// process is a record, and what this program holds of what it is about.
type process struct {
	record
	file  string
	stamp stamp     // of the file, as it was read or written last
	pidfd int       // -1: it does not run
	asked bool      // a probe is under way
	hears *notifier // of a process that says itself when it is ready
}

func (p *process) close() {
	if p.pidfd >= 0 {
		unix.Close(p.pidfd)
		p.pidfd = -1
	}
	if p.hears != nil {
		p.hears.close()
		p.hears = nil
	}
}

// group is its cgroup within those of this namespace.
func (p *process) group() string { return strings.TrimSuffix(p.file, recordSuffix) }

// seen is what a look at it tells.
func (p *process) seen() resource.DaemonSeen {
	s := resource.DaemonSeen{
		State: p.State, PID: p.PID, Ready: p.Ready, Ended: p.Ended, Kill: p.Kill, Reason: p.Reason, Failed: p.Failed,
	}
	if n := len(p.Starts); n > 0 {
		s.Started, s.Restarts = p.Starts[n-1], uint32(n-1)
	}
	if p.State == resource.DaemonExited {
		s.PID, s.Ready = 0, 0
	} else {
		s.Reason = p.Note
	}
	return s
}

// signal sends a signal to it and nobody else; one that is gone needs none.
func (p *process) signal(s unix.Signal) error {
	if p.pidfd < 0 {
		return nil
	}
	if err := unix.PidfdSendSignal(p.pidfd, s, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("send %s to process %d: %w", unix.SignalName(s), p.PID, err)
	}
	return nil
}

// adopt finds the process of a record that another run of the program wrote. One
// that was about to start then is found by its cgroup, and ended: nobody knows how far it got.
func (d *Driver) adopt(p *process) {
	if p.State == resource.DaemonExited {
		return
	}
	if p.PID != 0 {
		if fd, err := openProcess(p.PID, p.Ticks); err == nil {
			p.pidfd = fd
			d.regain(p)
			d.rehear(p)
			return
		}
	}
	reason := "it ended while nobody looked"
	if p.PID == 0 {
		reason = "reconciler ended while it started"
	}
	if d.cfg.ReadOnly {
		p.ended(reason, true)
		return
	}
	if err := d.groups.kill(p.group()); err != nil {
		d.cfg.Log.Warn("what a process left runs on", "daemon", p.Daemon.Instance(), "err", err)
	}
	p.ended(reason, true)
	if err := d.write(p); err != nil {
		d.cfg.Log.Warn("record of a process", "err", err)
	}
}

func (p *process) ended(reason string, failed bool) {
	p.close()
	p.State, p.Ended, p.Reason, p.Failed = resource.DaemonExited, clock.Boottime(), reason, failed
	p.Ready, p.Kill = 0, 0
}

// openProcess opens a process, if it is the one that started then: numbers are
// used again.
func openProcess(pid int, ticks uint64) (int, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return -1, err
	}
	now, err := startTicks(pid)
	if err != nil || now != ticks {
		unix.Close(fd)
		return -1, errors.Join(err, unix.ESRCH)
	}
	return fd, nil
}

// startTicks is when a process started, in clock ticks since the boot: the 22nd
// field of its stat.
func startTicks(pid int) (uint64, error) {
	stat, err := statOf(pid)
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(stat[22-firstStat], 10, 64)
}

// zombie reports a process that ended and is not yet waited for, or is gone.
func zombie(pid int) bool {
	stat, err := statOf(pid)
	return err != nil || stat[0] == "Z"
}

// firstStat is the first field of proc(5)'s stat that statOf returns. The one
// before it, the name of the process, may hold anything.
const firstStat = 3

func statOf(pid int) ([]string, error) {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return nil, err
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) <= 22-firstStat {
		return nil, errors.New("/proc has another form here")
	}
	return fields, nil
}

// look sees whether a process still runs, and is ready by its age.
func (d *Driver) look(p *process) {
	if p.pidfd < 0 {
		return
	}
	if !d.grouped(p) {
		p.sweep()
	}
	if gone, reason, failed := exited(p.pidfd, p.PID); gone {
		p.ended(reason, failed)
		d.stopGroup(p)
		d.keepRecord(p)
		return
	}
	r := p.Daemon.Ready
	bySelf := r.HTTP != "" || r.TCP != "" || len(r.Exec) > 0 || r.Notify
	if n := len(p.Starts); !bySelf && p.Ready == 0 && n > 0 && clock.Boottime() >= p.Starts[n-1]+r.Timeout {
		p.Ready = clock.Boottime()
		d.keepRecord(p)
	}
}

// sweep ends the session of a process that ended and was not waited for yet:
// until then its number is nobody else's.
func (p *process) sweep() {
	poll := []unix.PollFd{{Fd: int32(p.pidfd), Events: unix.POLLIN}}
	if n, err := unix.Poll(poll, 0); err != nil || n == 0 {
		return
	}
	if ticks, err := startTicks(p.PID); err == nil && ticks == p.Ticks {
		_ = unix.Kill(-p.PID, unix.SIGKILL)
	}
}

// stopGroup ends what a process that ended has left running.
func (d *Driver) stopGroup(p *process) {
	if d.cfg.ReadOnly {
		return
	}
	if err := d.groups.kill(p.group()); err != nil {
		d.cfg.Log.Warn("what a process left runs on", "daemon", p.Daemon.Instance(), "err", err)
	}
}

func (d *Driver) keepRecord(p *process) {
	if err := d.write(p); err != nil {
		d.cfg.Log.Warn("record of a process", "err", err)
	}
}

// exited reports that a process ended, and how. Of one that is no child of this
// program nobody can tell.
func exited(pidfd, pid int) (gone bool, reason string, failed bool) {
	poll := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
	if n, err := unix.Poll(poll, 0); err != nil || n == 0 {
		return false, "", false
	}
	var status unix.WaitStatus
	got, err := unix.Wait4(pid, &status, unix.WNOHANG, nil)
	switch {
	case err != nil || got != pid:
		return true, "how is not known, as another reconciler started it", true
	case status.Signaled():
		return true, "signal: " + unix.SignalName(status.Signal()), true
	}
	return true, fmt.Sprintf("exit status %d", status.ExitStatus()), status.ExitStatus() != 0
}

// restarts are the starts within a window, the new one included.
func restarts(starts []time.Duration, window, now time.Duration) []time.Duration {
	const most = 64
	var out []time.Duration
	for _, s := range starts {
		if window <= 0 || s > now-window {
			out = append(out, s)
		}
	}
	out = append(out, now)
	return out[max(0, len(out)-most):]
}
