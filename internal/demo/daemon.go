package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// daemon is `reconciler run` as a child process, and the commands that talk to
// it.
type daemon struct {
	binary string
	edge   namespace
	config string // its agent.yaml
	socket string
	state  string
	log    string
	pids   string // its pid file

	cmd    *exec.Cmd
	exited chan error
}

func newDaemon(binary, dir string, edge namespace) *daemon {
	return &daemon{
		binary: binary, edge: edge,
		config: filepath.Join(dir, "agent.yaml"),
		socket: filepath.Join(dir, "reconciler.sock"),
		state:  filepath.Join(dir, "state"),
		log:    filepath.Join(dir, "daemon.log"),
		pids:   filepath.Join(dir, "daemon.pid"),
	}
}

// start runs the daemon on a repository.
func (d *daemon) start(git string) error {
	log, err := os.OpenFile(d.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	// Its output goes to a file: it must outlive us, and a pipe would not.
	cmd := exec.Command(d.binary, "run", "--git", git, "--ref", "main", "--netns", string(d.edge),
		"--agent-config", d.config, "--state-dir", d.state, "--socket", d.socket,
		"--poll", "1s", "--metrics", "127.0.0.1:0", "--pid-file", d.pids)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for us to pass on
	if err := cmd.Start(); err != nil {
		return err
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	d.cmd, d.exited = cmd, exited
	return nil
}

// kill is kill -9.
func (d *daemon) kill() error {
	if d.cmd == nil {
		return errors.New("kill the daemon: it does not run")
	}
	err := d.cmd.Process.Kill()
	<-d.exited
	d.cmd = nil
	return err
}

const stopTime = 5 * time.Second

// pid is the process that keeps the edge: the one that was started, or one that
// it has handed over to. 0 where nobody knows.
func (d *daemon) pid() int {
	text, err := os.ReadFile(d.pids)
	if err != nil {
		return 0
	}
	pid, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	return pid
}

// stop ends the daemon in its orderly way; a daemon that does not run is no
// error.
func (d *daemon) stop() error {
	if d.cmd == nil {
		return nil
	}
	pid := d.pid()
	if pid == 0 || pid == d.cmd.Process.Pid {
		return d.stopChild()
	}
	for end := time.Now().Add(stopTime); ; time.Sleep(10 * time.Millisecond) {
		switch err := syscall.Kill(pid, syscall.SIGTERM); {
		case errors.Is(err, syscall.ESRCH):
			return d.stopChild()
		case err != nil:
			return err
		case time.Now().After(end):
			return errors.Join(fmt.Errorf("stop the daemon: not within %s", stopTime), syscall.Kill(pid, syscall.SIGKILL))
		}
	}
}

func (d *daemon) stopChild() error {
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-d.exited:
		d.cmd = nil
		return nil
	case <-time.After(stopTime):
		return errors.Join(fmt.Errorf("stop the daemon: not within %s", stopTime), d.kill())
	}
}

// lastWords are the end of the daemon's log, for people.
func (d *daemon) lastWords() []string {
	const most = 15
	content, err := os.ReadFile(d.log)
	if err != nil {
		return nil
	}
	all := lines(string(content))
	all = all[max(0, len(all)-most):]
	for i, l := range all {
		var entry struct{ Level, Msg, Err, Error string }
		if json.Unmarshal([]byte(l), &entry) == nil {
			all[i] = strings.TrimSpace(strings.Join([]string{entry.Level, entry.Msg, entry.Err, entry.Error}, " "))
		}
	}
	return all
}

// ask runs a command that the daemon answers.
func (d *daemon) ask(ctx context.Context, args ...string) (string, error) {
	return command(ctx, d.binary, append(args, "--socket", d.socket)...)
}

// plan is `reconciler diff` of a directory against the edge. Changes are no
// error.
func (d *daemon) plan(ctx context.Context, dir string) (string, error) {
	out, err := command(ctx, d.binary, "diff", dir, "--netns", string(d.edge),
		"--agent-config", d.config, "--state-dir", d.state, "--socket", d.socket)
	if s := status(err); s != 0 && s != 1 {
		return out, err
	}
	return out, nil
}

// report is what the demo reads of `reconciler status -o json`.
type report struct {
	InSync     bool `json:"in-sync"`
	Conditions []struct {
		Type, Message string
		Raised        bool
	}
	Applied  struct{ Revision string }
	LastPass struct{ Ops operations } `json:"last-pass"`
}

type operations struct{ Create, Update, Replace, Delete int }

func (o operations) total() int { return o.Create + o.Update + o.Replace + o.Delete }

func (r report) raised(condition string) (message string, ok bool) {
	for _, c := range r.Conditions {
		if c.Type == condition && c.Raised {
			return c.Message, true
		}
	}
	return "", false
}

func (d *daemon) status(ctx context.Context) (report, error) {
	out, err := d.ask(ctx, "status", "-o", "json")
	if s := status(err); s != 0 && s != 1 {
		return report{}, err
	}
	var r report
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		return r, fmt.Errorf("read status: %w", err)
	}
	return r, nil
}

// live waits until a commit is applied and the edge in sync, as a pipeline
// would, and returns how long that took.
func (d *daemon) live(ctx context.Context, commit string) (time.Duration, error) {
	start := time.Now()
	_, err := d.ask(ctx, "status", "--wait", "--revision", commit, "--timeout", patience.String())
	return time.Since(start), err
}

// until polls the status until a condition holds.
func (d *daemon) until(ctx context.Context, what string, holds func(report) bool) (report, time.Duration, error) {
	start := time.Now()
	for {
		r, err := d.status(ctx)
		took := time.Since(start)
		switch {
		case err == nil && holds(r):
			return r, took, nil
		case ctx.Err() != nil:
			return r, took, context.Cause(ctx)
		case took > patience:
			return r, took, errors.Join(fmt.Errorf("%s: not within %s", what, patience), err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// seat is what the demo reads of `reconciler get pools -o json`.
type seat struct {
	Backend   string // name, address and encapsulation
	State     string
	Effective int
}

// seats waits until the backends of the VIP are as they are wanted, and returns
// how long that took.
func (d *daemon) seats(ctx context.Context, what string, holds func(name string, s seat) bool) (time.Duration, error) {
	start := time.Now()
	for {
		out, err := d.ask(ctx, "get", "pools", "-o", "json")
		var vips []struct{ Seats []seat }
		if err == nil {
			err = json.Unmarshal([]byte(out), &vips)
		}
		took := time.Since(start)
		switch {
		case err == nil && len(vips) == 1 && !slices.ContainsFunc(vips[0].Seats, func(s seat) bool {
			name, _, _ := strings.Cut(s.Backend, "/")
			return !holds(name, s)
		}):
			return took, nil
		case ctx.Err() != nil:
			return took, context.Cause(ctx)
		case took > patience:
			return took, errors.Join(fmt.Errorf("%s: not within %s: %s", what, patience, out), err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// lines splits text without its trailing line break.
func lines(text string) []string {
	text = strings.TrimRight(text, "\n")
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}
