package strict

import (
	"cmp"
	"fmt"
	"slices"
)

// maxFaults bounds a Report: a person reads no more, and a tree that is wrong
// everywhere must not cost memory without end.
const maxFaults = 10000

// Report collects faults. Paths are filled in at the end, in one walk, so that
// nothing is spent on them while all is well.
type Report struct {
	pending []pending
	dropped int
}

type pending struct {
	fault   *Fault
	value   *Value
	problem *Problem // which may get its hint after it was reported
}

// Problem says what is wrong, without where.
type Problem struct {
	Code    string
	Message string
	Hint    string
}

// Problemf is a Problem without a hint.
func Problemf(code, format string, args ...any) *Problem {
	return &Problem{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Hinted adds what to do about it.
func (p *Problem) Hinted(format string, args ...any) *Problem {
	p.Hint = fmt.Sprintf(format, args...)
	return p
}

// At reports an error at a value.
func (r *Report) At(v *Value, p *Problem) { r.add(Error, v.Pos, v, p) }

// AtKey reports an error at the key of a mapping.
func (r *Report) AtKey(c Child, p *Problem) { r.add(Error, c.KeyPos, c.Value, p) }

// Warn reports a warning at a value.
func (r *Report) Warn(v *Value, p *Problem) { r.add(Warning, v.Pos, v, p) }

// WarnKey reports a warning at the key of a mapping.
func (r *Report) WarnKey(c Child, p *Problem) { r.add(Warning, c.KeyPos, c.Value, p) }

// AtPos reports an error that belongs to no value.
func (r *Report) AtPos(pos Pos, p *Problem) { r.add(Error, pos, nil, p) }

// NoYAML reports a document that does not parse.
func (r *Report) NoYAML(pos Pos, p *Problem) {
	r.add(Error, pos, nil, p)
	if n := len(r.pending); n > 0 && r.dropped == 0 {
		r.pending[n-1].fault.Parse = true
	}
}

func (r *Report) add(s Severity, pos Pos, v *Value, p *Problem) {
	if len(r.pending) >= maxFaults {
		r.dropped++
		return
	}
	f := &Fault{Severity: s, Line: int(pos.Line), Column: int(pos.Column), Code: p.Code, Message: p.Message}
	if pos.File != nil {
		f.File = pos.File.Name
	}
	r.pending = append(r.pending, pending{f, v, p})
}

// Parse reports whether a document did not parse.
func (r *Report) Parse() bool {
	return slices.ContainsFunc(r.pending, func(p pending) bool { return p.fault.Parse })
}

// Failed reports whether there is an error among the faults.
func (r *Report) Failed() bool {
	return slices.ContainsFunc(r.pending, func(p pending) bool { return p.fault.Severity == Error })
}

// Faults returns what was reported, each once, by file, line and column. The
// path of a fault is how its value is reached from one of the roots.
func (r *Report) Faults(roots ...*Value) []*Fault {
	r.findPaths(roots)
	out := make([]*Fault, 0, len(r.pending))
	for _, p := range r.pending {
		p.fault.Hint = p.problem.Hint
		out = append(out, p.fault)
	}
	slices.SortStableFunc(out, compareFaults)
	out = slices.CompactFunc(out, func(a, b *Fault) bool { return compareFaults(a, b) == 0 })
	if r.dropped > 0 {
		last := *out[len(out)-1]
		last.Code, last.Path, last.Hint = "too-many-faults", "", ""
		last.Message = fmt.Sprintf("%d more faults are not shown", r.dropped)
		out = append(out, &last)
	}
	return out
}

func compareFaults(a, b *Fault) int {
	return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column),
		cmp.Compare(a.Code, b.Code), cmp.Compare(a.Message, b.Message))
}

// findPaths tells values by their position: merging copies them, but keeps it.
func (r *Report) findPaths(roots []*Value) {
	wanted := make(map[Pos]string)
	for _, p := range r.pending {
		if p.value != nil && p.fault.Path == "" {
			wanted[p.value.Pos] = ""
		}
	}
	if len(wanted) == 0 {
		return
	}
	for _, root := range roots {
		walk(root, wanted)
	}
	for _, p := range r.pending {
		if p.value != nil && p.fault.Path == "" {
			p.fault.Path = wanted[p.value.Pos]
		}
	}
}

// walk notes the first path at which each wanted position is found.
func walk(root *Value, wanted map[Pos]string) {
	if root == nil {
		return
	}
	for todo := []step{{value: root}}; len(todo) > 0; {
		s := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if path, ok := wanted[s.value.Pos]; ok && path == "" {
			wanted[s.value.Pos] = s.path
		}
		s.eachChild(func(next step) { todo = append(todo, next) })
	}
}
