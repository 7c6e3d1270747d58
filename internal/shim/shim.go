// Package shim has this program become another one, with the rights of another
// user and no more than that: a daemon, the question whether it is ready, a
// version that is to say what it is. Rights are given up by the process itself
// before it executes anything, so there is no moment at which a stranger's program
// has ours. It imports none of our packages.
package shim

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"os/user"
	"runtime"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// Command is the hidden command of the program that becomes another one.
const Command = "become"

// Spec is what a process makes of itself. It comes through a pipe: what is in a
// command line or in an environment others can read.
type Spec struct {
	Argv      []string `json:"argv"` // Argv[0] is a path
	Env       []string `json:"env"`
	Dir       string   `json:"dir"`
	UID       int      `json:"uid"`
	GID       int      `json:"gid"`
	Procs     []string `json:"procs"`     // the files that move a process into its cgroups
	Listeners int      `json:"listeners"` // how many it is handed, as sd_listen_fds(3) has it
	Limits    []Limit  `json:"limits"`
	// Dies says that it ends with the thread that started it, see
	// PR_SET_PDEATHSIG of prctl(2); Run sets it.
	Dies bool `json:"dies"`
}

// Limit is a bound of a resource that nobody can raise again, see setrlimit(2).
type Limit struct {
	Resource int    `json:"resource"` // RLIMIT_…
	Most     uint64 `json:"most"`
}

// As is a Spec with the rights and the environment of a user.
func As(name string) (Spec, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return Spec{}, err
	}
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	return Spec{
		UID: uid, GID: gid,
		Env: []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=" + u.HomeDir, "USER=" + name, "LANG=C.UTF-8"},
	}, errors.Join(err1, err2)
}

// maxSpec bounds what is read of it, in bytes.
const maxSpec = 64 << 20

// FirstListener is the descriptor where listeners begin, as sd_listen_fds(3) has it.
const FirstListener = 3

// Exec makes the program the process that it reads of from descriptor 0: in its
// cgroups, with its rights and its listeners, and nothing else of what it has.
// It returns only if that fails, after it has told so on the descriptor behind
// the listeners.
func Exec() error {
	runtime.LockOSThread() // what is set of a thread must be so of the one that executes
	text, err := io.ReadAll(io.LimitReader(os.Stdin, maxSpec))
	var s Spec
	if err == nil {
		err = json.Unmarshal(text, &s)
	}
	if err != nil {
		return fmt.Errorf("read what is to be executed: %w", err)
	}
	told := FirstListener + s.Listeners
	unix.CloseOnExec(told)
	// What is handled goes back to its default with the exec; what whoever started
	// reconciler had ignored would stay so.
	signal.Notify(make(chan os.Signal, 1))
	err = s.become(told)
	_, _ = unix.Write(told, []byte(err.Error())) // who asked is gone if this fails
	return err
}

func (s Spec) become(told int) error {
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
	if err := s.limit(); err != nil {
		return err
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
func (s Spec) descriptors(told int) error {
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

// limit comes last: what is left to do needs little.
func (s Spec) limit() error {
	for _, l := range s.Limits {
		if err := unix.Setrlimit(l.Resource, &unix.Rlimit{Cur: l.Most, Max: l.Most}); err != nil {
			return fmt.Errorf("limit resource %d to %d: %w", l.Resource, l.Most, err)
		}
	}
	return nil
}

// oomScore is between what nobody set and what goes first, 1000.
const oomScore = "200"

// drop takes away what its user has no right to. For root nothing is to be
// dropped but the groups, and who is not root has nothing to drop.
func (s Spec) drop() error {
	for c := uintptr(0); s.UID != 0 && c <= unix.CAP_LAST_CAP; c++ {
		// Where that is not allowed, new privileges are given up all the same.
		_ = unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0)
	}
	if os.Geteuid() == 0 {
		if err := syscall.Setgroups(nil); err != nil {
			return fmt.Errorf("leave all groups: %w", err)
		}
	}
	if err := syscall.Setgid(s.GID); err != nil {
		return fmt.Errorf("become group %d: %w", s.GID, err)
	}
	if err := syscall.Setuid(s.UID); err != nil {
		return fmt.Errorf("become user %d: %w", s.UID, err)
	}
	if !s.Dies {
		return nil
	}
	return unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0) // a change of user would clear it
}
