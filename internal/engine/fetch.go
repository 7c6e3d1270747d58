package engine

import (
	"context"
	"errors"
	"time"

	"reconciler/internal/driver"
	"reconciler/internal/resource"
)

// fetcher brings what trees are made of to this host, beside the loop, so that
// drift is repaired while something downloads.
type fetcher struct {
	drivers []driver.Fetcher
	ask     chan *tree // the latest that is asked for
	done    chan fetched
}

// fetched says what became of the objects of a tree.
type fetched struct {
	revision string
	err      error
}

// What failed is tried again after a while, twice as long each time.
const (
	fetchAgain     = 2 * time.Second
	fetchAgainMost = 2 * time.Minute
)

func newFetcher(drivers []driver.Driver) *fetcher {
	f := &fetcher{ask: make(chan *tree, 1), done: make(chan fetched)}
	for _, d := range drivers {
		if one, ok := d.(driver.Fetcher); ok {
			f.drivers = append(f.drivers, one)
		}
	}
	return f
}

func (f *fetcher) String() string { return "fetcher" }

// request asks for the objects of a tree, in the place of what was asked for
// before; for none where it is nil.
func (f *fetcher) request(t *tree) {
	select {
	case <-f.ask:
	default:
	}
	f.ask <- t // only the loop puts in, so there is room
}

// Run fetches what was asked for last, until the context ends.
func (f *fetcher) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case t := <-f.ask:
			for t != nil {
				var err error
				if t, err = f.serve(ctx, t); err != nil {
					return err
				}
			}
		}
	}
}

// serve fetches for a tree until it has all, or another is asked for: a server
// that stalls holds up nobody else. Who asks for the same again need not wait for
// the next try. It returns the other; nil for none.
func (f *fetcher) serve(ctx context.Context, t *tree) (next *tree, err error) {
	one, cancel := context.WithCancel(ctx)
	ended, again := make(chan error, 1), make(chan struct{}, 1)
	go func() {
		ended <- guarded(one, taskFunc{"fetch", func(ctx context.Context) error { f.keepTrying(ctx, t, again); return nil }})
	}()
	for {
		select {
		case err := <-ended:
			cancel()
			return nil, err
		case next := <-f.ask:
			if next != t {
				cancel()
				return next, <-ended
			}
			select {
			case again <- struct{}{}:
			default:
			}
		}
	}
}

func (f *fetcher) keepTrying(ctx context.Context, t *tree, again <-chan struct{}) {
	for wait := fetchAgain; ; wait = min(2*wait, fetchAgainMost) {
		err := f.fetch(ctx, t.want)
		if ctx.Err() != nil || !send(ctx, f.done, fetched{t.rev.Revision, err}) || err == nil {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-again:
		case <-time.After(wait):
		}
	}
}

func (f *fetcher) fetch(ctx context.Context, want *resource.Set) error {
	var errs []error
	for _, d := range f.drivers {
		errs = append(errs, d.Fetch(ctx, want))
	}
	return errors.Join(errs...)
}

// awaitObjects asks for what a new revision is made of and is not on this host. Until
// that has been tried, what was there before is kept up.
func (l *loop) awaitObjects(ctx context.Context, t *tree) {
	l.fetching, l.sought = "", nil
	if len(l.fetcher.drivers) == 0 {
		return
	}
	if !l.planner.lacks(ctx, t.want) {
		l.fetcher.request(nil)
		l.conds.clear(CondFetching)
		return
	}
	l.fetching = t.rev.Revision
	l.conds.raise(CondFetching, "Fetching", "revision "+short(l.fetching)+" waits for what its programs are made of")
	l.fetcher.request(t)
}

// seek asks for what the tree in use still lacks, unless a newer one is waited
// for: that is asked for already, and comes first.
func (l *loop) seek() {
	if l.fetching == "" && len(l.fetcher.drivers) > 0 && len(l.planner.resolved.keys) > 0 && l.sought != l.use {
		l.sought = l.use
		l.fetcher.request(l.upgrades.wayOut.tree(l.use))
	}
}

// forgiveFetches has all that could not be fetched, or was found unfit, tried again.
func (l *loop) forgiveFetches() {
	for _, d := range l.fetcher.drivers {
		if one, ok := d.(driver.Forgiver); ok {
			one.Forgive()
		}
	}
	l.sought = nil
}

// fetched goes on with what the fetcher brought, or without it.
func (l *loop) fetched(ctx context.Context, f fetched) {
	first := l.fetching == f.revision
	switch {
	case first:
		l.fetching = ""
	case f.revision != l.useRevision():
		return // not asked for any more
	}
	news := f.err == nil
	if f.err != nil {
		was := l.conds.all[CondFetching]
		if news = !was.Raised || was.Message != f.err.Error(); news {
			l.event(Event{Type: EventFailed, Revision: f.revision, Message: f.err.Error()})
		}
		l.conds.raise(CondFetching, "Failed", f.err.Error())
	} else {
		l.conds.clear(CondFetching)
		l.brought = l.brought || !first && f.revision == l.useRevision()
	}
	if first || news { // a driver may say something else of what it could not bring
		l.pass(ctx, CauseTree)
	}
}
