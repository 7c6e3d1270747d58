package wire

import (
	"context"
	"encoding/binary"
	"errors"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// sendSize bounds one send, so that its errors fit into the buffer.
	sendSize = 256 << 10
	// dumpTries bounds how often an interrupted dump is begun again. Under
	// steady churn one in ten is interrupted.
	dumpTries = 20
	// dumpRest is how much longer each try waits than the one before: new
	// links get their IPv6 addresses in bursts that outlast twenty dumps in a
	// row.
	dumpRest = time.Millisecond
)

// ErrInterrupted is a dump during which the kernel's objects changed, each
// time that it was tried.
var ErrInterrupted = errors.New("interrupted by changes again and again")

// Do sends the messages of a batch, as many as possible at a time, and returns
// an error for each, in their order; nil stands for none failed. A message that
// fails does not stop the ones behind it. The second error is the socket's or
// the context's: nothing is known then of the messages from done on.
func (c *Conn) Do(ctx context.Context, b *Batch) (errs []error, done int, err error) {
	return c.exchange(ctx, b, c.most, nil)
}

// answerShare is which part of a send's answers fit the receive buffer where
// they are objects: a link takes several times what an error does.
const answerShare = 8

// Ask is Do for requests that are answered with an object each: see is called
// with the index of the request and its answer, before the next is read.
func (c *Conn) Ask(ctx context.Context, b *Batch, see func(int, Message)) (errs []error, done int, err error) {
	return c.exchange(ctx, b, max(1, c.most/answerShare), see)
}

func (c *Conn) exchange(ctx context.Context, b *Batch, most int, see func(int, Message)) (errs []error, done int, err error) {
	x := exchange{c, c.reader(ctx), b, see, nil}
	for done < b.Len() {
		if ctx.Err() != nil {
			return x.errs, done, context.Cause(ctx)
		}
		end := c.fit(b, done, most)
		if err := x.send(done, end); err != nil {
			return x.errs, done, c.giveUp(ctx, err)
		}
		done = end
	}
	return x.errs, done, nil
}

// exchange is a batch on its way.
type exchange struct {
	*Conn
	read reader
	b    *Batch
	see  func(int, Message) // nil where no objects are asked for
	errs []error
}

// giveUp ends an exchange whose answer was not read to its end. The context's
// error goes before the one it led to.
func (c *Conn) giveUp(ctx context.Context, err error) error {
	c.spent = true
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// fit returns the end of the longest run of messages from first that goes in
// one send.
func (c *Conn) fit(b *Batch, first, most int) int {
	end := first + 1
	for end < b.Len() && end-first < most && b.ends(end)-b.starts[first] <= sendSize {
		end++
	}
	return end
}

// ends is where a message ends.
func (b *Batch) ends(i int) int {
	if i+1 < len(b.starts) {
		return b.starts[i+1]
	}
	return len(b.buf)
}

// send sends messages first to end and collects their errors and answers. Only
// the last asks for an acknowledgement: the kernel handles them in order, and
// errors come anyway.
func (x *exchange) send(first, end int) error {
	b, base := x.b, x.seq+1
	for i := first; i < end; i++ {
		x.seq++
		binary.NativeEndian.PutUint32(b.buf[b.starts[i]+seqAt:], x.seq)
	}
	last := b.buf[b.starts[end-1]+flagsAt:]
	binary.NativeEndian.PutUint16(last, binary.NativeEndian.Uint16(last)|unix.NLM_F_ACK)
	if err := x.write(b.buf[b.starts[first]:b.ends(end-1)]); err != nil {
		return err
	}
	for {
		buf, err := x.read()
		if err != nil {
			return err
		}
		for m, rest, ok := next(buf); ok; m, rest, ok = next(rest) {
			at := m.seq - base
			if at >= uint32(end-first) {
				continue // left over from a request that was given up
			}
			if x.hear(m, first+int(at)) && m.seq == x.seq {
				return nil
			}
		}
	}
}

// hear takes in what came for a message. It reports that it was the end of it.
func (x *exchange) hear(m Message, i int) bool {
	if m.Type != unix.NLMSG_ERROR {
		if x.see != nil {
			x.see(i, m)
		}
		return false
	}
	if err := refusal(m); err != nil {
		if x.errs == nil {
			x.errs = make([]error, x.b.Len())
		}
		x.errs[i] = err
	}
	return true
}

// Query is a request that is answered with many messages.
type Query struct {
	Type uint16
	// Head writes the header and the attributes that filter.
	Head func(*Batch)
	// Reset is called before each try: what was seen before does not count.
	Reset func()
	// See is called for each message of the answer.
	See func(Message)
}

// Dump asks and reads the whole answer; if the kernel says that it is not
// consistent it asks again.
func (c *Conn) Dump(ctx context.Context, q Query) error {
	read := c.reader(ctx)
	for try := range dumpTries {
		if err := rest(ctx, time.Duration(try)*dumpRest); err != nil {
			return err
		}
		if q.Reset != nil {
			q.Reset()
		}
		whole, err := c.dumpOnce(read, q)
		switch {
		case errors.As(err, new(*Refusal)):
			return err
		case err != nil:
			return c.giveUp(ctx, err)
		case whole:
			return nil
		}
	}
	return ErrInterrupted
}

func rest(ctx context.Context, d time.Duration) error {
	if d > 0 {
		select {
		case <-ctx.Done():
		case <-time.After(d):
		}
	}
	return context.Cause(ctx)
}

func (c *Conn) dumpOnce(read reader, q Query) (whole bool, err error) {
	c.seq++
	c.out.Reset()
	c.out.Begin(q.Type, unix.NLM_F_DUMP)
	q.Head(&c.out)
	c.out.End()
	binary.NativeEndian.PutUint32(c.out.buf[seqAt:], c.seq)
	if err := c.write(c.out.buf); err != nil {
		return false, err
	}
	whole = true
	for {
		buf, err := read()
		if err != nil {
			return false, err
		}
		for m, rest, ok := next(buf); ok; m, rest, ok = next(rest) {
			if m.seq != c.seq {
				continue
			}
			if m.Flags&unix.NLM_F_DUMP_INTR != 0 {
				whole = false
			}
			switch m.Type {
			case unix.NLMSG_DONE, unix.NLMSG_ERROR:
				return whole, refusal(m)
			case unix.NLMSG_NOOP:
			default:
				q.See(m)
			}
		}
	}
}
