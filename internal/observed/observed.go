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

// Naming gives what is wanted the kernel's names of links, of what was read
// already.
type Naming func(want *resource.Set, have State) *resource.Set

// Union asks observers and merges their answers. It remembers the last merger:
// an observer that saw nothing new hands out the same set, and to copy it again
// would be most of the cost of a cycle on a large host. The zero value is ready.
type Union struct {
	parts  []*resource.Set
	merged *resource.Set
}

// Observe asks them in turn. An observer that fails is blind as a whole; an
// error is returned only when the context ends. The answer to a plain query
// whose parts are all handed out again is the last one.
func (u *Union) Observe(ctx context.Context, from []Observer, q Query, named Naming) (State, error) {
	out, parts, err := ask(ctx, from, q, named)
	if err != nil {
		return State{}, err
	}
	plain := !q.All && len(q.Around) == 0
	if plain && u.merged != nil && slices.Equal(u.parts, parts) {
		out.Objects = u.merged
		return out, nil
	}
	if out.Objects, err = mergeAll(parts); err != nil {
		return State{}, err
	}
	if plain {
		u.parts, u.merged = parts, out.Objects
	}
	return out, nil
}

// ask collects the answers; their objects stay apart.
func ask(ctx context.Context, from []Observer, q Query, named Naming) (out State, parts []*resource.Set, err error) {
	for _, o := range from {
		asked := q
		if _, ok := o.(Upper); ok && q.Want != nil {
			below, err := mergeAll(parts)
			if err != nil {
				return State{}, nil, err
			}
			asked.Want = named(q.Want, State{Objects: below, Blind: out.Blind})
		}
		s, err := o.Observe(ctx, asked)
		if ctx.Err() != nil {
			return State{}, nil, fmt.Errorf("observe %s: %w", o.Name(), context.Cause(ctx))
		}
		if err != nil {
			out.Blind = append(out.Blind, Blind{Scope{Driver: o.Name()}, err.Error()})
			continue
		}
		if s.Objects.Len() > 0 {
			parts = append(parts, s.Objects)
		}
		out.Blind = append(out.Blind, s.Blind...)
		out.Tallies = append(out.Tallies, s.Tallies...)
	}
	return out, parts, nil
}

// mergeAll makes one set of several; of one, that itself.
func mergeAll(parts []*resource.Set) (*resource.Set, error) {
	switch len(parts) {
	case 0:
		return new(resource.Set), nil
	case 1:
		return parts[0], nil
	}
	n := 0
	for _, p := range parts {
		n += p.Len()
	}
	out := resource.NewSet(n)
	var errs []error
	for _, p := range parts {
		p.Each(func(_ resource.Key, o resource.Object) bool {
			if err := out.Add(o); err != nil {
				errs = append(errs, err)
			}
			return true
		})
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("merge what was observed: %w", err)
	}
	return out, nil
}
