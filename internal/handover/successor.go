package handover

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Env names the variable by which a successor knows its descriptors:
// "conn=3,api=4,metrics=5".
const Env = "RECONCILER_HANDOVER"

// connName is the connection among the descriptors.
const connName = "conn"

// Door is a listener that is handed over, by its name.
type Door struct {
	Name string
	File *os.File
}

// Environ is the value of Env for descriptors that are inherited in this order,
// from 3 on.
func Environ(doors []Door) string {
	words := []string{connName + "=3"}
	for i, d := range doors {
		words = append(words, d.Name+"="+strconv.Itoa(4+i))
	}
	return strings.Join(words, ",")
}

// Inheritance is what a successor was given.
type Inheritance struct {
	Conn  *Conn
	Doors map[string]*os.File
}

// Inherit takes what a former process has left in the environment, and the
// variable with it; nil where there was none.
func Inherit() (*Inheritance, error) {
	text := os.Getenv(Env)
	if text == "" {
		return nil, nil
	}
	if err := os.Unsetenv(Env); err != nil {
		return nil, err
	}
	in := &Inheritance{Doors: map[string]*os.File{}}
	for _, word := range strings.Split(text, ",") {
		name, digits, _ := strings.Cut(word, "=")
		fd, err := strconv.Atoi(digits)
		if err != nil || fd < 3 {
			return nil, fmt.Errorf("read %s=%q: want NAME=DESCRIPTOR", Env, text)
		}
		if name == connName {
			if in.Conn, err = inherit(fd); err != nil {
				return nil, err
			}
			continue
		}
		unix.CloseOnExec(fd)
		in.Doors[name] = os.NewFile(uintptr(fd), name)
	}
	if in.Conn == nil {
		return nil, fmt.Errorf("read %s=%q: there is no connection", Env, text)
	}
	return in, nil
}

// TakeOver is the successor's side until it may write: it says what it is,
// plans, and waits to be let. Look plans a revision.
func (c *Conn) TakeOver(ctx context.Context, version, dir string, look func(ctx context.Context, revision string) ([]string, error)) error {
	if err := c.Send(Message{Kind: Hello, Version: version, Dir: dir}); err != nil {
		return err
	}
	asked, err := c.await(Look, pausePatience)
	if err != nil {
		return fmt.Errorf("wait for the former one: %w", err)
	}
	ops, err := look(ctx, asked.Revision)
	if err != nil {
		return errors.Join(err, c.Send(Message{Kind: Quit, Reason: err.Error()}))
	}
	if err := c.Send(Message{Kind: Plan, Ops: ops}); err != nil {
		return err
	}
	if _, err := c.await(Go, 2*pausePatience); err != nil {
		return fmt.Errorf("wait to be let: %w", err)
	}
	return nil
}

// Serve says that it serves, and then that it is alive, as long as alive says
// so. It returns ErrGone once the former one is not there any more, and ErrStop if
// that was told to end.
func (c *Conn) Serve(ctx context.Context, alive func(context.Context) error) error {
	if err := c.Send(Message{Kind: Serving}); err != nil {
		return errors.Join(ErrGone, err)
	}
	for ctx.Err() == nil {
		switch m, err := c.Receive(aliveEvery); {
		case err == nil && m.Kind == Stop:
			return ErrStop
		case !errors.Is(err, ErrSilent):
			return ErrGone
		}
		asking, cancel := context.WithTimeout(ctx, silence/2)
		err := alive(asking)
		cancel()
		if err != nil {
			continue // and silence tells the former one
		}
		if err := c.Send(Message{Kind: Alive}); err != nil {
			return errors.Join(ErrGone, err)
		}
	}
	return ctx.Err()
}

// Stop ends the former one with this one.
func (c *Conn) Stop() error { return c.Send(Message{Kind: Stop}) }

// Commit lets the former one go.
func (c *Conn) Commit() error { return c.Send(Message{Kind: Committed}) }

// waitMin is the least time that a successor has for a step.
const waitMin = 5 * time.Second

// StepWait is how long a successor has for each step, given the time within
// which it is to be ready.
func StepWait(ready time.Duration) time.Duration { return max(ready, waitMin) }
