package engine

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"

	"reconciler/internal/intent"
)

// event remembers and logs what happened.
func (l *loop) event(e Event) {
	e.Time = l.now().Wall
	l.engine.ring.add(e)
	level := slog.LevelInfo
	if e.Type == EventFailed || e.Type == EventReverted || e.Type == EventRaised || e.Type == EventOverrun {
		level = slog.LevelWarn
	}
	args := []any{"event", e.Type}
	if e.Revision != "" {
		args = append(args, "revision", e.Revision)
	}
	if e.Key.Name != "" {
		args = append(args, "key", e.Key.String())
	}
	l.log.Log(context.Background(), level, e.Message, args...)
}

// conditionChanged tells of a condition that was raised or cleared.
func (l *loop) conditionChanged(c Condition) {
	value := 0.0
	e := Event{Type: EventCleared, Message: string(c.Type) + " is over"}
	if c.Raised {
		value = 1
		e = Event{Type: EventRaised, Message: string(c.Type) + ": " + c.Message}
	}
	l.metrics.conditions.WithLabelValues(string(c.Type)).Set(value)
	l.event(e)
}

// publish shows the state of the loop to everybody else.
func (l *loop) publish() {
	now := l.now()
	s := &Status{
		Suspended: l.lease(now), Pending: l.pendingStatus(now), Overrides: l.shownOverrides(now),
		InSync: l.inSync(), Conditions: l.conds.list(),
		Host: l.Host, Version: l.Version, Source: l.Source.String(), Mode: l.mode,
		Seen: l.seen, Applied: l.ledger.Applied, LastGood: l.ledger.LastGood,
		Started: l.engine.started, LastPass: l.lastPass, Notes: l.planned.Plan.Notes, Failing: l.failing(now),
	}
	if p := l.ledger.Pin; p != nil {
		s.Pin = &Pin{Revision: p.Revision, Until: p.Until.Time(now)}
	}
	if l.use != nil {
		s.Wanted, s.Objects = l.use.rev, l.use.want.Len()
	}
	setBool(l.metrics.inSync, s.InSync)
	l.metrics.objects.Set(float64(s.Objects))
	l.metrics.held.Set(float64(l.planned.Guarded))
	l.engine.status.Store(s)
	shown := slices.Clone(l.history)
	l.engine.history.Store(&shown)
	l.notifyStatus(s)
}

func (l *loop) notifyStatus(s *Status) {
	text := "not in sync"
	if s.InSync {
		text = "in sync"
	}
	text = fmt.Sprintf("STATUS=%s at %s", text, cmp.Or(short(s.Wanted.Revision), "no revision"))
	for _, c := range s.Conditions {
		if c.Raised {
			text += ", " + string(c.Type)
		}
	}
	if text != l.shown {
		l.shown = text
		l.Notify.send(text)
	}
}

func (l *loop) lease(now intent.Moment) *Lease {
	if s := l.ledger.Suspended; s != nil {
		return &Lease{Reason: s.Reason, Until: s.Until.Time(now)}
	}
	return nil
}

func (l *loop) pendingStatus(now intent.Moment) *Pending {
	if l.pending == nil {
		return nil
	}
	p := &Pending{
		Revision: l.pending.tree.rev.Revision,
		Deadline: now.Wall.Add(l.pending.Deadline.Sub(now.At)),
	}
	for _, name := range l.pending.Required {
		a := l.answers[name]
		r := ProbeResult{Name: name, OK: a.OK && a.Asked >= l.pending.Applied}
		if err := l.said[name]; err != nil {
			r.Error = err.Error()
		}
		p.Probes = append(p.Probes, r)
	}
	return p
}

func (l *loop) failing(now intent.Moment) []FailingKey {
	var out []FailingKey
	for k, f := range l.failures {
		out = append(out, FailingKey{Key: k, Error: f.Err, Failures: f.Count, Next: now.Wall.Add(f.Until.Sub(now.At))})
	}
	slices.SortFunc(out, func(a, b FailingKey) int { return a.Key.Compare(b.Key) })
	return out
}
