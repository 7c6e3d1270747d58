package main

import (
	"context"
	"fmt"
	"slices"

	"reconciler/internal/diff"
	"reconciler/internal/driver"
	"reconciler/internal/observed"
	"reconciler/internal/resource"
)

// fromFile are the drivers with what they observe taken from a file of
// `reconciler observe`.
func fromFile(path string) ([]driver.Driver, error) {
	var s observed.State
	if err := readJSON(path, &s); err != nil {
		return nil, err
	}
	if s.Objects == nil {
		return nil, fmt.Errorf("read %s: it holds no objects", path)
	}
	var out []driver.Driver
	for _, d := range checkers() {
		out = append(out, recorded{d, s})
	}
	return out, nil
}

// recorded is a driver that remembers instead of looking.
type recorded struct {
	driver.Driver
	state observed.State
}

func (r recorded) Observe(_ context.Context, q observed.Query) (observed.State, error) {
	s := r.state
	s.Objects = resource.NewSet(0)
	for _, o := range r.state.Objects.All() {
		if o.Key().Driver == r.Name() {
			s.Objects.Put(o)
		}
	}
	s.Blind = slices.Concat(s.Blind, unrecorded(q.Want, s))
	return s, nil
}

// unrecorded are the parameters that are wanted and not in the file: how they
// are nobody knows. Those of a link that is not there are not there either.
func unrecorded(want *resource.Set, have observed.State) []observed.Blind {
	if want == nil {
		return nil
	}
	var blind []observed.Blind
	bound, _ := diff.Bind(want, have)
	for _, o := range bound.All() {
		s, ok := o.Resource.(resource.Sysctl)
		if !ok || have.Objects.Has(s.Key()) || s.Link != "" && !have.Objects.Has(resource.LinkKey(s.Link)) {
			continue
		}
		blind = append(blind, observed.Blind{
			Scope:  observed.Scope{Driver: s.Key().Driver, Kind: resource.KindSysctl, Parent: s.Link},
			Reason: s.Path + " is not in the file; `reconciler observe PATH` records what PATH names",
		})
	}
	return blind
}

func (r recorded) Annotate(have observed.State, plan *diff.Plan) {
	if a, ok := r.Driver.(driver.Annotator); ok {
		a.Annotate(have, plan)
	}
}
