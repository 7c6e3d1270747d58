package engine

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"reconciler/internal/intent"
	"reconciler/internal/resource"
)

// MaxOverride bounds for how long a person may ask for something else than the
// source says.
const MaxOverride = 30 * 24 * time.Hour

// maxOverrides bounds how many there may be.
const maxOverrides = 256

// OverrideKind says what an override is about.
type OverrideKind string

// What overrides are about.
const (
	OverBackend OverrideKind = "backend" // Name in YAML
	OverVIP     OverrideKind = "vip"     // Name in YAML; disabled
	OverProgram OverrideKind = "program" // Name as LINK/HOOK/PROGRAM; disabled
	OverDrain   OverrideKind = "drain"   // the backends that Select finds drain
	OverHost    OverrideKind = "host"    // no VIP is announced
)

// Override is what a person wants at run time, for a while, whatever the source
// says. A second one about the same thing takes the place of the first.
type Override struct {
	Kind   OverrideKind         `json:"kind"`
	Name   string               `json:"name,omitempty"`
	Select map[string]string    `json:"select,omitempty"` // of a drain
	State  intent.OverrideState `json:"state,omitempty"`
	Pool   string               `json:"pool,omitempty"`   // of Weight; empty: each
	Weight *uint8               `json:"weight,omitempty"` // 0-100
	Flush  bool                 `json:"flush,omitempty"`  // cut the flows of what is disabled
	Reason string               `json:"reason,omitempty"`
	Until  time.Time            `json:"until"`
}

// String is an override as people read it.
func (o Override) String() string {
	words := []string{string(o.Kind)}
	if o.Name != "" {
		words = append(words, o.Name)
	}
	for _, k := range slices.Sorted(maps.Keys(o.Select)) {
		words = append(words, k+"="+o.Select[k])
	}
	if o.State != "" {
		words = append(words, string(o.State))
	}
	if o.Weight != nil {
		words = append(words, fmt.Sprintf("weight %d", *o.Weight))
	}
	if o.Pool != "" {
		words = append(words, "in pool "+o.Pool)
	}
	return strings.Join(words, " ")
}

// because adds the reason to a text, where there is one.
func (o Override) because(text string) string {
	if o.Reason == "" {
		return text
	}
	return text + ": " + o.Reason
}

// same reports that one takes the place of the other.
func (o Override) same(p Override) bool {
	return o.Kind == p.Kind && o.Name == p.Name && o.Pool == p.Pool && (o.Weight == nil) == (p.Weight == nil) && maps.Equal(o.Select, p.Select)
}

// diskOverride is one with its deadline.
type diskOverride struct {
	Override
	Deadline intent.Deadline `json:"deadline"`
}

// Override takes the word of a person for a time; at most MaxOverride.
func (e *Engine) Override(ctx context.Context, o Override, d time.Duration) (Pass, error) {
	if d <= 0 || d > MaxOverride {
		return Pass{}, fmt.Errorf("override for %s: %w (0 to %s)", d, ErrRange, MaxOverride)
	}
	if err := o.check(); err != nil {
		return Pass{}, err
	}
	return e.doPass(ctx, func(_ context.Context, l *loop) error {
		if err := l.knows(o); err != nil {
			return err
		}
		all := slices.DeleteFunc(slices.Clone(l.ledger.Overrides), func(p diskOverride) bool { return o.same(p.Override) })
		if len(all) >= maxOverrides {
			return fmt.Errorf("override %s: %w: there are %d", o, ErrRange, len(all))
		}
		one := diskOverride{Override: o, Deadline: l.now().After(d)}
		one.Until = one.Deadline.Time(l.now())
		l.setOverrides(append(all, one))
		l.event(Event{Type: EventRequest, Message: o.because(fmt.Sprintf("%s for %s", o, d))})
		return nil
	})
}

// Release ends the overrides about something; of the kind and with the name, and
// for a drain with the selection, that are given.
func (e *Engine) Release(ctx context.Context, o Override) (Pass, error) {
	return e.doPass(ctx, func(_ context.Context, l *loop) error {
		left := slices.DeleteFunc(slices.Clone(l.ledger.Overrides), func(p diskOverride) bool {
			return p.Kind == o.Kind && p.Name == o.Name && maps.Equal(p.Select, o.Select)
		})
		if len(left) == len(l.ledger.Overrides) {
			return fmt.Errorf("release %s: %w", o, ErrNothing)
		}
		l.setOverrides(left)
		l.event(Event{Type: EventRequest, Message: "release " + o.String()})
		return nil
	})
}

// check refuses what makes no sense whatever there is.
func (o Override) check() error {
	fault := ""
	switch o.Kind {
	case OverBackend:
		if o.State == "" && o.Weight == nil {
			fault = "neither a state nor a weight"
		}
		if o.Weight != nil && *o.Weight > 100 {
			fault = "a weight is 0 to 100"
		}
	case OverVIP, OverProgram:
		if o.State != intent.Disabled {
			fault = "it can only be disabled"
		}
	case OverDrain:
		if len(o.Select) == 0 {
			fault = "no labels"
		}
	case OverHost:
	default:
		fault = "want backend, vip, program, drain or host"
	}
	if fault != "" {
		return fmt.Errorf("override %s: %w: %s", o, ErrRange, fault)
	}
	return nil
}

// knows refuses what speaks of nothing that there is.
func (l *loop) knows(o Override) error {
	if l.planned.Bound == nil {
		return ErrNoDesired
	}
	found := o.Kind == OverHost
	l.planned.Bound.Each(func(k resource.Key, r resource.Object) bool {
		switch one := r.Resource.(type) {
		case resource.Backend:
			found = found || o.Kind == OverBackend && one.Name == o.Name
			found = found || o.Kind == OverDrain && intent.Order{Select: labels(o.Select)}.Selects(one)
		case resource.VIP:
			found = found || o.Kind == OverVIP && one.Name == o.Name
		case resource.Chain:
			for _, s := range one.Slots {
				found = found || o.Kind == OverProgram && k.Name+"/"+s.Program == o.Name
			}
		}
		return !found
	})
	if !found {
		return fmt.Errorf("override %s: %w", o, ErrAbsent)
	}
	return nil
}

func labels(of map[string]string) []resource.Label {
	var out []resource.Label
	for _, k := range slices.Sorted(maps.Keys(of)) {
		out = append(out, resource.Label{Name: k, Value: of[k]})
	}
	return out
}

// setOverrides keeps them on disk: they outlive a restart.
func (l *loop) setOverrides(all []diskOverride) {
	l.ledger.Overrides = all
	l.balance.turned = true
	l.saveLedger()
}

// expireOverrides drops those that are over.
func (l *loop) expireOverrides(now intent.Moment) {
	left := slices.DeleteFunc(slices.Clone(l.ledger.Overrides), func(o diskOverride) bool {
		over := now.At >= o.Deadline.Instant(now)
		if over {
			l.event(Event{Type: EventRequest, Message: o.String() + " is over"})
		}
		return over
	})
	if len(left) != len(l.ledger.Overrides) {
		l.setOverrides(left)
	}
}

// overrides are those about backends, VIPs and programs, for the deciders.
func (l *loop) overrides(now intent.Moment) []intent.Override {
	var out []intent.Override
	for _, o := range l.ledger.Overrides {
		one := intent.Override{State: o.State, Pool: o.Pool, Weight: o.Weight, Flush: o.Flush, Reason: o.Reason, Until: o.Deadline.Time(now)}
		switch o.Kind {
		case OverBackend:
			one.Backend = o.Name
		case OverVIP:
			one.VIP = o.Name
		case OverProgram:
			i := strings.LastIndexByte(o.Name, '/')
			one.Chain, one.Program = o.Name[:max(i, 0)], o.Name[i+1:]
		case OverDrain, OverHost:
			continue
		}
		out = append(out, one)
	}
	return out
}

// orders are the drains by hand.
func (l *loop) orders(now intent.Moment) []intent.Order {
	var out []intent.Order
	for _, o := range l.ledger.Overrides {
		if o.Kind == OverDrain {
			out = append(out, intent.Order{Select: labels(o.Select), DrainOrder: resource.DrainOrder{
				Name: "by hand", Until: o.Deadline.Time(now), Reason: o.Reason,
			}})
		}
	}
	return out
}

// withdrawn reports that the host drains: nothing is announced.
func (l *loop) withdrawn() bool {
	return slices.ContainsFunc(l.ledger.Overrides, func(o diskOverride) bool { return o.Kind == OverHost })
}

// shownOverrides are those in force, the next to end first.
func (l *loop) shownOverrides(now intent.Moment) []Override {
	var out []Override
	for _, o := range l.ledger.Overrides {
		o.Until = o.Deadline.Time(now)
		out = append(out, o.Override)
	}
	slices.SortFunc(out, func(a, b Override) int {
		return cmp.Or(a.Until.Compare(b.Until), strings.Compare(a.String(), b.String()))
	})
	return out
}
