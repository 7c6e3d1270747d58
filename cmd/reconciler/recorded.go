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

// fromFile are drivers with what they observe taken from a file of `reconciler
// observe`.
func fromFile(path string, drivers []driver.Driver) ([]driver.Driver, error) {
	var s observed.State
	if err := readJSON(path, &s); err != nil {
		return nil, err
	}
	if s.Objects == nil {
		return nil, fmt.Errorf("read %s: it holds no objects", path)
	}
	var out []driver.Driver
	for _, d := range drivers {
		out = append(out, recorded{d, s})
		s.Tallies = nil // they are of no driver: the first tells them
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
	s.Blind = slices.DeleteFunc(slices.Concat(s.Blind, unrecorded(q.Want, r.state)), func(b observed.Blind) bool { return b.Driver != r.Name() })
	return s, nil
}

// unrecorded are the parameters and the contents of maps that are wanted and
// not in the file: how they are nobody knows. Those of a link or a program that
// is not there are not there either.
func unrecorded(want *resource.Set, have observed.State) []observed.Blind {
	if want == nil {
		return nil
	}
	var blind []observed.Blind
	bound, _ := diff.Bind(want, have)
	for _, o := range bound.All() {
		switch r := o.Resource.(type) {
		case resource.Sysctl:
			if have.Objects.Has(r.Key()) || r.Link != "" && !have.Objects.Has(resource.LinkKey(r.Link)) {
				continue
			}
			blind = append(blind, unknown(observed.Scope{Driver: r.Key().Driver, Kind: resource.KindSysctl, Parent: r.Link}, r.Path))
		case resource.Map:
			if have.Objects.Has(r.Key()) || !have.Objects.Has(r.Requires()[0]) {
				continue
			}
			blind = append(blind, unknown(observed.Scope{Driver: r.Key().Driver, Kind: resource.KindMap}, "the contents of map "+r.Key().Name))
		}
	}
	return blind
}

func unknown(scope observed.Scope, what string) observed.Blind {
	return observed.Blind{Scope: scope, Reason: what + " is not in the file; `reconciler observe PATH` records what PATH names"}
}

// Resolve reaches the driver: what is in an object is no matter of a host.
func (r recorded) Resolve(ctx context.Context, want *resource.Set) (*resource.Set, []diff.Note) {
	if d, ok := r.Driver.(driver.Resolver); ok {
		return d.Resolve(ctx, want)
	}
	return want, nil
}

// Annotate reaches the driver.
func (r recorded) Annotate(have observed.State, plan *diff.Plan) {
	if a, ok := r.Driver.(driver.Annotator); ok {
		a.Annotate(have, plan)
	}
}
