package intent

import "time"

// Moment is now, on both clocks.
type Moment struct {
	At   Instant
	Wall time.Time
	Boot string // the boot id
}

// Now reads a clock.
func (c Clock) Now() Moment { return Moment{At: c.Boot(), Wall: c.Wall(), Boot: c.ID} }

// Deadline is an instant that outlives a restart. Within one boot the instant
// counts, so that setting the time of day moves nothing; after another boot
// only the time of day is left.
type Deadline struct {
	At   Instant   `json:"at"`
	Boot string    `json:"boot"`
	Wall time.Time `json:"wall"`
}

// After is the deadline d from now.
func (m Moment) After(d time.Duration) Deadline {
	return Deadline{At: m.At.Add(d), Boot: m.Boot, Wall: m.Wall.Add(d)}
}

// Instant is when the deadline is on the clock of this boot.
func (d Deadline) Instant(now Moment) Instant {
	if d.Boot == now.Boot {
		return d.At
	}
	return now.At.Add(d.Wall.Sub(now.Wall))
}

// Time is the deadline as a time of day, for people.
func (d Deadline) Time(now Moment) time.Time { return now.Wall.Add(d.Instant(now).Sub(now.At)) }
