package release

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"reconciler/internal/resource"
)

// What a preflight may use.
const (
	preflightOutput = 64 << 10 // bytes
	preflightCPU    = 30       // seconds
	preflightFiles  = 256
	preflightSize   = 16 << 20 // bytes of a file
	preflightGrace  = time.Second
)

// preflight has a version print what it is and check its configuration, in a
// child that has few rights and little of everything.
func preflight(ctx context.Context, tree string, r resource.Release) error {
	if len(r.Preflight.Version) == 0 && len(r.Preflight.Check) == 0 {
		return nil
	}
	program := filepath.Join(tree, r.Command)
	if info, err := os.Stat(program); err != nil || !info.Mode().IsRegular() {
		return fmt.Errorf("there is no %s in the archive", r.Command)
	}
	run := func(args []string) ([]byte, error) {
		words := make([]string, len(args))
		for i, a := range args {
			words[i] = strings.ReplaceAll(a, "{dir}", tree)
		}
		return child{program: program, args: words, dir: tree, timeout: r.Preflight.Timeout}.run(ctx)
	}
	if len(r.Preflight.Version) > 0 {
		out, err := run(r.Preflight.Version)
		if err != nil {
			return fmt.Errorf("ask for its version: %w", err)
		}
		if !names(string(out), r.Version) {
			return fmt.Errorf("it says that it is %.100q, and not version %s", strings.TrimSpace(string(out)), r.Version)
		}
	}
	if len(r.Preflight.Check) > 0 {
		if out, err := run(r.Preflight.Check); err != nil {
			return fmt.Errorf("check its configuration: %w: %.200q", err, strings.TrimSpace(string(out)))
		}
	}
	return nil
}

// names reports that a text has the version as a word, with or without its v.
func names(text, version string) bool {
	for _, word := range strings.FieldsFunc(text, func(c rune) bool { return strings.ContainsRune(" \t\r\n,;()\"'/", c) }) {
		if strings.TrimPrefix(word, "v") == strings.TrimPrefix(version, "v") {
			return true
		}
	}
	return false
}

// child is a program that is run for what it says.
type child struct {
	program string
	args    []string
	dir     string
	timeout time.Duration
}

func (c child) run(ctx context.Context) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	out := &limited{left: preflightOutput}
	cmd := exec.CommandContext(ctx, c.program, c.args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = c.dir, out, out
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/nonexistent", "LANG=C.UTF-8"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = preflightGrace
	if os.Geteuid() == 0 {
		id, err := nobody()
		if err != nil {
			return nil, err
		}
		cmd.SysProcAttr.Credential = id
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	limitChild(cmd.Process.Pid)
	err := cmd.Wait()
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // what it left running
	switch {
	case errors.Is(err, exec.ErrWaitDelay) && cmd.ProcessState.Success():
		err = nil // it left one that had its output
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		err = fmt.Errorf("not done within %s", c.timeout)
	}
	return out.kept.Bytes(), err
}

// limitChild bounds a child. It is a moment late, and what it could do in that
// moment the timeout bounds too.
func limitChild(pid int) {
	for limit, most := range map[int]uint64{
		unix.RLIMIT_CPU: preflightCPU, unix.RLIMIT_NOFILE: preflightFiles, unix.RLIMIT_FSIZE: preflightSize, unix.RLIMIT_CORE: 0,
	} {
		_ = unix.Prlimit(pid, limit, &unix.Rlimit{Cur: most, Max: most}, nil) // it ended already if this fails
	}
}

func nobody() (*syscall.Credential, error) {
	u, err := user.Lookup("nobody")
	if err != nil {
		return nil, fmt.Errorf("find an unprivileged user: %w", err)
	}
	uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, errors.Join(err1, err2)
}

// limited keeps the first bytes of what is written.
type limited struct {
	kept bytes.Buffer // not embedded: its ReadFrom knows no bound
	left int
}

func (l *limited) Write(p []byte) (int, error) {
	n := min(len(p), l.left)
	l.left -= n
	l.kept.Write(p[:n])
	return len(p), nil
}
