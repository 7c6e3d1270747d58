package netlink

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"reconciler/internal/diff"
	"reconciler/internal/driver/netlink/wire"
	"reconciler/internal/observed"
	"reconciler/internal/resource"
)

// Errors that a caller can act on.
var (
	// ErrConflict is an object of somebody else's in the place of ours.
	ErrConflict = errors.New("somebody else's is in its place")
	// ErrNoLink is a link that an operation names and that is not there.
	ErrNoLink = errors.New("no such link")
	// ErrNoMark is an address that was to be adopted, on a kernel that keeps
	// its mark as it was made.
	ErrNoMark = errors.New("this kernel does not change the mark of an address")
	// ErrOther is a rule that was read with what this build cannot write.
	ErrOther = errors.New("this build cannot write")
)

// sendOps is how many operations are encoded before they are sent.
const sendOps = 4096

// Apply does the operations in as few system calls as possible. Those that
// take several requests take several rounds: the next one goes out for all that
// have not failed yet.
func (d *Driver) Apply(ctx context.Context, ops []diff.Op) []error {
	w := &writer{d: d, ctx: ctx, ops: ops, errs: make([]error, len(ops))}
	if d.names == nil {
		w.refresh()
	}
	live := make([]int, 0, len(ops))
	for i := range ops {
		if ops[i].Key.Kind == resource.KindSysctl {
			w.fail(i, d.applySysctl(&ops[i]))
			continue
		}
		live = append(live, i)
	}
	live = w.deleteGroup(live)
	for round := 0; len(live) > 0; round++ {
		live = w.round(live, round)
	}
	w.settle()
	w.checkMarks()
	if w.renames() {
		d.names = nil
	}
	return w.errs
}

// writer is one Apply at work.
type writer struct {
	d    *Driver
	ctx  context.Context
	ops  []diff.Op
	errs []error

	refreshed bool
	taken     []int // creations that found something in their place
	sent      []int // the operation of each message in the batch
}

func (w *writer) fail(i int, err error) {
	if err != nil {
		op := &w.ops[i]
		w.errs[i] = fmt.Errorf("%s %s %s: %w", op.Verb, op.Key.Kind, op.Key.Name, err)
	}
}

// renames reports whether links come or go.
func (w *writer) renames() bool {
	for i := range w.ops { // not copied: an operation is 300 bytes long
		if w.ops[i].Key.Kind == resource.KindLink && w.ops[i].Verb != diff.Update {
			return true
		}
	}
	return false
}

// round sends one request for each operation and returns those that have more
// to send.
func (w *writer) round(live []int, round int) (more []int) {
	for some := range slices.Chunk(live, sendOps) {
		more = append(more, w.send(some, round)...)
	}
	return more
}

func (w *writer) send(some []int, round int) (more []int) {
	if w.ctx.Err() != nil {
		for _, i := range some {
			w.fail(i, context.Cause(w.ctx))
		}
		return nil
	}
	b := &w.d.batch
	b.Reset()
	w.sent = w.sent[:0]
	for _, i := range some {
		rounds, err := w.write(b, &w.ops[i], round)
		if err != nil {
			w.refused(i, round, err)
			continue
		}
		w.sent = append(w.sent, i)
		if round+1 < rounds {
			more = append(more, i)
		}
	}
	w.exchange(b, func(at int, err error) { w.refused(w.sent[at], round, err) })
	return slices.DeleteFunc(more, func(i int) bool { return w.errs[i] != nil || slices.Contains(w.taken, i) })
}

// exchange sends a batch and reports each message that failed.
func (w *writer) exchange(b *wire.Batch, failed func(at int, err error)) {
	conn, err := w.d.socket()
	var errs []error
	done := 0
	if err == nil {
		errs, done, err = conn.Do(w.ctx, b)
	}
	for at := range errs {
		if errs[at] != nil {
			failed(at, errs[at])
		}
	}
	if err == nil {
		return
	}
	for at := done; at < b.Len(); at++ {
		failed(at, err)
	}
}

// refused deals with a request that failed: what is gone already is deleted,
// and what is there already may be what was to be made.
func (w *writer) refused(i, round int, err error) {
	op := &w.ops[i]
	switch {
	case removes(op, round) && isGone(err):
	case op.Verb == diff.Create && wire.Is(err, unix.EEXIST):
		w.taken = append(w.taken, i)
	default:
		w.fail(i, explain(op, err))
	}
}

// explain adds to a refusal what the kernel leaves out.
func explain(op *diff.Op, err error) error {
	switch op.Key.Kind {
	case resource.KindLink:
		return explainLink(op, err)
	case resource.KindAddress:
		return explainScope(op, err)
	}
	return err
}

// removes reports whether the request of a round takes something away.
func removes(op *diff.Op, round int) bool {
	switch op.Verb {
	case diff.Delete:
		return true
	case diff.Replace, diff.Update:
		if op.Key.Kind == resource.KindRule {
			return round == 1
		}
		return op.Verb == diff.Replace && round == 0
	}
	return false
}

func isGone(err error) bool {
	return errors.Is(err, ErrNoLink) || wire.Is(err, unix.ENODEV, unix.ESRCH, unix.ENOENT, unix.EADDRNOTAVAIL)
}

// write writes the request of a round and returns how many rounds the
// operation takes.
func (w *writer) write(b *wire.Batch, op *diff.Op, round int) (int, error) {
	switch op.Key.Kind {
	case resource.KindLink:
		return w.writeLink(b, op, round)
	case resource.KindPort:
		return w.writePort(b, op)
	case resource.KindAddress:
		return w.writeAddress(b, op, round)
	case resource.KindRoute:
		return w.writeRoute(b, op, round)
	case resource.KindRule:
		return w.writeRule(b, op, round)
	case resource.KindNeighbour:
		return w.writeNeighbour(b, op, round)
	}
	return 0, fmt.Errorf("the netlink driver has no %s objects", op.Key.Kind)
}

// index is the kernel's number of a link. One that is not known may be new:
// all are read once more.
func (w *writer) index(name string) (int32, error) {
	if w.d.names != nil {
		if i, ok := w.d.names.byName[name]; ok {
			return i, nil
		}
	}
	if !w.refreshed {
		w.refresh()
		return w.index(name)
	}
	return 0, fmt.Errorf("%w: %s", ErrNoLink, name)
}

// refresh reads the names of the links.
func (w *writer) refresh() {
	w.refreshed = true
	l := &look{d: w.d, ctx: w.ctx}
	if err := l.links(); err != nil {
		w.d.cfg.Log.Warn("cannot read links", "error", err)
	}
}

// settle decides about creations that found something in their place: what is
// so already is done, what is ours is made so, and what is not is left alone.
func (w *writer) settle() {
	if len(w.taken) == 0 {
		return
	}
	want := resource.NewSet(len(w.taken))
	for _, i := range w.taken {
		want.Put(resource.Object{Resource: w.ops[i].To, Owner: resource.Ours})
	}
	have, err := w.d.Observe(w.ctx, observed.Query{Want: want})
	w.ops = slices.Clone(w.ops) // the caller's stay as they are
	var again []int
	for _, i := range w.taken {
		op, e := settled(w.ops[i], have, err)
		w.fail(i, e)
		if e == nil && op.Verb != diff.NoVerb {
			w.ops[i] = op
			again = append(again, i)
		}
	}
	w.taken = nil
	for round := 0; len(again) > 0; round++ {
		again = w.round(again, round)
	}
}

// settled is what is left to do of a creation in whose place something is.
func settled(op diff.Op, have observed.State, err error) (diff.Op, error) {
	if err != nil {
		return op, fmt.Errorf("look at what is in its place: %w", err)
	}
	o, ok := inPlace(op, have)
	switch {
	case !ok && op.Key.Kind == resource.KindNeighbour:
		op.Verb = diff.Update // over what the kernel learned
		return op, nil
	case !ok:
		return op, fmt.Errorf("%w (EEXIST)", ErrConflict)
	case o.Equal(op.To):
		return diff.Op{}, nil
	case o.Owner != resource.Ours:
		return op, fmt.Errorf("%w: %s", ErrConflict, describe(o))
	}
	op.From, op.Verb = o.Resource, diff.Update
	if in, ok := op.To.(resource.Inheritor); ok {
		op.To = in.Inherit(o.Resource)
	}
	if r, ok := op.To.(resource.Replacer); ok && r.Replaces(o.Resource) || o.Key() != op.Key {
		op.Verb = diff.Replace
	}
	return op, nil
}

// inPlace finds what keeps an object from being made. For IPv6 an address is
// the same whatever the length of its prefix.
func inPlace(op diff.Op, have observed.State) (resource.Object, bool) {
	if o, ok := have.Objects.Get(op.Key); ok {
		return o, true
	}
	a, ok := op.To.(resource.Address)
	if !ok {
		return resource.Object{}, false
	}
	for _, o := range have.Objects.On(a.Link) {
		if b, ok := o.Resource.(resource.Address); ok && b.Prefix.Addr() == a.Prefix.Addr() {
			return o, true
		}
	}
	return resource.Object{}, false
}

func describe(o resource.Object) string {
	text := o.Key().Name
	for _, f := range o.Fields() {
		text += " " + f.Name + " " + f.Value
	}
	if o.Origin != "" {
		text += " (" + o.Origin + ")"
	}
	return text
}
