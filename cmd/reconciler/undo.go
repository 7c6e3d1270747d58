package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"reconciler/internal/apply"
	"reconciler/internal/state"
)

// Files of a confirmed apply, in the state directory. Exactly one of a
// confirmation (which removes the pending record) and a revert (which renames
// it) wins, as both are one call of the file system.
const (
	pendingFile   = "apply-undo.json"     // waits for its deadline
	revertingFile = "apply-undo-now.json" // is being carried out
	undoneFile    = "apply-undone.json"   // was carried out; the last one
	helperLock    = "apply-undo.lock"     // held by the helper as long as it lives
	helperLog     = "apply-undo.log"      // what the last helper said
	helperCommand = "undo-helper"         // of the command line; hidden
	undoPoll      = 200 * time.Millisecond
)

// pendingUndo is the record of how to put the former state back.
type pendingUndo struct {
	ID       string     `json:"id"`
	Revision string     `json:"revision,omitempty"` // of the tree that was applied
	Deadline time.Time  `json:"deadline"`
	Undo     apply.Undo `json:"undo"`
}

// undone is what became of it.
type undone struct {
	ID    string    `json:"id"`
	Time  time.Time `json:"time"`
	Error string    `json:"error,omitempty"`
}

// startUndo puts the record on disk and a helper beside it, before the first
// change. The helper has a session of its own: it outlives us and ssh.
func (a *applying) startUndo() (*pendingUndo, error) {
	p := &pendingUndo{
		ID: rand.Text(), Revision: a.revision, Deadline: time.Now().Add(a.options.confirm), Undo: apply.NewUndo(a.planned.Plan, a.planned.Have),
	}
	text, err := json.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("write the way back: %w", err)
	}
	if err := a.dir.WriteFile(pendingFile, text); err != nil {
		return nil, fmt.Errorf("write the way back: %w", err)
	}
	if err := a.startHelper(); err != nil {
		return nil, errors.Join(fmt.Errorf("start the helper that would put the former state back: %w", err), a.dir.Remove(pendingFile))
	}
	return p, nil
}

func (a *applying) startHelper() error {
	lock, err := os.OpenFile(a.dir.Path(helperLock), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer lock.Close()
	// The lock is the open file's: the helper inherits it and holds it alone
	// once we close ours.
	if err := flockWithin(lock, helperExit); err != nil {
		return fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	out, err := os.OpenFile(a.dir.Path(helperLog), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	cmd := exec.Command("/proc/self/exe", helperCommand, "--state-dir", a.stateDir)
	cmd.Args[0] = os.Args[0]
	cmd.Stdout, cmd.Stderr = out, out
	cmd.ExtraFiles = []*os.File{lock}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	return cmd.Process.Release()
}

// helperExit is how long a helper that has done its work may take to end.
const helperExit = 5 * time.Second

func flockWithin(f *os.File, patience time.Duration) error {
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) || time.Now().After(deadline) {
			return err
		}
	}
}

// undoHelperCommand waits for the deadline of the pending record and carries
// it out, unless it is gone by then.
func (c *cli) undoHelperCommand() *cobra.Command {
	var h host
	cmd := &cobra.Command{Use: helperCommand, Hidden: true, Args: cobra.NoArgs}
	h.flags(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		l, err := c.local(h)
		if err != nil {
			return err
		}
		p, err := l.pendingUndo()
		if err != nil {
			return err
		}
		for p != nil && time.Now().Before(p.Deadline) {
			time.Sleep(min(undoPoll, time.Until(p.Deadline)))
			if !l.exists(pendingFile) {
				return nil
			}
		}
		return l.revertWhenFree(cmd.Context())
	}
	return cmd
}

// revertPatience is how long the helper waits for who applies to finish.
const revertPatience = time.Minute

func (l *local) revertWhenFree(ctx context.Context) error {
	for deadline := time.Now().Add(revertPatience); ; time.Sleep(undoPoll) {
		release, err := l.dir.Lock()
		if err == nil {
			defer release()
			return l.revert(ctx)
		}
		if !errors.Is(err, state.ErrLocked) || time.Now().After(deadline) {
			return err
		}
	}
}

// pendingUndo reads the record that waits; nil where there is none.
func (l *local) pendingUndo() (*pendingUndo, error) { return l.readUndo(pendingFile) }

func (l *local) readUndo(name string) (*pendingUndo, error) {
	text, err := l.dir.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the way back: %w", err)
	}
	var p pendingUndo
	if err := json.Unmarshal(text, &p); err != nil {
		return nil, fmt.Errorf("read the way back from %s: %w", l.dir.Path(name), err)
	}
	return &p, nil
}

// helperLives reports whether a helper waits for the deadline.
func (l *local) helperLives() bool {
	f, err := os.Open(l.dir.Path(helperLock))
	if err != nil {
		return false
	}
	defer f.Close()
	return errors.Is(unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB), unix.EWOULDBLOCK)
}

// settleUndo deals with a record that an earlier apply left: one that waits
// for its confirmation refuses us; one that nobody looks after any more (its
// helper was killed, the host was booted) is carried out.
func (l *local) settleUndo(ctx context.Context) error {
	p, err := l.pendingUndo()
	if err != nil {
		return err
	}
	if p != nil && l.helperLives() && time.Now().Before(p.Deadline) {
		return exit(exitLease, fmt.Errorf("an apply waits for `reconciler confirm` until %s", timeOfDay(p.Deadline)))
	}
	return l.revert(ctx)
}

// revert puts the former state back, if a record says so. It must be the only
// mutator.
func (l *local) revert(ctx context.Context) error {
	err := os.Rename(l.dir.Path(pendingFile), l.dir.Path(revertingFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("put the former state back: %w", err)
	}
	p, err := l.readUndo(revertingFile)
	if err != nil || p == nil {
		return err
	}
	l.cli.log.Warn("putting the former state back", "deadline", p.Deadline)
	l.refused = p.Revision
	done := undone{ID: p.ID, Time: time.Now()}
	err = l.carryOut(ctx, p.Undo)
	if err != nil {
		done.Error = err.Error()
	}
	text, e := json.Marshal(done)
	if e == nil {
		e = l.dir.WriteFile(undoneFile, text)
	}
	if err = errors.Join(err, e); err != nil {
		return fmt.Errorf("put the former state back: %w", err)
	}
	return l.dir.Remove(revertingFile)
}

// carryOut runs the way back until there is nothing left of it to do; what
// fails is tried again, a few times.
func (l *local) carryOut(ctx context.Context, u apply.Undo) error {
	const tries = 3
	var failed error
	for range tries {
		have, err := l.planner.Observe(ctx, u.Query())
		if err != nil {
			return err
		}
		plan, err := u.Plan(have)
		if err != nil {
			return err
		}
		if plan.Empty() {
			return nil
		}
		failed = apply.Run(ctx, plan, l.drivers).Err()
	}
	return failed
}

// await waits until the record is confirmed or carried out.
func (a *applying) await(ctx context.Context, p *pendingUndo, status int, failed error) (int, error) {
	a.cli.say("waiting for `reconciler confirm` until %s; then the former state comes back", timeOfDay(p.Deadline))
	const helpers = 3
	for started := 1; ; {
		waits := a.exists(pendingFile) || a.exists(revertingFile)
		if u, ok := a.undone(p.ID); ok {
			return u.verdict(failed)
		}
		if !waits {
			a.tell("Confirmed.")
			return status, failed
		}
		if !a.helperLives() && started < helpers {
			started++
			if err := a.startHelper(); err != nil {
				return applyFailed, fmt.Errorf("the helper is gone: %w; the next apply or run puts the former state back", err)
			}
		}
		select {
		case <-ctx.Done():
			return applyFailed, fmt.Errorf("no longer waiting: the former state comes back at %s unless `reconciler confirm` arrives", timeOfDay(p.Deadline))
		case <-time.After(undoPoll):
		}
		if time.Now().After(p.Deadline.Add(2 * revertPatience)) {
			return applyFailed, errors.New("nobody put the former state back; the next apply or run does")
		}
	}
}

// undone reads what became of a record, if it was carried out.
func (l *local) undone(id string) (undone, bool) {
	var u undone
	text, err := l.dir.ReadFile(undoneFile)
	return u, err == nil && json.Unmarshal(text, &u) == nil && u.ID == id
}

func (u undone) verdict(failed error) (int, error) {
	if u.Error != "" {
		return applyFailed, errors.Join(failed, fmt.Errorf("the former state could not be put back: %s; the next apply or run tries again", u.Error))
	}
	return applyRolledBack, errors.Join(failed, errors.New("not confirmed in time: the former state is back"))
}

func (l *local) exists(name string) bool {
	_, err := os.Stat(l.dir.Path(name))
	return err == nil
}

// timeOfDay is a time for people.
func timeOfDay(t time.Time) string { return t.Local().Format("15:04:05") }

// syncDir makes the names in a directory durable.
func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// confirmCommand makes an apply final: one of ours, or the daemon's.
func (c *cli) confirmCommand() *cobra.Command {
	var h host
	cmd := &cobra.Command{
		Use: "confirm", Args: cobra.NoArgs,
		Short: "Keep what an apply changed that waits for it",
	}
	h.flags(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		l, err := c.local(h)
		if err != nil {
			return err
		}
		switch err := os.Remove(l.dir.Path(pendingFile)); {
		case err == nil:
			c.printf("Confirmed.")
			return syncDir(l.dir.Path("."))
		case !errors.Is(err, fs.ErrNotExist):
			return err
		case l.exists(revertingFile):
			return exit(applyRolledBack, errors.New("too late: the former state is being put back"))
		}
		if err := c.client(h).Confirm(cmd.Context()); err != nil {
			return c.daemonError(err)
		}
		c.printf("Confirmed.")
		return nil
	}
	return cmd
}
