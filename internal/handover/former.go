package handover

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Former is the process that hands over, as the rest of the program has it.
type Former interface {
	// Plan is the revision in use, and what would be changed now.
	Plan(context.Context) (revision string, ops []string, err error)
	// Pause ends all writing and gives up the lock, once what is under way is
	// done. If it fails, nothing was given up.
	Pause(context.Context) error
	// Resume takes the lock back and goes on writing and serving; where nothing
	// was paused it does nothing.
	Resume(context.Context) error
	// Drain lets clients go to the successor, which serves. How long answers under way
	// may take it bounds itself.
	Drain(successor int)
	// Leave makes a process the main one, and ends this one.
	Leave(pid int)
	// Told is whether this process was told to end, and does not end by itself.
	Told() bool
	// End ends this process as if it was told to.
	End()
}

const (
	// silence is how long a successor that serves may say nothing.
	silence = 30 * time.Second
	// aliveEvery is how often it says that it is alive.
	aliveEvery = time.Second
	// pausePatience bounds how long the pass under way may take.
	pausePatience = time.Minute
)

// Successor is a process that was started to take over.
type Successor struct {
	Conn *Conn
	PID  int
	Dir  string // the version that it is to be, by its directory
	// Version is what it has to say that it is, with or without a v. A build that
	// has none, one of development, says nothing.
	Version string
	Wait    time.Duration // for each of its steps
	// Ended tells how it ended, once its connection has; it may take a moment.
	Ended func() string
}

// HandOver lets a successor take over. It returns nil once the successor is
// committed and this process was told to leave. With an error the successor is
// to be ended, and then Resume is to be called.
func HandOver(ctx context.Context, f Former, s Successor) error {
	if err := compare(ctx, f, s); err != nil {
		return s.explain(err)
	}
	pausing, cancel := context.WithTimeout(ctx, pausePatience)
	defer cancel()
	if err := f.Pause(pausing); err != nil {
		return fmt.Errorf("pause: %w", err)
	}
	err := standBy(ctx, f, s)
	if err == nil {
		f.Leave(s.PID)
		return nil
	}
	if ctx.Err() != nil { // this process ends, and the successor goes on alone unless told
		if f.Told() {
			return errors.Join(ctx.Err(), s.Conn.Send(Message{Kind: Stop}))
		}
		return ctx.Err()
	}
	if errors.Is(err, ErrStop) {
		return err
	}
	return s.explain(err)
}

// compare sees that the successor is what it should be, and would change nothing
// that this process would not.
func compare(ctx context.Context, f Former, s Successor) error {
	hello, err := s.Conn.await(Hello, s.Wait)
	if err != nil {
		return fmt.Errorf("it did not start: %w", err)
	}
	if want := strings.TrimPrefix(s.Version, "v"); hello.Version != "" && !strings.Contains(hello.Version, want) {
		return quit(s.Conn, fmt.Sprintf("it says that it is version %s, and not %s", hello.Version, s.Version))
	}
	if hello.Dir != s.Dir {
		return fmt.Errorf("it says that it runs from %q, and not from %s", hello.Dir, s.Dir)
	}
	revision, _, err := f.Plan(ctx)
	if err != nil {
		return fmt.Errorf("plan, for comparison: %w", err)
	}
	if err := s.Conn.Send(Message{Kind: Look, Revision: revision}); err != nil {
		return err
	}
	theirs, err := s.Conn.await(Plan, s.Wait)
	if err != nil {
		return fmt.Errorf("it made no plan: %w", err)
	}
	// What changed meanwhile both have to see.
	_, ours, err := f.Plan(ctx)
	if err != nil {
		return fmt.Errorf("plan, for comparison: %w", err)
	}
	if more := without(theirs.Ops, ours); len(more) > 0 {
		return quit(s.Conn, fmt.Sprintf("it would change %s", few(more)))
	}
	if less := without(ours, theirs.Ops); len(less) > 0 {
		return quit(s.Conn, fmt.Sprintf("it would leave %s", few(less)))
	}
	return nil
}

func quit(c *Conn, reason string) error {
	return errors.Join(errors.New(reason), c.Send(Message{Kind: Quit, Reason: reason}))
}

func without(from, these []string) []string {
	return slices.DeleteFunc(slices.Clone(from), func(s string) bool { return slices.Contains(these, s) })
}

func few(ops []string) string {
	const most = 3
	text := strings.Join(ops[:min(most, len(ops))], ", ")
	if more := len(ops) - most; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// standBy lets the successor write, and waits until it is committed.
func standBy(ctx context.Context, f Former, s Successor) error {
	if err := s.Conn.Send(Message{Kind: Go}); err != nil {
		return err
	}
	if _, err := s.Conn.await(Serving, s.Wait); err != nil {
		return fmt.Errorf("it did not take over: %w", err)
	}
	f.Drain(s.PID)
	for ctx.Err() == nil {
		m, err := s.Conn.Receive(silence)
		switch {
		case err != nil:
			return fmt.Errorf("it had taken over: %w", err)
		case m.Kind == Committed:
			return nil
		case m.Kind == Stop:
			return ErrStop
		case m.Kind == Quit:
			return fmt.Errorf("it had taken over, and gives back: %s", m.Reason)
		}
	}
	return ctx.Err()
}

// explain adds how the successor ended, where it did.
func (s Successor) explain(err error) error {
	if errors.Is(err, ErrGone) && s.Ended != nil {
		if how := s.Ended(); how != "" {
			return fmt.Errorf("%w, %s", err, how)
		}
	}
	return err
}
