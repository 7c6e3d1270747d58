package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"reconciler/internal/resource"
)

// probeExec runs a program as the process's user, in no cgroup of its own, and
// wants it to exit with 0.
func (d *Driver) probeExec(ctx context.Context, one resource.Daemon) error {
	s, err := d.spec(one)
	if err != nil {
		return err
	}
	s.Argv, s.Listeners = filled(one.Ready.Exec, one.Link), 0
	s.Procs = d.groups.procs((&process{file: fileOf(one)}).group())
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	in, given, err := os.Pipe()
	if err != nil {
		return err
	}
	pid, err := syscall.ForkExec(ownProgram, d.cfg.Shim, &syscall.ProcAttr{
		Dir: "/", Env: []string{"PATH=/usr/bin:/bin"}, Files: []uintptr{in.Fd(), null.Fd(), null.Fd(), null.Fd()}, Sys: &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return errors.Join(err, in.Close(), given.Close())
	}
	_, err = given.Write(text)
	err = errors.Join(err, in.Close(), given.Close())
	return errors.Join(err, waitFor(ctx, pid))
}

// waitFor waits for a child until the context ends, and then ends it.
func waitFor(ctx context.Context, pid int) error {
	var status unix.WaitStatus
	for {
		got, err := unix.Wait4(pid, &status, unix.WNOHANG, nil)
		switch {
		case err != nil:
			return err
		case got == pid && status.ExitStatus() == 0:
			return nil
		case got == pid:
			return fmt.Errorf("exit status %d", status.ExitStatus())
		}
		select {
		case <-ctx.Done():
			err := unix.Kill(-pid, unix.SIGKILL)
			_, waited := unix.Wait4(pid, &status, 0, nil)
			return errors.Join(ctx.Err(), err, waited)
		case <-time.After(5 * time.Millisecond):
		}
	}
}
