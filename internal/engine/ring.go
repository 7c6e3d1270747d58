package engine

import (
	"context"
	"sync"
)

// maxEvents is how many events are remembered.
const maxEvents = 1000

// ring remembers the last events. Readers get what is remembered first and then
// follow; nobody waits for a reader, who learns by EventMissedEvent that he
// fell behind. It is safe for use from any goroutine.
type ring struct {
	mu     sync.Mutex
	events []Event // at most maxEvents, oldest first
	seq    uint64
	grown  chan struct{} // closed and renewed at each event
}

func newRing() *ring { return &ring{grown: make(chan struct{})} }

// add gives an event its number and remembers it.
func (r *ring) add(e Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seq++
	e.Seq = r.seq
	if len(r.events) == maxEvents {
		copy(r.events, r.events[1:])
		r.events = r.events[:maxEvents-1]
	}
	r.events = append(r.events, e)
	close(r.grown)
	r.grown = make(chan struct{})
}

// after returns a copy of the events after a number, and a channel that closes
// when there are more.
func (r *ring) after(seq uint64) ([]Event, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	first := r.seq - uint64(len(r.events)) // the number before the oldest
	if seq < first {
		missed := Event{Seq: first, Time: r.events[0].Time, Type: EventMissedEvent, Message: "older events are forgotten"}
		if seq == 0 {
			return append([]Event(nil), r.events...), r.grown
		}
		return append([]Event{missed}, r.events...), r.grown
	}
	if seq >= r.seq {
		return nil, r.grown
	}
	return append([]Event(nil), r.events[seq-first:]...), r.grown
}

// follow sends events until the context ends, and closes the channel then.
func (r *ring) follow(ctx context.Context, seq uint64, out chan<- Event) {
	defer close(out)
	for {
		events, more := r.after(seq)
		for _, e := range events {
			select {
			case out <- e:
				seq = e.Seq
			case <-ctx.Done():
				return
			}
		}
		select {
		case <-more:
		case <-ctx.Done():
			return
		}
	}
}
