package daemon

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// spec is what a shim makes of itself. It comes through a pipe: what is in a
// command line or in an environment others can read.
type spec struct {
	Argv      []string `json:"argv"`
	Env       []string `json:"env"`
	Dir       string   `json:"dir"`
	UID       int      `json:"uid"`
	GID       int      `json:"gid"`
	Procs     []string `json:"procs"` // the files that move a process into its cgroups
	Listeners int      `json:"listeners"`
}

// maxSpec bounds what is read of it, in bytes.
const maxSpec = 64 << 20

// firstListener is where listeners begin, as sd_listen_fds(3) has it.
const firstListener = 3

// Exec makes the program the process that it reads of from descriptor 0: in its
// cgroups, with its rights and its listeners, and nothing else of what it has.
// It returns only if that fails, after it has told so on the descriptor behind
// the listeners.
func Exec() error {
	runtime.LockOSThread() // what is set of a thread must be so of the one that executes
	text, err := io.ReadAll(io.LimitReader(os.Stdin, maxSpec))
	var s spec
	if err == nil {
		err = json.Unmarshal(text, &s)
	}
	if err != nil {
		return fmt.Errorf("read what is to be executed: %w", err)
	}
	told := firstListener + s.Listeners
	unix.CloseOnExec(told)
	// What is handled goes back to its default with the exec; what whoever started
	// reconciler had ignored would stay so.
	signal.Notify(make(chan os.Signal, 1))
	err = s.become(told)
	_, _ = unix.Write(told, []byte(err.Error())) // who asked is gone if this fails
	return err
}

func (s spec) become(told int) error {
	for _, path := range s.Procs {
		if err := os.WriteFile(path, []byte("0"), 0o600); err != nil {
			return fmt.Errorf("enter its cgroup: %w", err)
		}
	}
	unix.Umask(0o022)
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte(oomScore), 0o644) // where memory runs out, it goes before others
	if err := s.descriptors(told); err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("give up new privileges: %w", err)
	}
	// The way there is closed to its user; the directory itself is not.
	if err := os.Chdir(s.Dir); err != nil {
		return err
	}
	program, opened := unix.Open(s.Argv[0], unix.O_PATH|unix.O_CLOEXEC, 0)
	if err := s.drop(); err != nil {
		return err
	}
	env := s.Env
	if s.Listeners > 0 {
		env = append(env, "LISTEN_FDS="+strconv.Itoa(s.Listeners), "LISTEN_PID="+strconv.Itoa(os.Getpid()))
	}
	err := syscall.Exec(s.Argv[0], s.Argv, env)
	if errors.Is(err, unix.EACCES) && opened == nil {
		// The way there is closed to its user, as into the cache of artifacts;
		// whether the user may execute it, the file itself says.
		err = syscall.Exec("/proc/self/fd/"+strconv.Itoa(program), s.Argv, env)
	}
	if err != nil {
		return fmt.Errorf("execute %s: %w", s.Argv[0], err)
	}
	return errors.New("executed, and still here")
}

// descriptors leaves it standard input from nowhere, its output, and its
// listeners.
func (s spec) descriptors(told int) error {
	null, err := unix.Open("/dev/null", unix.O_RDONLY, 0)
	if err != nil {
		return err
	}
	if err := unix.Dup3(null, 0, 0); err != nil {
		return err
	}
	for fd := range told {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0); err != nil {
			return fmt.Errorf("descriptor %d: %w", fd, err)
		}
	}
	return unix.CloseRange(uint(told), ^uint(0), unix.CLOSE_RANGE_CLOEXEC)
}

// oomScore is between what nobody set and what goes first, 1000.
const oomScore = "200"

// drop takes away what its user has no right to. As root nothing is to be
// dropped but the groups.
func (s spec) drop() error {
	for c := uintptr(0); s.UID != 0 && c <= unix.CAP_LAST_CAP; c++ {
		// Where that is not allowed, new privileges are given up all the same.
		_ = unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0)
	}
	if err := syscall.Setgroups(nil); err != nil {
		return fmt.Errorf("leave all groups: %w", err)
	}
	if err := syscall.Setgid(s.GID); err != nil {
		return fmt.Errorf("become group %d: %w", s.GID, err)
	}
	if err := syscall.Setuid(s.UID); err != nil {
		return fmt.Errorf("become user %d: %w", s.UID, err)
	}
	return nil
}
