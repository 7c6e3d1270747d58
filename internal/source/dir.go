package source

import (
	"context"
	"log/slog"
	"path/filepath"
	"time"
)

const (
	// hintDelay lets a burst of events pass before the first look.
	hintDelay = 20 * time.Millisecond
	// settle is how long a tree must stay as it is to be taken. An editor's
	// save is over within a few milliseconds.
	settle = 150 * time.Millisecond
	// settleLoss is the same for a tree that lost something, which is often
	// about to be put back.
	settleLoss = 500 * time.Millisecond
	// patience is how long a writer that keeps a file open is waited for.
	patience = 10 * time.Second
)

// DirOptions of a watched directory; the zero value will do.
type DirOptions struct {
	// Poll is the time between two looks without any event. Default 5 s.
	Poll time.Duration
	// Log may be nil.
	Log *slog.Logger
}

// dir is the Source of a directory.
type dir struct {
	path string
	poll time.Duration
	log  *slog.Logger
	wake chan struct{}
	asks
}

// NewDir follows a directory, or a single file. Events of the kernel are only
// hints: what counts is the content, read twice with a pause between. Read
// ReadDir for what belongs to it.
func NewDir(path string, opt DirOptions) Source {
	if opt.Poll <= 0 {
		opt.Poll = 5 * time.Second
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	return &dir{path: path, poll: opt.Poll, log: opt.Log, wake: make(chan struct{}, 1), asks: make(asks)}
}

func (d *dir) String() string { return "dir " + d.path }

func (d *dir) Sync() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

func (d *dir) Run(ctx context.Context, deliver func(Tree), health func(error)) error {
	h := &hints{log: d.log}
	defer h.Close()
	s := settling{poll: d.poll, deliver: deliver, health: once(health)}
	var looked, next time.Time
	var asked []chan<- error
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		hinted := false
		select {
		case <-ctx.Done():
			return nil
		case <-d.wake:
			next = time.Now()
		case end := <-d.asks:
			asked = append(asked, end)
			next = time.Now()
		case _, ok := <-h.Events():
			if !ok {
				h.Close()
			}
			hinted = true
		case err := <-h.Errors():
			d.log.Debug("watch", "source", d.String(), "error", err)
			h.Close() // and open another: nobody knows what this one missed
			hinted = true
		case <-timer.C:
			r := readDir(d.path)
			looked = time.Now()
			next = looked.Add(s.look(r, looked))
			if s.settled {
				answer(asked, r.err)
				asked = nil
			}
			hinted = h.Watch(append(around(d.path), r.dirs...))
		}
		if hinted {
			next = earlier(next, later(looked.Add(settle), time.Now().Add(hintDelay)))
		}
		timer.Reset(time.Until(next))
	}
}

// settling decides which readings of a directory are taken.
type settling struct {
	poll    time.Duration
	deliver func(Tree)
	health  func(error)

	key   string            // of the latest reading
	since time.Time         // when that was first seen
	taken string            // key of the tree delivered last
	files map[string][]byte // and its files

	settled bool // the latest reading was taken, as a tree or as a trouble
}

func answer(asked []chan<- error, err error) {
	for _, end := range asked {
		end <- err // each has room for one
	}
}

// look takes a reading in and returns the time until the next.
func (s *settling) look(r reading, now time.Time) time.Duration {
	key := r.key()
	if key != s.key {
		s.since = now
	}
	s.key, s.settled = key, key == s.taken
	if s.settled {
		s.health(nil)
		return s.poll
	}
	age := now.Sub(s.since)
	if wait := s.wait(r); age < wait {
		return min(wait-age, settle)
	}
	if r.busy && age < patience {
		return settle
	}
	s.take(r, key, now)
	s.settled = true
	return s.poll
}

// wait is how long a reading must stay as it is. Something empty counts as
// lost, because a file is often truncated before it is written.
func (s *settling) wait(r reading) time.Duration {
	if r.err != nil {
		return settleLoss
	}
	for name, was := range s.files {
		if len(was) > 0 && len(r.files[name]) == 0 {
			return settleLoss
		}
	}
	return settle
}

func (s *settling) take(r reading, key string, now time.Time) {
	s.health(r.err)
	if r.err != nil {
		return
	}
	s.taken, s.files = key, r.files
	s.deliver(r.tree(now))
}

// once passes on only changes of health.
func once(health func(error)) func(error) {
	last := "unknown"
	return func(err error) {
		text := ""
		if err != nil {
			text = err.Error()
		}
		if text != last {
			last = text
			health(err)
		}
	}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
