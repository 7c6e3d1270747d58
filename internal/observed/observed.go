// Package observed asks every driver what its dataplane holds and merges the
// answers. What could not be read is blind, which is not the same as empty:
// nothing is planned on it, and above all nothing is deleted.
//
// It owns the state as read back. It never compares, never writes, and imports
// only resource.
package observed

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"reconciler/internal/resource"
)

// Scope is a part of a dataplane. An empty field stands for all.
type Scope struct {
	Driver string        `json:"driver"`
	Kind   resource.Kind `json:"kind,omitempty"`
	Parent string        `json:"parent,omitempty"` // a link's name
}

// Covers reports whether a resource lies in the scope.
func (s Scope) Covers(r resource.Resource) bool {
	k := r.Key()
	if s.Driver != "" && s.Driver != k.Driver || s.Kind != "" && s.Kind != k.Kind {
		return false
	}
	if s.Parent == "" || k == resource.LinkKey(s.Parent) {
		return true
	}
	for _, p := range resource.Parents(r) {
		if p == s.Parent {
			return true
		}
	}
	return false
}

func (s Scope) String() string {
	text := s.Driver
	if s.Kind != "" {
		text += "/" + string(s.Kind)
	}
	if s.Parent != "" {
		text += " of " + s.Parent
	}
	return text
}

// Blind is a scope that could not be read, and why.
type Blind struct {
	Scope
	Reason string `json:"reason"`
}

// Tally counts objects that are neither ours nor declared.
type Tally struct {
	Kind   resource.Kind `json:"kind"`
	Origin string        `json:"origin,omitempty"` // who made them: bird, dhcp, 186
	Count  int           `json:"count"`
}

// State is what was read back.
type State struct {
	Objects *resource.Set `json:"objects"`
	Blind   []Blind       `json:"blind,omitempty"`
	Tallies []Tally       `json:"tallies,omitempty"` // filled where Query.All is set
}

// IsBlind returns the scope that hides a resource, if one does.
func (s State) IsBlind(r resource.Resource) (Blind, bool) {
	for _, b := range s.Blind {
		if b.Covers(r) {
			return b, true
		}
	}
	return Blind{}, false
}

// Same reports that two states do not differ in anything.
func (s State) Same(o State) bool {
	return slices.Equal(s.Blind, o.Blind) && slices.Equal(s.Tallies, o.Tallies) && s.Objects.Same(o.Objects)
}

// Query says what to look at.
type Query struct {
	// Want bounds the work: the answer must hold what is ours and what Want
	// names. It does not change while it is in use: it is told by its address.
	Want *resource.Set
	// Around lists keys that are about to change: the answer must also hold
	// what stands on them and what stands at their identity, foreign or not.
	Around []resource.Key
	// All asks for every object and for tallies: a plan to be read by a
	// person, and capture.
	All bool
}

// Observer is the half of a driver that reads.
type Observer interface {
	Name() string
	// Observe reads the dataplane. What it cannot read it reports as blind;
	// an error means that it could read nothing. The answer to a query with
	// neither Around nor All may be handed out again: nobody changes it.
	Observe(context.Context, Query) (State, error)
}

// Upper is an observer whose objects stand on the links that another reads. It
// is asked for them by the kernel's names.
type Upper interface {
	Observer
	StandsOnLinks()
}

// All asks every observer in turn and merges the answers. named gives Want the
// kernel's names of links for an Upper, of what those before it have read. An
// observer that fails is blind as a whole; an error is returned only when the
// context ends.
func All(ctx context.Context, from []Observer, q Query, named func(*resource.Set, State) *resource.Set) (State, error) {
	out := State{Objects: new(resource.Set)}
	for _, o := range from {
		asked := q
		if _, ok := o.(Upper); ok && q.Want != nil {
			asked.Want = named(q.Want, out)
		}
		s, err := o.Observe(ctx, asked)
		if ctx.Err() != nil {
			return State{}, fmt.Errorf("observe %s: %w", o.Name(), context.Cause(ctx))
		}
		if err != nil {
			out.Blind = append(out.Blind, Blind{Scope{Driver: o.Name()}, err.Error()})
			continue
		}
		if len(from) == 1 && s.Objects != nil {
			out.Objects = s.Objects
		} else if err := merge(out.Objects, s.Objects); err != nil {
			return State{}, fmt.Errorf("observe %s: %w", o.Name(), err)
		}
		out.Blind = append(out.Blind, s.Blind...)
		out.Tallies = append(out.Tallies, s.Tallies...)
	}
	return out, nil
}

func merge(into, from *resource.Set) error {
	var errs []error
	from.Each(func(_ resource.Key, o resource.Object) bool {
		errs = append(errs, into.Add(o))
		return true
	})
	return errors.Join(errs...)
}
