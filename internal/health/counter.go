package health

import (
	"fmt"
	"time"
)

// State is what the probes of a target amount to.
type State uint8

// The states of a target. Unknown is a target that no probe has decided yet.
const (
	Unknown State = iota
	Up
	Down
)

// States are all states, for who counts by them from the start.
func States() []State { return []State{Unknown, Up, Down} }

func (s State) String() string {
	switch s {
	case Unknown:
		return "unknown"
	case Up:
		return "up"
	case Down:
		return "down"
	}
	return fmt.Sprintf("state %d", uint8(s))
}

// Counter is HAProxy's: one number, 0 to rise+fall-1, up from rise on. What
// crosses the line goes all the way, so that going back takes fall failures, or
// rise successes, in a row.
type Counter struct {
	Rise, Fall int // at least 1 each
	Value      int
	decided    bool
}

// NewCounter is of a target never probed: it stands just below the line, so
// that the first probe decides.
func NewCounter(rise, fall int) Counter { return Counter{Rise: rise, Fall: fall, Value: rise - 1} }

// Top is the value of a target with which all is well.
func (c Counter) Top() int { return c.Rise + c.Fall - 1 }

// Pass counts a success.
func (c Counter) Pass() Counter {
	c.decided = true
	if c.Value++; c.Value >= c.Rise {
		c.Value = c.Top()
	}
	return c
}

// Fail counts a failure.
func (c Counter) Fail() Counter {
	c.decided = true
	if c.Value--; c.Value < c.Rise {
		c.Value = 0
	}
	return c
}

// State is what the counter says.
func (c Counter) State() State {
	switch {
	case !c.decided:
		return Unknown
	case c.Value >= c.Rise:
		return Up
	}
	return Down
}

// Carry is the counter of a target whose check has changed: the state stays, and
// as firmly as if it had never been in doubt. A change of a check takes nobody
// out; failures of the new one do.
func (c Counter) Carry(rise, fall int) Counter {
	return CounterOf(c.State(), rise, fall)
}

// CounterOf is the counter of a target of which nothing but the state is known.
func CounterOf(s State, rise, fall int) Counter {
	c := NewCounter(rise, fall)
	c.decided = s != Unknown
	switch s {
	case Up:
		c.Value = c.Top()
	case Down:
		c.Value = 0
	}
	return c
}

// Interval is the time to the next probe, before jitter.
func (c Counter) Interval(check Check) time.Duration {
	switch {
	case c.decided && c.Value == c.Top():
		return check.Interval
	case c.decided && c.Value == 0:
		return check.DownInterval
	}
	return check.FastInterval
}
