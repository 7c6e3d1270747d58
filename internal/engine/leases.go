package engine

import (
	"fmt"
	"time"

	"reconciler/internal/intent"
)

// Bounds of what a person may ask for.
const (
	MaxSuspend = 24 * time.Hour
	MaxPin     = 30 * 24 * time.Hour
)

// pin is the pin in force, if any.
func (l *loop) pin() intent.Pin {
	p := l.ledger.Pin
	if p == nil {
		return intent.Pin{}
	}
	return intent.Pin{Revision: p.Revision, Until: p.Until.Instant(l.now())}
}

// suspended reports whether a lease or the mode keeps the engine from writing.
func (l *loop) suspended() bool { return l.mode == Suspended || l.ledger.Suspended != nil }

// enforcing reports whether plans are carried out.
func (l *loop) enforcing() bool {
	return l.mode == Enforce && !l.suspended() && !l.conds.raised(CondNamespace)
}

// expire drops the leases that are over.
func (l *loop) expire() {
	now := l.now()
	if s := l.ledger.Suspended; s != nil && now.At >= s.Until.Instant(now) {
		l.ledger.Suspended = nil
		l.saveLedger()
		l.event(Event{Type: EventRequest, Message: "suspension is over"})
	}
	if p := l.ledger.Pin; p != nil && now.At >= p.Until.Instant(now) {
		l.ledger.Pin = nil
		l.saveLedger()
		l.event(Event{Type: EventRequest, Revision: p.Revision, Message: "rollback is over"})
	}
	l.expireOverrides(now)
	l.leaseConditions(now)
}

func (l *loop) leaseConditions(now intent.Moment) {
	text := ""
	if p := l.ledger.Pin; p != nil {
		text = fmt.Sprintf("rolled back to %s until %s", short(p.Revision), clockTime(p.Until.Time(now)))
	}
	l.conds.set(CondPinned, "Rollback", text)
	text = ""
	if l.mode == Suspended {
		text = "the agent's mode is suspended"
	}
	if s := l.ledger.Suspended; s != nil {
		text = "until " + clockTime(s.Until.Time(now))
		if s.Reason != "" {
			text += ": " + s.Reason
		}
	}
	l.conds.set(CondSuspended, "Asked", text)
	lines := make([]string, 0, len(l.ledger.Overrides))
	for _, o := range l.shownOverrides(now) {
		lines = append(lines, o.because(fmt.Sprintf("%s until %s", o, clockTime(o.Until))))
	}
	l.conds.set(CondOverridden, "Asked", few(lines))
}

// leaseNext is when the next lease ends.
func (l *loop) leaseNext() intent.Instant {
	now, next := l.now(), intent.Never
	if s := l.ledger.Suspended; s != nil {
		next = intent.Earliest(next, s.Until.Instant(now))
	}
	if p := l.ledger.Pin; p != nil {
		next = intent.Earliest(next, p.Until.Instant(now))
	}
	for _, o := range l.ledger.Overrides {
		next = intent.Earliest(next, o.Deadline.Instant(now))
	}
	return next
}

func clockTime(t time.Time) string { return t.Format(time.RFC3339) }
