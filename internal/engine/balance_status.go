package engine

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"time"

	"reconciler/internal/health"
	"reconciler/internal/intent"
	"reconciler/internal/resource"
)

// Balance is how VIPs and backends are, as it was decided last.
type Balance struct {
	VIPs     []VIPStatus     `json:"vips"`
	Backends []BackendStatus `json:"backends"`
}

// VIPStatus is how a VIP of one family is.
type VIPStatus struct {
	Name        string          `json:"name"`
	Family      resource.Family `json:"family"`
	Description string          `json:"description,omitempty"`
	State       intent.VIPState `json:"state"`
	Since       time.Time       `json:"since,omitzero"`
	Gated       string          `json:"gated,omitempty"` // why it is not as YAML wants it
	Announced   bool            `json:"announced"`
	Seats       []intent.Seat   `json:"seats"`
}

// BackendStatus is how one address of a backend is.
type BackendStatus struct {
	Name        string               `json:"name"`
	Address     netip.Addr           `json:"address"`
	Description string               `json:"description,omitempty"`
	Check       string               `json:"check,omitempty"` // its name; empty: none, so it is always up
	State       resource.HealthState `json:"state"`
	Since       time.Time            `json:"since,omitzero"`
	Probe       string               `json:"probe,omitempty"`  // how the last one ended
	Detail      string               `json:"detail,omitempty"` // why it was not ok
	Took        time.Duration        `json:"took,omitempty"`   // the last one; in ns
	History     []Turn               `json:"history,omitempty"`
}

// Backend finds one address of a backend; nil where there is none.
func (b Balance) Backend(name string, a netip.Addr) *BackendStatus {
	for i, one := range b.Backends {
		if one.Name == name && one.Address == a {
			return &b.Backends[i]
		}
	}
	return nil
}

// Turn is a change of the state of a backend.
type Turn struct {
	At    time.Time            `json:"at"`
	From  resource.HealthState `json:"from"`
	To    resource.HealthState `json:"to"`
	Probe string               `json:"probe"`
}

// since is a state of a VIP and when it began.
type since struct {
	state intent.VIPState
	at    time.Time
}

// Balance tells how VIPs and backends are.
func (e *Engine) Balance(ctx context.Context) (Balance, error) {
	var out Balance
	err := e.do(ctx, func(_ context.Context, l *loop) error {
		if l.planned.Bound == nil {
			return ErrNoDesired
		}
		out = Balance{VIPs: l.vips(), Backends: l.backends()}
		return nil
	})
	return out, err
}

func (l *loop) vips() []VIPStatus {
	b := &l.balance
	out := []VIPStatus{}
	for _, o := range l.planned.Bound.All() {
		v, ok := o.Resource.(resource.VIP)
		if !ok {
			continue
		}
		k := o.Key()
		out = append(out, VIPStatus{
			Name: v.Name, Family: v.Family, Description: v.Description, State: b.memory.States[k], Since: b.since[k].at,
			Gated: b.memory.Gated[k], Announced: b.announced[k].Shown, Seats: b.memory.Seats[k],
		})
	}
	return out
}

func (l *loop) backends() []BackendStatus {
	asked := make(map[string]health.Status)
	for _, s := range l.balance.health.Snapshot() {
		asked[s.ID] = s
	}
	seen := make(map[string]bool)
	out := []BackendStatus{}
	for _, o := range l.planned.Bound.All() {
		one, ok := o.Resource.(resource.Backend)
		if !ok || seen[targetID(one)] {
			continue
		}
		seen[targetID(one)] = true
		s := BackendStatus{Name: one.Name, Address: one.Address, Description: one.Description, Check: one.Check.Name, State: resource.HealthUp}
		if h, ok := asked[targetID(one)]; ok {
			s.fill(h)
		} else if decided, ok := l.planned.Want.Get(o.Key()); ok {
			s.State = decided.Resource.(resource.Backend).State
		}
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b BackendStatus) int { return cmp.Or(cmp.Compare(a.Name, b.Name), a.Address.Compare(b.Address)) })
	return out
}

func (s *BackendStatus) fill(h health.Status) {
	s.State, s.Since = stateOf(h.State), h.Since.Wall
	if h.Last.Code != 0 {
		s.Probe, s.Detail, s.Took = h.Last.Code.String(), h.Last.Detail, h.Last.Duration
	}
	for _, t := range h.History {
		s.History = append(s.History, Turn{At: t.At.Wall, From: stateOf(t.From), To: stateOf(t.To), Probe: t.Code.String()})
	}
}

// tellVIPs makes events of VIPs that came up or went down.
func (l *loop) tellVIPs(states map[resource.Key]intent.VIPState) {
	b := &l.balance
	next := make(map[resource.Key]since, len(states))
	for k, state := range states {
		was, known := b.since[k]
		if known && was.state == state {
			next[k] = was
			continue
		}
		next[k] = since{state, l.now().Wall}
		if known {
			l.event(Event{Type: EventHealth, Key: k, Message: "vip " + k.Name + " is " + string(state) + ", was " + string(was.state)})
		}
	}
	b.since = next
}
