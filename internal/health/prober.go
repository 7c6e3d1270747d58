package health

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// prober asks one target, again and again.
type prober struct {
	target Target
	probe  probe
	delay  time.Duration // before the first probe
	life   context.Context
	stop   context.CancelFunc // called with the Monitor's mutex held
	status Status             // belongs to the Monitor's mutex
}

// newProber is called with the mutex held; old is what had the ID before, or
// nil, and was what others remember.
func (m *Monitor) newProber(t Target, old *prober, was State) *prober {
	p := &prober{target: t, probe: m.prepare(t.Address, t.Check, m.pings)}
	p.life, p.stop = context.WithCancel(context.Background())
	if old != nil && old.target.Address == t.Address {
		p.status = old.status
		p.status.Type = t.Check.Type
		p.status.Counter = old.status.Counter.Carry(t.Check.Rise, t.Check.Fall)
		return p
	}
	p.status = Status{
		ID: t.ID, Address: t.Address, Type: t.Check.Type, Since: m.now(),
		State: was, Counter: CounterOf(was, t.Check.Rise, t.Check.Fall),
	}
	return p
}

// run probes until the target leaves.
func (m *Monitor) run(p *prober) {
	if p.target.Check.Type == ICMP {
		l := lineOf(p.target.Address, p.target.Check)
		m.pings.join(l)
		defer m.pings.leave(l)
	}
	timer := time.NewTimer(p.delay)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-p.life.Done():
			return
		}
		select {
		case m.slots <- struct{}{}:
		case <-p.life.Done():
			return
		}
		begin := time.Now()
		err := p.probe(p.life, begin.Add(p.target.Check.Timeout))
		took := time.Since(begin)
		<-m.slots
		next, ok := m.record(p, p.excuse(err, took), took)
		if !ok {
			return
		}
		timer.Reset(time.Until(begin.Add(jitter(next, p.target.Check.Jitter))))
	}
}

// excuse takes the blame from a target whose time was up while this host was too
// busy to look: an answer may have come, unread.
func (p *prober) excuse(err error, took time.Duration) error {
	late := took - p.target.Check.Timeout
	if late <= p.target.Check.Timeout/4 || codeOf(err) != Timeout {
		return err
	}
	return local(fmt.Errorf("%w, but this host was busy for %v longer", err, late.Round(time.Millisecond)))
}

// jitter makes an interval up to so many percent longer or shorter.
func jitter(d time.Duration, percent int) time.Duration {
	return d + time.Duration(float64(d)*float64(percent)/100*(2*rand.Float64()-1))
}

// record takes in how a probe ended, and tells the interval to the next; false
// when nobody wants to know any more.
func (m *Monitor) record(p *prober, err error, took time.Duration) (time.Duration, bool) {
	code, detail := outcome(err)
	m.mu.Lock()
	if p.life.Err() != nil { // ended with the mutex held
		m.mu.Unlock()
		return 0, false
	}
	s := &p.status
	s.Last = Result{Code: code, Detail: detail, At: m.now(), Duration: took}
	from := s.State
	s.count()
	to, next := s.State, s.Counter.Interval(p.target.Check)
	m.mu.Unlock()

	m.config.Observer.Probed(p.target.Check.Type, code, took)
	if from != to {
		m.config.Observer.Turned(p.target.ID, from, to)
		offer(m.changed, struct{}{})
	}
	return next, true
}

// count lets the last result count. What is this host's own fault does not.
func (s *Status) count() {
	switch s.Last.Code {
	case OK:
		s.Counter = s.Counter.Pass()
	case Local:
		return
	default:
		s.Counter = s.Counter.Fail()
	}
	from := s.State
	if s.State = s.Counter.State(); s.State == from {
		return
	}
	s.Since = s.Last.At
	// Snapshots share the former slice, so it stays as it is.
	kept := s.History[max(0, len(s.History)-maxHistory+1):]
	s.History = append(slices.Clip(slices.Clone(kept)), Transition{from, s.State, s.Last})
}
