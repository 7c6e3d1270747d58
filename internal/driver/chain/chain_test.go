package chain

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"reconciler/internal/artifact"
	"reconciler/internal/diff"
	"reconciler/internal/driver/bpffs"
	"reconciler/internal/intent"
	"reconciler/internal/observed"
	"reconciler/internal/resource"
	"reconciler/internal/state"
	"reconciler/internal/testns"
)

// bench is a namespace with a pair of links, p0 and p1, and a driver at work
// there, on a thread that the test owns.
type bench struct {
	*testns.NS
	t    *testing.T
	d    *Driver
	cfg  Config
	want *resource.Set
	// notReady is what the last plan leaves alone.
	notReady []error
}

// newBench must be called on the test's goroutine, which is bound to a thread
// in the namespace until the test ends.
func newBench(t *testing.T, change ...func(*Config)) *bench {
	t.Helper()
	b := &bench{NS: testns.New(t), t: t, want: resource.NewSet(0)}
	b.IP("link", "add", "p0", "type", "veth", "peer", "name", "p1")
	for _, name := range []string{"p0", "p1"} {
		// No address of its own: nothing is to come but what a test sends.
		b.IP("link", "set", name, "addrgenmode", "none", "up")
	}
	b.Stay()
	id, err := state.Namespace()
	if err != nil {
		t.Fatal(err)
	}
	store, err := artifact.Open(filepath.Join(t.TempDir(), "objects"), artifact.Options{})
	if err != nil {
		t.Fatal(err)
	}
	b.cfg = Config{Namespace: id.Name, Cookie: id.Cookie, Records: t.TempDir(), Objects: store}
	for _, f := range change {
		f(&b.cfg)
	}
	b.d = Open(b.cfg)
	t.Cleanup(func() {
		os.RemoveAll(b.d.pins.Dir()) // unlink works on pins as on files
	})
	return b
}

// object is a program of an object file.
func (b *bench) object(name, link, file, entry string, hooks ...resource.Hook) resource.Program {
	b.t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		b.t.Fatal(err)
	}
	sum := sha256.Sum256(content)
	return resource.Program{
		Name: name, Link: link, Entry: entry, Hooks: hooks, Version: "v1",
		Source: resource.ObjectSource{File: file, Tree: &resource.Blob{SHA256: hex.EncodeToString(sum[:]), Bytes: content}},
	}
}

const verdictObject = "testdata/verdict.o"

// chain declares a chain of programs on p0.
func (b *bench) chain(hook resource.Hook, programs ...resource.Program) resource.Chain {
	c := resource.Chain{Link: "p0", Hook: hook, Label: "edge"}
	if hook.IsXDP() {
		c.Mode = resource.Native
	}
	for _, p := range programs {
		c.Slots = append(c.Slots, resource.Slot{Program: p.Name, Link: p.Link, Proceed: hook.DefaultProceed()})
	}
	return c
}

// set is what is wanted.
func set(all ...resource.Resource) *resource.Set {
	s := resource.NewSet(len(all))
	for _, r := range all {
		s.Put(resource.Object{Resource: r, Origin: "net.yaml:1"})
	}
	return s
}

// plan is what there is to do.
func (b *bench) plan(want *resource.Set) diff.Plan {
	b.t.Helper()
	plan, _ := b.planned(want)
	return plan
}

// planned is what there is to do, and what that was made from.
func (b *bench) planned(want *resource.Set) (diff.Plan, observed.State) {
	b.t.Helper()
	ctx := context.Background()
	resolved, notes := b.d.Resolve(ctx, want)
	have, err := b.d.Observe(ctx, observed.Query{Want: resolved, Around: []resource.Key{{}}})
	if err != nil {
		b.t.Fatal(err)
	}
	bound := resource.NewSet(resolved.Len()) // as Bind does, which needs links
	for _, o := range resolved.All() {
		if h, ok := have.Objects.Get(o.Key()); ok {
			if in, ok := o.Resource.(resource.Inheritor); ok {
				o.Resource = in.Inherit(h.Resource)
			}
		}
		bound.Put(o)
	}
	var left []resource.Key
	b.notReady = nil
	for _, n := range notes {
		left = append(left, n.Key)
		b.notReady = append(b.notReady, fmt.Errorf("%s: %s: %s", n.Origin, n.Key, n.Text))
	}
	bound = intent.LeaveAlone(bound, have.Objects, left)
	plan, err := diff.Compute(bound, have)
	if err != nil {
		b.t.Fatal(err)
	}
	b.d.Annotate(have, &plan)
	return plan, have
}

// try applies what there is to do and returns the errors.
func (b *bench) try(want *resource.Set) []error {
	b.t.Helper()
	plan := b.plan(want)
	if len(b.notReady) > 0 {
		return b.notReady
	}
	for _, op := range plan.Ops {
		if err := b.d.Prepare(context.Background(), op); err != nil {
			return []error{err}
		}
	}
	var errs []error
	for _, err := range b.d.Apply(context.Background(), plan.Ops) {
		if err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}

// make makes it so, and wants nothing left to do.
func (b *bench) make(want *resource.Set) {
	b.t.Helper()
	if errs := b.try(want); len(errs) > 0 {
		b.t.Fatalf("apply: %v", errs)
	}
	if again := b.plan(want); !again.Empty() {
		b.t.Fatalf("after an apply there is still to do:\n%s", text(again))
	}
}

func text(p diff.Plan) string {
	var w strings.Builder
	if err := diff.Text(&w, p, diff.TextOptions{Full: true}); err != nil {
		return err.Error()
	}
	return w.String()
}

func TestChainLives(t *testing.T) {
	for _, hook := range resource.Hooks() {
		t.Run(string(hook), func(t *testing.T) {
			b := newBench(t)
			entry := "plain"
			if !hook.IsXDP() {
				entry = "traffic"
			}
			one := b.object("one", "p0", verdictObject, entry, hook)
			two := b.object("two", "p0", verdictObject, entry, hook)
			b.make(set(one, b.chain(hook, one)))
			b.make(set(one, two, b.chain(hook, one, two)))
			b.make(set(one, two, b.chain(hook, two, one)))
			b.make(set(two, b.chain(hook, two)))
			b.make(set())
			if names, _ := bpffs.List(b.d.pins.programs()); len(names) > 0 {
				t.Errorf("programs are left: %v", names)
			}
			if names, _ := bpffs.List(b.d.pins.chains()); len(names) > 0 {
				t.Errorf("chains are left: %v", names)
			}
		})
	}
}
