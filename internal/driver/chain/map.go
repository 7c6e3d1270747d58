package chain

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/cilium/ebpf"

	"reconciler/internal/driver/chain/value"
	"reconciler/internal/observed"
	"reconciler/internal/resource"
)

// contents is the declared contents of a map, encoded.
type contents struct {
	of     resource.Map
	key    value.Codec
	value  value.Codec
	keys   [][]byte
	values [][]byte
	index  map[string]int // by encoded key
	last   reading
}

// reading is the whole of a map as it lay in the kernel at the last look, and
// what came of comparing it: the same bytes again need no comparing. The kernel
// gives the entries of a map that nobody writes in one order.
type reading struct {
	keys, values []byte
	found        difference
}

// same reads the map beside what was read last.
func (r *reading) same(m *ebpf.Map) bool {
	if len(r.keys) == 0 {
		return false
	}
	keys, values, same := r.keys, r.values, true
	err := batches(m, func(k, v []byte) {
		same = same && bytes.HasPrefix(keys, k) && bytes.HasPrefix(values, v)
		if same {
			keys, values = keys[len(k):], values[len(v):]
		}
	})
	return err == nil && same && len(keys) == 0
}

// encode turns the declared contents of a map into bytes. The same contents
// are encoded once.
func (d *Driver) encode(m resource.Map, p resource.Program) (*contents, error) {
	if had := d.encoded[m.Key()]; had != nil && had.of.Mode == m.Mode && sameEntries(had.of.Entries, m.Entries) {
		return had, nil
	}
	obj, err := d.object(p)
	if err != nil {
		return nil, err
	}
	spec := obj.spec.Maps[m.Name]
	if spec == nil {
		return nil, fmt.Errorf("the object has no map %s, it has %s", m.Name, orNone(mapNames(obj.spec)))
	}
	c, err := encode(m, spec)
	if err != nil {
		return nil, err
	}
	d.encoded[m.Key()] = c
	return c, nil
}

// sameEntries reports one list, not two alike.
func sameEntries(a, b []resource.MapEntry) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

func encode(m resource.Map, spec *ebpf.MapSpec) (*contents, error) {
	c := &contents{of: m, index: make(map[string]int, len(m.Entries))}
	var err error
	if c.key, c.value, err = codecs(m, spec); err != nil {
		return nil, err
	}
	for _, e := range m.Entries {
		k, err := c.key.Encode(e.Key)
		if err != nil {
			return nil, fmt.Errorf("key %s: %w", e.Key, err)
		}
		if _, twice := c.index[c.identity(k)]; twice {
			return nil, fmt.Errorf("key %s: another entry has the same key", e.Key)
		}
		v, err := c.value.Encode(e.Value)
		if err != nil {
			return nil, fmt.Errorf("value of key %s: %w", e.Key, err)
		}
		c.index[c.identity(k)] = len(c.keys)
		c.keys, c.values = append(c.keys, k), append(c.values, v)
	}
	return c, nil
}

// identity is what a map tells entries by: a trie takes no notice of bits beyond
// the prefix.
func (c *contents) identity(key []byte) string {
	k := slices.Clone(key)
	c.key.Normalize(k)
	return string(k)
}

// codecs are how the keys and values of a map are written: as its types say,
// or else as wide as they are.
func codecs(m resource.Map, spec *ebpf.MapSpec) (key, val value.Codec, err error) {
	if !holdsEntries(spec.Type) {
		return key, val, fmt.Errorf("a map of type %s takes no entries", spec.Type)
	}
	if err := widths(m, spec); err != nil {
		return key, val, err
	}
	key, val = value.Plain(int(spec.KeySize)), value.Plain(int(spec.ValueSize))
	if spec.Key != nil && !isArray(spec.Type) {
		if key, err = value.Of(spec.Key, int(spec.KeySize)); err != nil {
			return key, val, fmt.Errorf("type of keys: %w", err)
		}
	}
	if spec.Type == ebpf.LPMTrie {
		key = value.LPM(key)
	}
	if spec.Value != nil {
		if val, err = value.Of(spec.Value, int(spec.ValueSize)); err != nil {
			return key, val, fmt.Errorf("type of values: %w", err)
		}
	}
	return key, val, nil
}

func widths(m resource.Map, spec *ebpf.MapSpec) error {
	if m.KeySize != 0 && m.KeySize != spec.KeySize {
		return fmt.Errorf("key-size: %d, but keys of the object's map have %d bytes", m.KeySize, spec.KeySize)
	}
	if m.ValueSize != 0 && m.ValueSize != spec.ValueSize {
		return fmt.Errorf("value-size: %d, but values of the object's map have %d bytes", m.ValueSize, spec.ValueSize)
	}
	return nil
}

func holdsEntries(t ebpf.MapType) bool {
	switch t {
	case ebpf.Hash, ebpf.Array, ebpf.PerCPUHash, ebpf.PerCPUArray, ebpf.LRUHash, ebpf.LRUCPUHash, ebpf.LPMTrie:
		return true
	}
	return false
}

func isArray(t ebpf.MapType) bool { return t == ebpf.Array || t == ebpf.PerCPUArray }

// room checks that the map can hold the entries.
func (c *contents) room(t ebpf.MapType, maxEntries uint32) error {
	if len(c.keys) > int(maxEntries) {
		return fmt.Errorf("map %s has room for %d entries, and %d are declared (max-entries makes it larger)", c.of.Name, maxEntries, len(c.keys))
	}
	if !isArray(t) {
		return nil
	}
	for i, k := range c.keys {
		if word(k) >= maxEntries {
			return fmt.Errorf("map %s is an array of %d: there is no index %s", c.of.Name, maxEntries, c.of.Entries[i].Key)
		}
	}
	return nil
}

// observeMaps reads the contents of the maps that are declared; where something
// is about to change also what it would take to put them back.
func (d *Driver) observeMaps(s *observed.State, want *resource.Set, changes bool) {
	for _, m := range d.declared(*s, want) {
		seen, there, err := d.readMap(m.Map, m.program, changes)
		switch {
		case err != nil:
			s.Blind = append(s.Blind, observed.Blind{
				Scope: observed.Scope{Driver: resource.ChainDriver, Kind: resource.KindMap}, Reason: fmt.Sprintf("map %s: %v", m.Key().Name, err),
			})
		case there:
			s.Objects.Put(resource.Object{Resource: seen, Owner: resource.Ours})
		}
	}
}

// declaredMap is a map with the program that tells what its bytes mean.
type declaredMap struct {
	resource.Map
	program resource.Program
}

// declared lists the maps that are declared. What is wanted has the names of
// YAML: of a program one of whose instances is not there under its name, those
// that run are taken for it.
func (d *Driver) declared(s observed.State, want *resource.Set) []declaredMap {
	var out []declaredMap
	elsewhere := map[string]declaredMap{} // by program, digest and map
	want.Each(func(_ resource.Key, o resource.Object) bool {
		m, ok := o.Resource.(resource.Map)
		if !ok || m.Digest == "" {
			return true
		}
		k := m.Requires()[0]
		of, _ := want.Get(k)
		p, ok := of.Resource.(resource.Program)
		switch {
		case m.IsRecord():
			out = append(out, declaredMap{Map: m}) // its bytes say all
		case !ok:
		case m.Link != "" && !s.Objects.Has(k):
			elsewhere[p.Name+p.Digest+m.Name] = declaredMap{m, p}
		default:
			out = append(out, declaredMap{m, p})
		}
		return true
	})
	for _, m := range elsewhere {
		for _, i := range d.instances() {
			if i.program == m.Program && i.digest == m.Digest && i.link != "" && !want.Has(resource.ProgramKey(i.program, i.link, i.digest)) {
				m.Link = i.link
				out = append(out, m)
			}
		}
	}
	return out
}

func (d *Driver) readMap(m resource.Map, p resource.Program, changes bool) (resource.Map, bool, error) {
	open, err := d.openMap(m)
	if err != nil {
		return m, false, nil // its program is damaged, or not there
	}
	defer open.Close()
	if m.IsRecord() {
		m, err = readRecord(m, open)
		return m, err == nil, err
	}
	if m.Mode == resource.Initial {
		return m, true, nil // put in when it was made
	}
	c, err := d.encode(m, p)
	if err != nil {
		m.Entries = nil // told when it is to be written
		return m, true, nil
	}
	found, err := c.compare(open)
	if err != nil {
		return m, false, err
	}
	m.Entries = found.entries(c)
	if changes && !found.none() {
		m.Was, m.Unrecorded, err = found.was(c, open)
	}
	return m, err == nil, err
}

// difference is what the kernel holds, held against what is declared.
type difference struct {
	missing []int     // declared and not there
	differs []int     // there with another value
	is      [][]byte  // of those, what is there
	extra   []rawPair // there and not declared, of an exact map
}

type rawPair struct{ key, value []byte }

func (f difference) none() bool { return len(f.missing)+len(f.differs)+len(f.extra) == 0 }

// entries is what is there, in the words and the order of what is declared.
func (f difference) entries(c *contents) []resource.MapEntry {
	if f.none() {
		return c.of.Entries
	}
	out := slices.Clone(c.of.Entries)
	for n, i := range f.differs {
		out[i].Value = value.Render(c.value, f.is[n], out[i].Value)
	}
	for _, i := range slices.Backward(f.missing) {
		out = slices.Delete(out, i, i+1)
	}
	for _, e := range f.extra {
		out = append(out, resource.MapEntry{Key: value.Render(c.key, e.key, resource.Value{}), Value: value.Render(c.value, e.value, resource.Value{})})
	}
	return out
}

// compare reads the map.
func (c *contents) compare(m *ebpf.Map) (difference, error) {
	if c.of.Mode != resource.Exact && len(c.keys) <= fewEntries && m.Type() != ebpf.LPMTrie { // which finds a wider prefix for one that is not there
		return c.compareFew(m)
	}
	if c.last.same(m) {
		return c.last.found, nil
	}
	c.last = reading{}
	found, err := c.compareAll(m)
	c.last.found = found
	if err != nil {
		c.last = reading{}
	}
	return found, err
}

func (c *contents) compareAll(m *ebpf.Map) (difference, error) {
	var f difference
	exact := c.of.Mode == resource.Exact
	seen := make([]bool, len(c.keys))
	zero := make([]byte, m.ValueSize())
	err := each(m, func(k, v []byte) {
		c.last.keys, c.last.values = append(c.last.keys, k...), append(c.last.values, v...)
		c.key.Normalize(k)
		i, declared := c.index[string(k)]
		switch {
		case declared:
			seen[i] = true
			if !c.value.Equal(v, c.values[i]) {
				f.differs, f.is = append(f.differs, i), append(f.is, slices.Clone(v))
			}
		case exact && !(isArray(m.Type()) && string(v) == string(zero)):
			f.extra = append(f.extra, rawPair{slices.Clone(k), slices.Clone(v)})
		}
	})
	for i, ok := range seen {
		if !ok {
			f.missing = append(f.missing, i)
		}
	}
	slices.SortFunc(f.extra, func(a, b rawPair) int { return slices.Compare(a.key, b.key) })
	return f, err
}

// fewEntries is how many declared keys are looked up one by one, rather than
// by reading the whole map.
const fewEntries = 64

func (c *contents) compareFew(m *ebpf.Map) (f difference, err error) {
	for i, k := range c.keys {
		v, err := lookup(m, k)
		switch {
		case errors.Is(err, ebpf.ErrKeyNotExist):
			f.missing = append(f.missing, i)
		case err != nil:
			return f, fmt.Errorf("look up key %s: %w", c.of.Entries[i].Key, err)
		case !c.value.Equal(v, c.values[i]):
			f.differs, f.is = append(f.differs, i), append(f.is, v)
		}
	}
	return f, nil
}

// writing is the contents of a map about to be put in.
type writing struct {
	contents *contents
	m        *ebpf.Map
	was      []resource.RawEntry // to be put back, in the place of contents
}

func (w *writing) close() { w.m.Close() }

// prepareMap encodes the contents and checks that there is room for them.
func (d *Driver) prepareMap(m resource.Map) error {
	if d.refused[resource.ProgramKey(m.Program, m.Link, m.Digest)] {
		return nil // told of its program
	}
	open, err := d.openMap(m)
	if err != nil {
		return fmt.Errorf("open map %s: %w", m.Name, err)
	}
	if m.IsRecord() {
		return d.prepareRecord(m, open)
	}
	c, err := d.encode(m, d.programOf(m))
	if err == nil {
		err = c.room(open.Type(), open.MaxEntries())
	}
	if err != nil {
		open.Close()
		return err
	}
	d.ready[m.Key()] = &writing{contents: c, m: open}
	return nil
}

// programOf is the instance of a map, as it was prepared or last wanted.
func (d *Driver) programOf(m resource.Map) resource.Program {
	key := resource.ProgramKey(m.Program, m.Link, m.Digest)
	if l, ok := d.ready[key].(*loading); ok {
		return l.program
	}
	o, _ := d.wanted.Get(key)
	p, _ := o.Resource.(resource.Program)
	return p
}

// fill checks that the declared contents of an instance fit before anything is
// touched, and puts in what a new map begins with.
func (d *Driver) fill(l *loading) error {
	key := l.program.Key()
	for _, o := range d.wanted.All() {
		m, ok := o.Resource.(resource.Map)
		if !ok || resource.ProgramKey(m.Program, m.Link, m.Digest) != key {
			continue
		}
		if err := d.fillOne(l, m); err != nil {
			return fmt.Errorf("%s: contents of map %s: %w", o.Origin, m.Name, err)
		}
	}
	return nil
}

func (d *Driver) fillOne(l *loading, m resource.Map) error {
	c, err := d.encode(m, l.program)
	if err != nil {
		return err
	}
	open := l.maps[m.Name]
	if open == nil {
		return errors.New("the program does not use it")
	}
	if err := c.room(open.Type(), open.MaxEntries()); err != nil {
		return err
	}
	if m.Mode != resource.Initial || !l.made[m.Name] {
		return nil
	}
	return put(open, c.keys, c.values)
}

// writeMap makes the contents as declared: what is there too much goes first,
// as a full map takes nothing more.
func (d *Driver) writeMap(w *writing) error {
	if w.was != nil {
		return putBack(w.m, w.was)
	}
	c := w.contents
	if c.of.Mode == resource.Initial {
		return nil // put in when it was made
	}
	f, err := c.compare(w.m)
	if err != nil {
		return err
	}
	for _, e := range f.extra {
		if err := erase(w.m, e.key); err != nil {
			return fmt.Errorf("delete key %s: %w", value.Render(c.key, e.key, resource.Value{}), err)
		}
	}
	var keys, values [][]byte
	for _, i := range append(f.missing, f.differs...) {
		keys, values = append(keys, c.keys[i]), append(values, c.values[i])
	}
	if err := put(w.m, keys, values); err != nil {
		return fmt.Errorf("write map %s: %w", c.of.Name, err)
	}
	return nil
}
