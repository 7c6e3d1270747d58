package wire

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Ear is a socket for events. It is in the runtime's poller: the next event may
// be hours away.
type Ear struct {
	*socket
	// Idle is after how long Listen settles though nothing was heard; 0: never.
	Idle time.Duration
}

// Hear opens a socket for the events of some multicast groups, a mask, in the
// network namespace of the calling thread.
func Hear(groups uint32) (*Ear, error) {
	s, err := open(unix.SOCK_NONBLOCK, groups)
	if err != nil {
		return nil, err
	}
	return &Ear{socket: s}, nil
}

// Listen reads events until the context ends, which returns nil. After each
// wait it reads what there is and then calls settled. Where events were lost it
// calls lost and goes on.
func (e *Ear) Listen(ctx context.Context, see func(Message), lost, settled func()) error {
	stop := context.AfterFunc(ctx, func() { _ = e.file.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	for ctx.Err() == nil {
		err := e.listenOnce(ctx, see)
		switch {
		case err == nil, e.Idle > 0 && errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() == nil:
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, unix.ENOBUFS):
			lost()
		default:
			return fmt.Errorf("listen: %w", err)
		}
		settled()
	}
	return nil
}

// listenOnce waits for events and reads all that there are, but not for ever.
func (e *Ear) listenOnce(ctx context.Context, see func(Message)) error {
	if e.Idle > 0 {
		if err := e.file.SetReadDeadline(time.Now().Add(e.Idle)); err != nil || ctx.Err() != nil {
			return err // the end of the context may have set it before
		}
	}
	for i := range 256 {
		buf, err := e.receive(func(err error) bool { return i > 0 || err != unix.EAGAIN && err != unix.EINTR })
		if errors.Is(err, unix.EAGAIN) {
			return nil
		}
		if err != nil {
			return err
		}
		for m, rest, ok := next(buf); ok; m, rest, ok = next(rest) {
			see(m)
		}
	}
	return nil
}
