package chain

import (
	"context"
	"errors"
	"slices"

	"reconciler/internal/artifact"
	"reconciler/internal/diff"
	"reconciler/internal/resource"
)

// Fetch brings the objects that are wanted and not on this host.
func (d *Driver) Fetch(ctx context.Context, want *resource.Set) error {
	var errs []error
	var refs []artifact.Ref
	for _, o := range want.All() {
		p, ok := o.Resource.(resource.Program)
		if !ok || p.Source.Tree != nil || slices.Contains(refs, ref(p.Source)) {
			continue
		}
		refs = append(refs, ref(p.Source))
		if err := d.cfg.Objects.Fetch(ctx, ref(p.Source)); err != nil {
			errs = append(errs, &FetchError{Program: p.Name, Origin: o.Origin, Err: err})
		}
	}
	if len(errs) == 0 && len(refs) > 0 {
		errs = append(errs, d.cfg.Objects.Keep(slices.Concat(refs, d.recent())))
	}
	return errors.Join(errs...)
}

// recent are the objects of what was wanted before: until a change is confirmed
// it may be wanted again, and there may be no network then.
func (d *Driver) recent() []artifact.Ref {
	d.mu.Lock()
	defer d.mu.Unlock()
	var refs []artifact.Ref
	for _, w := range d.asked {
		for _, o := range w.All() {
			if p, ok := o.Resource.(resource.Program); ok && p.Source.Tree == nil {
				refs = append(refs, ref(p.Source))
			}
		}
	}
	return refs
}

// mostRecent is how many of what was wanted are remembered for it.
const mostRecent = 4

// FetchError is an object that could not be brought here.
type FetchError struct {
	Program string
	Origin  string // file:line
	Err     error
}

func (e *FetchError) Error() string {
	return e.Origin + ": fetch the object of program " + e.Program + ": " + e.Err.Error()
}

// Unwrap is what went wrong.
func (e *FetchError) Unwrap() error { return e.Err }

// Resolve fills in what only the objects tell: functions, digests, and with
// them the keys. A program whose object is not at hand gets a note and stays
// without a digest.
func (d *Driver) Resolve(_ context.Context, want *resource.Set) (*resource.Set, []diff.Note) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !slices.Contains(d.asked, want) {
		d.asked = append(d.asked, want)
		d.asked = d.asked[max(0, len(d.asked)-mostRecent):]
	}
	r := resolving{
		d: d, programs: map[resource.Key]resource.Program{}, objects: map[resource.Key]*object{}, declared: map[resource.Key][]string{},
	}
	found := r.find(want)
	last := &d.resolved
	if last.want == want && last.answer != nil && sameStrings(last.from, found) {
		return last.answer, last.notes
	}
	last.want, last.from = want, found
	last.answer, last.notes = want, nil
	if len(found) > 0 {
		last.answer = r.all(want)
		last.notes = r.notes
	}
	return last.answer, last.notes
}

func sameStrings(a, b map[resource.Key]string) bool {
	if len(a) != len(b) {
		return false
	}
	for k, v := range a {
		if b[k] != v {
			return false
		}
	}
	return true
}

// resolving is one Resolve at work.
type resolving struct {
	d        *Driver
	objects  map[resource.Key]*object
	declared map[resource.Key][]string         // maps with contents, by program
	programs map[resource.Key]resource.Program // by the key before
	notes    []diff.Note
}

// find finds the objects of all programs. It returns their digests, or else what
// is wrong with them.
func (r *resolving) find(want *resource.Set) map[resource.Key]string {
	var wanted []resource.Object
	var programs []resource.Program
	for _, o := range want.All() {
		if p, ok := o.Resource.(resource.Program); ok {
			wanted, programs = append(wanted, o), append(programs, p)
		}
	}
	found := make(map[resource.Key]string, len(programs))
	for i, of := range r.d.objects(programs) {
		found[wanted[i].Key()] = r.program(programs[i], wanted[i], of)
	}
	return found
}

// program takes a program up with its object.
func (r *resolving) program(p resource.Program, o resource.Object, of *parsing) string {
	obj, err := of.object, of.err
	if err == nil {
		p.Functions, err = functions(obj, p)
	}
	if err != nil {
		r.notes = append(r.notes, diff.Note{Code: diff.NotReady, Key: o.Key(), Text: err.Error(), Origin: o.Origin})
		return "! " + err.Error()
	}
	r.objects[o.Key()], r.programs[o.Key()] = obj, p
	return obj.sha256
}

func functions(o *object, p resource.Program) ([]string, error) {
	var out []string
	for _, h := range p.Hooks {
		f, err := o.entry(p, h)
		if err != nil {
			return nil, err
		}
		out = append(out, f)
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// all is want with everything filled in.
func (r *resolving) all(want *resource.Set) *resource.Set {
	r.frags(want)
	for k, p := range r.programs {
		p.Digest = r.objects[k].digest(p)
		p.Layout = r.objects[k].layout(p)
		r.programs[k] = p
	}
	for _, o := range want.All() {
		if m, ok := o.Resource.(resource.Map); ok {
			k := resource.ProgramKey(m.Program, m.Link, "")
			r.declared[k] = append(r.declared[k], m.Name)
		}
	}
	out := resource.NewSet(want.Len())
	for _, o := range want.All() {
		switch v := o.Resource.(type) {
		case resource.Program:
			if p, ok := r.programs[v.Key()]; ok {
				o.Resource = p
			}
		case resource.Map:
			o.Resource = r.contents(v, o.Origin)
		case resource.Chain:
			o.Resource = r.chain(v)
		}
		out.Put(o)
	}
	for _, o := range want.Aside() {
		out.SetAside(o)
	}
	r.waiting(want)
	return out
}

// contents encodes what a map is to hold, so that what cannot be is told before
// anything is touched.
func (r *resolving) contents(m resource.Map, origin string) resource.Map {
	p, ok := r.programs[resource.ProgramKey(m.Program, m.Link, "")]
	if !ok {
		return m
	}
	m.Digest = p.Digest
	if _, err := r.d.encode(m, p); err != nil {
		// The program neither: it would be loaded for nothing.
		r.notes = append(r.notes,
			diff.Note{Code: diff.NotReady, Key: m.Key(), Text: err.Error(), Origin: origin},
			diff.Note{Code: diff.NotReady, Key: p.Key(), Text: "what map " + m.Name + " is to hold cannot be written", Origin: origin})
	}
	return m
}

// chain fills the slots in, with the maps whose contents a program needs before
// it may run.
func (r *resolving) chain(c resource.Chain) resource.Chain {
	c.Slots = slices.Clone(c.Slots)
	c.Bypass = r.d.cfg.Bypass.String()
	c.Seen.ABI = resource.ChainABI
	c.Frags = len(c.Slots) > 0 && c.Hook.IsXDP()
	for i := range c.Slots {
		s := &c.Slots[i]
		k := resource.ProgramKey(s.Program, s.Link, "")
		p, ok := r.programs[k]
		c.Frags = c.Frags && p.Frags
		if !ok {
			continue
		}
		s.Digest, s.Version, s.Maps = p.Digest, p.Version, r.declared[k]
		s.Function, _ = r.objects[k].entry(p, c.Hook) // found before
	}
	return c
}

// frags decides which instances are loaded for packets in several buffers: the
// kernel takes programs into one array only if all are or none is.
func (r *resolving) frags(want *resource.Set) {
	takes := map[resource.Key]bool{}
	for k, p := range r.programs {
		f, err := r.objects[k].entry(p, resource.XDPIngress)
		takes[k] = err == nil && r.objects[k].frags(f)
	}
	for again := true; again; { // an instance without carries over to all its chains
		again = false
		for _, o := range want.All() {
			c, ok := o.Resource.(resource.Chain)
			if !ok || !c.Hook.IsXDP() || r.allTake(c, takes) {
				continue
			}
			for _, s := range c.Slots {
				k := resource.ProgramKey(s.Program, s.Link, "")
				again = again || takes[k]
				delete(takes, k)
			}
		}
	}
	for k, p := range r.programs {
		p.Frags = takes[k]
		r.programs[k] = p
	}
}

// allTake reports that every program of a chain takes packets in several
// buffers. One whose object is not at hand is no reason to load the others
// another way: the chain waits for it.
func (r *resolving) allTake(c resource.Chain, takes map[resource.Key]bool) bool {
	for _, s := range c.Slots {
		k := resource.ProgramKey(s.Program, s.Link, "")
		if _, known := r.programs[k]; known && !takes[k] {
			return false
		}
	}
	return true
}
