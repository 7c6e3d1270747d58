package shim

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ownProgram is this program, wherever it was moved to.
const ownProgram = "/proc/self/exe"

// patience is how long a process may take to become what it is to be.
const patience = 5 * time.Second

// grace is how long the output of one that ended is waited for, where it left
// others that have it.
const grace = time.Second

func ownArgs() []string { return []string{os.Args[0], Command} }

// All that a shim needs of its own.
func ownEnv() []string { return []string{"PATH=/usr/bin:/bin"} }

// Start starts a process that outlives this one, with its output and listeners,
// in a session of its own. held is told of it, and of a pidfd that is the caller's
// then, before it is told what to become: until then it ends with this program.
// Start returns once it is what it is to be.
func (s Spec) Start(out int, listeners []int, held func(pid, pidfd int) error) error {
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	in, given, err := os.Pipe()
	if err != nil {
		return err
	}
	defer given.Close()
	said, told, err := os.Pipe()
	if err != nil {
		return errors.Join(err, in.Close())
	}
	defer said.Close()
	files := []uintptr{in.Fd(), uintptr(out), uintptr(out)}
	for _, fd := range listeners {
		files = append(files, uintptr(fd))
	}
	files = append(files, told.Fd())
	pidfd := -1
	pid, err := syscall.ForkExec(ownProgram, ownArgs(), &syscall.ProcAttr{
		Dir: "/", Env: ownEnv(), Files: files, Sys: &syscall.SysProcAttr{Setsid: true, PidFD: &pidfd},
	})
	if err := errors.Join(err, in.Close(), told.Close()); err != nil {
		return err
	}
	if pidfd < 0 {
		if pidfd, err = unix.PidfdOpen(pid, 0); err != nil {
			return err
		}
	}
	if err := held(pid, pidfd); err != nil {
		return err
	}
	_, err = given.Write(text)
	if err := errors.Join(err, given.Close()); err != nil && !errors.Is(err, syscall.EPIPE) {
		return err
	}
	return became(said)
}

// became waits for the end of what the shim says: nothing, as its end closes
// with its exec, or why there is none.
func became(said *os.File) error {
	if err := said.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	text, err := io.ReadAll(io.LimitReader(said, 4096))
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("it is not there after %s", patience)
	case err != nil:
		return err
	case len(text) > 0:
		return errors.New(string(text))
	}
	return nil
}

// Run runs a process to its end, or to that of the context, and wants it to exit
// with 0. What it writes goes to out; nil: nowhere. What it left running in its
// session ends with it.
func (s Spec) Run(ctx context.Context, out io.Writer) error {
	s.Listeners, s.Dies = 0, true
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	said, told, err := os.Pipe()
	if err != nil {
		return err
	}
	defer said.Close()
	cmd := exec.CommandContext(ctx, ownProgram)
	cmd.Args, cmd.Dir, cmd.Env = ownArgs(), "/", ownEnv()
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = bytes.NewReader(text), out, out, []*os.File{told}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	kill := func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
	cmd.Cancel, cmd.WaitDelay = kill, grace
	err = cmd.Start()
	if err := errors.Join(err, told.Close()); err != nil {
		return err
	}
	failed := became(said)
	if failed != nil {
		_ = kill() // it ended if this fails
	}
	err = cmd.Wait()
	_ = kill() // nothing is left if this fails
	switch {
	case errors.Is(err, exec.ErrWaitDelay) && cmd.ProcessState.Success():
		return nil // it left one that had its output
	case ctx.Err() != nil && err != nil:
		return ctx.Err()
	case failed != nil:
		return failed
	}
	return err
}
