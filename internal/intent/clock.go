package intent

import "time"

// Instant is a point on CLOCK_BOOTTIME: it goes on while the host sleeps and
// does not jump when somebody sets the time of day.
type Instant time.Duration

// Add moves an instant.
func (i Instant) Add(d time.Duration) Instant { return i + Instant(d) }

// Sub is the time from o to i.
func (i Instant) Sub(o Instant) time.Duration { return time.Duration(i - o) }

// Never is when a decider has nothing to wait for.
const Never = Instant(1<<63 - 1)

// Earliest is the least of some instants; Never if there are none.
func Earliest(of ...Instant) Instant {
	first := Never
	for _, i := range of {
		first = min(first, i)
	}
	return first
}

// Clock tells instants and the time of day. Both are needed: instants for
// what happens, the time of day for people and for what outlives a boot.
type Clock struct {
	Boot func() Instant
	Wall func() time.Time
	// ID is the kernel's boot id: instants of another boot mean nothing.
	ID string
}
