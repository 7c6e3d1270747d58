package chain

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sync/errgroup"

	"reconciler/internal/artifact"
	"reconciler/internal/resource"
)

// object is a parsed object: what it holds, before the kernel has seen it.
type object struct {
	sha256 string
	spec   *ebpf.CollectionSpec
}

// maxParsed bounds the objects that are kept parsed.
const maxParsed = 64

// ref is where an artifact store finds the object of a program.
func ref(s resource.ObjectSource) artifact.Ref {
	return artifact.Ref{URL: s.URL, File: s.File, SHA256: s.SHA256, Path: s.Path}
}

// object returns the object of a program, from the tree or from the store.
func (d *Driver) object(p resource.Program) (*object, error) {
	content, sum, err := d.bytes(p.Source)
	if err != nil {
		return nil, err
	}
	return d.parsed.object(content, sum)
}

// objects are those of some programs, or what is wrong with them. What was not
// parsed yet is parsed several at a time, with the dispatchers that it is going
// to need: it takes longer than to load.
func (d *Driver) objects(programs []resource.Program) []*parsing {
	out := make([]*parsing, len(programs))
	by := map[string]*parsing{} // SHA-256
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i, p := range programs {
		content, sum, err := d.bytes(p.Source)
		if err != nil {
			out[i] = &parsing{err: err}
			continue
		}
		if out[i] = by[sum]; out[i] != nil {
			continue
		}
		of := &parsing{object: d.parsed.known(sum)}
		out[i], by[sum] = of, of
		if of.object == nil {
			g.Go(func() error {
				of.object, of.err = d.parsed.object(content, sum)
				for _, h := range p.Hooks {
					_, _, _ = d.dispatchers.of(h) // told where it is used
				}
				return nil
			})
		}
	}
	_ = g.Wait() // each has its own error
	return out
}

// parsed are objects that were parsed, by their SHA-256. The zero value holds
// none. Whoever changes a spec makes a copy of it first.
type parsed struct {
	mu sync.Mutex // checks are made beside the other methods
	by map[string]*object
}

// parsing is what came of parsing an object.
type parsing struct {
	object *object
	err    error
}

// known is an object that was parsed before; nil for none.
func (p *parsed) known(sum string) *object {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.by[sum]
}

func (p *parsed) object(content []byte, sum string) (*object, error) {
	if o := p.known(sum); o != nil {
		return o, nil
	}
	o, err := parse(content, sum)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if had := p.by[sum]; had != nil {
		return had, nil // by somebody else, meanwhile
	}
	if len(p.by) >= maxParsed || p.by == nil {
		p.by = map[string]*object{}
	}
	p.by[sum] = o
	return o, nil
}

func (d *Driver) bytes(s resource.ObjectSource) ([]byte, string, error) {
	if s.Tree != nil {
		if s.Tree.Bytes == nil {
			return nil, "", fmt.Errorf("object %s: %w", s.File, artifact.ErrNotFetched)
		}
		return s.Tree.Bytes, s.Tree.SHA256, nil
	}
	if d.cfg.Objects == nil {
		return nil, "", artifact.ErrNotFetched
	}
	return d.cfg.Objects.Object(ref(s))
}

func parse(content []byte, sum string) (*object, error) {
	spec, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(content))
	if err != nil {
		return nil, fmt.Errorf("read BPF object: %w", err)
	}
	return &object{sum, spec}, nil
}

// errNoEntry is an object without the function that is asked for.
var errNoEntry = errors.New("no such entry")

// entry is the function of a program on a hook: the one that is named, or the
// only one of the hook's type.
func (o *object) entry(p resource.Program, hook resource.Hook) (string, error) {
	want := ebpf.SchedCLS
	if hook.IsXDP() {
		want = ebpf.XDP
	}
	if p.Entry != "" {
		return p.Entry, o.fits(p.Entry, want, hook)
	}
	var found []string
	for name, s := range o.spec.Programs {
		if s.Type == want && onInterfaces(s) {
			found = append(found, name)
		}
	}
	slices.Sort(found)
	switch len(found) {
	case 0:
		return "", fmt.Errorf("%w: the object has no program for %s", errNoEntry, hook)
	case 1:
		return found[0], nil
	}
	return "", fmt.Errorf("%w: the object has %d programs for %s, say which as entry: %s", errNoEntry, len(found), hook, strings.Join(found, ", "))
}

func (o *object) fits(entry string, want ebpf.ProgramType, hook resource.Hook) error {
	s, ok := o.spec.Programs[entry]
	if !ok {
		return fmt.Errorf("%w: %s is not in the object, which has %s", errNoEntry, entry, strings.Join(o.entries(), ", "))
	}
	if !onInterfaces(s) {
		return fmt.Errorf("%w: %s is for the entries of a map (%s), not for an interface", errNoEntry, entry, s.SectionName)
	}
	if s.Type != want {
		return fmt.Errorf("%w: %s is a program of type %s, which does not run on %s", errNoEntry, entry, s.Type, hook)
	}
	return nil
}

// onInterfaces tells programs for hooks from those of the same type that run
// where a map redirects to.
func onInterfaces(s *ebpf.ProgramSpec) bool {
	return s.AttachType != ebpf.AttachXDPDevMap && s.AttachType != ebpf.AttachXDPCPUMap
}

func (o *object) entries() []string {
	var names []string
	for name := range o.spec.Programs {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// frags reports that a function takes packets in several buffers.
func (o *object) frags(function string) bool {
	s := o.spec.Programs[function]
	return s != nil && s.Flags&bpfXDPHasFrags != 0
}

// asksKernel reports variables that the kernel's configuration fills in: the
// library makes a map of them for each function, which no name in the object
// tells.
func (o *object) asksKernel() bool {
	var section *btf.Datasec
	return o.spec.Types != nil && o.spec.Types.TypeByName(".kconfig", &section) == nil
}

const bpfXDPHasFrags = 1 << 5 // BPF_F_XDP_HAS_FRAGS of linux/bpf.h

// narrow is the spec of some functions, whose programs and maps the caller may
// change, but for instructions, contents and types, which are the object's: to
// copy those takes longer than to load them.
func (o *object) narrow(functions []string) *ebpf.CollectionSpec {
	spec := *o.spec
	spec.Programs, spec.Maps, spec.Variables = maps.Clone(spec.Programs), maps.Clone(spec.Maps), maps.Clone(spec.Variables)
	keep(&spec, functions)
	copyEach(spec.Programs)
	copyEach(spec.Maps)
	return &spec
}

// copyEach makes a map point to copies.
func copyEach[T any](m map[string]*T) {
	for k, v := range m {
		c := *v
		m[k] = &c
	}
}

// layout is what the maps of a program will be like.
func (o *object) layout(p resource.Program) []resource.MapLayout {
	spec := o.narrow(p.Functions)
	if settle(spec, p) != nil {
		return nil // told when it is prepared
	}
	var out []resource.MapLayout
	for name, m := range spec.Maps {
		out = append(out, resource.MapLayout{
			Name: name, Type: m.Type.String(), KeySize: m.KeySize, ValueSize: m.ValueSize, MaxEntries: m.MaxEntries, Flags: m.Flags,
		})
	}
	slices.SortFunc(out, func(a, b resource.MapLayout) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// digest is SHA-256 over all that decides on what is loaded.
func (o *object) digest(p resource.Program) string {
	h := sha256.New()
	line := func(parts ...string) { io.WriteString(h, strings.Join(parts, "\x00")+"\n") }
	line("object", o.sha256)
	line(append([]string{"functions"}, p.Functions...)...)
	line("frags", fmt.Sprint(p.Frags))
	for _, c := range p.Constants {
		line("constant", c.Name, c.Value.String())
	}
	for _, m := range p.Maps {
		if m.MaxEntries != 0 || m.Pin != "" {
			line("map", m.Name, fmt.Sprint(m.MaxEntries), m.Pin, fmt.Sprint(m.External))
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}
