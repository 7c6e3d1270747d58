// Package handover is how one reconciler hands over to the next version of
// itself: what the two processes say to each other, in which order, and the
// lease under which nobody writes meanwhile.
//
//	former                         successor
//	  ── starts it, with its listeners ──▶
//	  ◀── hello: version, directory ──
//	  ── look: the revision in use ──▶      it reads the live kernel
//	  ◀── plan: what it would change ──
//	  differs from its own: quit ──▶        nothing was written
//	  pauses, gives up the lock
//	  ── go ──▶                             takes the lock, serves
//	  ◀── serving ──
//	  closes its doors, stands by
//	  ◀── alive, again and again ──
//	  ◀── stop ──▶                          if either is told to end, both do
//	  ◀── committed ──                      the version has shown itself
//	  names it the main process, and ends
//
// An end of the connection, or silence, is a failure of the other side: the
// former one takes the lock back, the successor goes on alone. The package knows
// no engine, no driver and no system calls but those of its connection.
package handover

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Kind is what a message says.
type Kind string

// The messages, in the order of a handover that succeeds.
const (
	Hello     Kind = "hello"
	Look      Kind = "look"
	Plan      Kind = "plan"
	Quit      Kind = "quit"
	Go        Kind = "go"
	Serving   Kind = "serving"
	Alive     Kind = "alive"
	Committed Kind = "committed"
	Stop      Kind = "stop" // from either: it was told to end, and so is the other
)

// Message is what one process says to the other.
type Message struct {
	Kind     Kind     `json:"kind"`
	Version  string   `json:"version,omitempty"`  // of Hello
	Dir      string   `json:"dir,omitempty"`      // of Hello: the directory of the version
	Revision string   `json:"revision,omitempty"` // of Look
	Ops      []string `json:"ops,omitempty"`      // of Plan, sorted
	Reason   string   `json:"reason,omitempty"`   // of Quit
}

// maxMessage bounds a message, in bytes. A plan that does not fit is one that is
// not empty, which is all that matters.
const maxMessage = 60 << 10

// Conn connects the two processes. Messages are whole.
type Conn struct{ file *os.File }

// Pair makes a connection: an end of our own, and one to be inherited.
func Pair() (own *Conn, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("connect to a successor: %w", err)
	}
	if err := unix.SetNonblock(fds[0], true); err != nil {
		return nil, nil, errors.Join(err, unix.Close(fds[0]), unix.Close(fds[1]))
	}
	return &Conn{os.NewFile(uintptr(fds[0]), "successor")}, os.NewFile(uintptr(fds[1]), "former"), nil
}

// inherit makes a connection of a descriptor.
func inherit(fd int) (*Conn, error) {
	kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	if err != nil || kind != unix.SOCK_SEQPACKET {
		return nil, fmt.Errorf("descriptor %d is no connection to a former process: %w", fd, errors.Join(err, os.ErrInvalid))
	}
	unix.CloseOnExec(fd)
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, err
	}
	return &Conn{os.NewFile(uintptr(fd), "former")}, nil
}

// Close ends it, which the other side takes for our end.
func (c *Conn) Close() error { return c.file.Close() }

// Send says something. It does not wait for who does not read.
func (c *Conn) Send(m Message) error {
	text, err := json.Marshal(m)
	if err == nil && len(text) > maxMessage {
		m.Ops = append(m.Ops[:min(len(m.Ops), 100):100], fmt.Sprintf("and %d more", max(0, len(m.Ops)-100)))
		text, err = json.Marshal(m)
	}
	if err == nil {
		err = c.file.SetWriteDeadline(time.Now().Add(time.Second))
	}
	if err == nil {
		_, err = c.file.Write(text)
	}
	if err != nil {
		return fmt.Errorf("say %s: %w", m.Kind, err)
	}
	return nil
}

// ErrGone is that the other process ended, or let go.
var ErrGone = errors.New("it ended")

// ErrStop is that the other process was told to end, and this one with it: whoever
// told it knows of one reconciler.
var ErrStop = errors.New("it was told to end")

// ErrSilent is that the other process did not say in time what was awaited.
var ErrSilent = errors.New("it says nothing")

// Receive waits for a message. It fails with ErrGone or ErrSilent.
func (c *Conn) Receive(within time.Duration) (Message, error) {
	var m Message
	if err := c.file.SetReadDeadline(time.Now().Add(within)); err != nil {
		return m, err
	}
	text := make([]byte, maxMessage+4096)
	n, err := c.file.Read(text)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return m, ErrSilent
	case errors.Is(err, io.EOF), errors.Is(err, unix.ECONNRESET), errors.Is(err, os.ErrClosed), err == nil && n == 0:
		return m, ErrGone
	case err != nil:
		return m, err
	}
	if err := json.Unmarshal(text[:n], &m); err != nil {
		return m, fmt.Errorf("read what it says: %w", err)
	}
	return m, nil
}

// await waits for one message, or a Quit.
func (c *Conn) await(kind Kind, within time.Duration) (Message, error) {
	m, err := c.Receive(within)
	switch {
	case err != nil:
		return m, err
	case m.Kind == Quit:
		return m, fmt.Errorf("%w: %s", ErrGone, m.Reason)
	case m.Kind != kind:
		return m, fmt.Errorf("it says %s, and not %s", m.Kind, kind)
	}
	return m, nil
}
