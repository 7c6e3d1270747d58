package source

import "sync/atomic"

// Historian is a Source with a history, of which it takes only what leads on
// from the revision that was accepted last: a bad one that never was may be
// taken back.
type Historian interface {
	// Accepted says that a revision is in force and confirmed. One that is not
	// of this source is ignored.
	Accepted(revision string)
	// Forgive has the next look that succeeds take whatever is there: a
	// person's word after ErrRewritten.
	Forgive()
}

// words are what the Source of a repository is told of history, from any
// goroutine.
type words struct {
	accepted atomic.Pointer[string]
	forgiven atomic.Bool
}

// Accepted implements Historian. It is on disk by the next look.
func (w *words) Accepted(revision string) { w.accepted.Store(&revision) }

// Forgive implements Historian.
func (w *words) Forgive() { w.forgiven.Store(true) }
