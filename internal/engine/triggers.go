package engine

import (
	"context"
	"sync"
	"time"

	"reconciler/internal/driver"
	"reconciler/internal/resource"
)

// settle is how long events are gathered before a look: one command of a
// person raises several.
const settle = time.Millisecond

// maxChanged bounds the keys that are remembered between two looks.
const maxChanged = 1000

// changes gathers what the dataplanes tell. Drivers add from goroutines of
// their own; the loop takes.
type changes struct {
	signal chan struct{} // holds one while there is something

	mu      sync.Mutex
	keys    map[resource.Key]bool
	overrun bool
}

func newChanges() *changes {
	return &changes{signal: make(chan struct{}, 1), keys: make(map[resource.Key]bool)}
}

// add never blocks. No keys stand for events that were lost.
func (c *changes) add(keys ...resource.Key) {
	c.mu.Lock()
	for _, k := range keys {
		if len(c.keys) < maxChanged {
			c.keys[k] = true
		}
	}
	c.overrun = c.overrun || len(keys) == 0
	c.mu.Unlock()
	select {
	case c.signal <- struct{}{}:
	default:
	}
}

// take returns what was gathered, and starts over.
func (c *changes) take() (keys map[resource.Key]bool, overrun bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	keys, overrun = c.keys, c.overrun
	c.keys, c.overrun = make(map[resource.Key]bool), false
	return keys, overrun
}

// watchTask hears a driver's events, and starts over when it no longer can.
type watchTask struct {
	driver  driver.Driver
	watcher driver.Watcher
	changes *changes
	health  chan<- watchHealth
}

// watchHealth says that a driver's events are not heard.
type watchHealth struct {
	driver string
	err    error
}

const (
	watchAgain     = 100 * time.Millisecond
	watchAgainMost = 10 * time.Second
)

func (w watchTask) String() string { return "watch " + w.driver.Name() }

// Run watches until the context ends. After each failure everything is looked
// at, as nothing was heard in between.
func (w watchTask) Run(ctx context.Context) error {
	for wait := watchAgain; ; wait = min(2*wait, watchAgainMost) {
		began := time.Now()
		err := w.watcher.Watch(ctx, w.changes.add)
		if ctx.Err() != nil {
			return nil
		}
		if time.Since(began) > watchAgainMost {
			wait = watchAgain
		}
		w.changes.add()
		if !send(ctx, w.health, watchHealth{w.driver.Name(), err}) || !sleep(ctx, wait) {
			return nil
		}
	}
}

// send passes a value on; false when the context ended first.
func send[T any](ctx context.Context, to chan<- T, v T) bool {
	select {
	case to <- v:
		return true
	case <-ctx.Done():
		return false
	}
}

// sleep waits; false when the context ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
