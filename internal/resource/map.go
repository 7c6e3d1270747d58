package resource

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// KindMap is the contents of a map of a program.
const KindMap Kind = "map"

// MapMode says which contents of a map are ours to judge.
type MapMode string

// The modes. The zero value is Merge.
const (
	Exact   MapMode = "exact"   // what is declared and nothing else
	Merge   MapMode = "merge"   // what is declared; the rest is the program's
	Initial MapMode = "initial" // put in when the map is made, and never looked at again
)

// MapEntry is a key and its value, as written in YAML, or as read back in the
// same words where the bytes are the same.
type MapEntry struct {
	Key   Value `json:"key"`
	Value Value `json:"value"`
}

// Map is the declared contents of one map of an instance.
type Map struct {
	Program string     `json:"program"`
	Link    string     `json:"link,omitempty"`
	Digest  string     `json:"digest,omitempty"` // of the Program
	Name    string     `json:"name"`
	Mode    MapMode    `json:"mode,omitempty"`
	Entries []MapEntry `json:"entries,omitempty"`
	// KeySize and ValueSize say in bytes how wide keys and values are where the
	// object has no BTF to tell; 0 where they are not given.
	KeySize   uint32 `json:"key-size,omitempty"`
	ValueSize uint32 `json:"value-size,omitempty"`
	// MaxEntries is the size that YAML gives the map; 0: as in the object.
	MaxEntries uint32 `json:"max-entries,omitempty"`
	// Tree is the object, where it came with the tree: what can be checked
	// without a kernel is checked against it.
	Tree *Blob `json:"-"`

	// Was is all that a change of the contents touches, as it was; read where
	// something changes. It can be put back without the object.
	Was []RawEntry `json:"was,omitempty"`
	// Unrecorded is how many entries a change touches, where they are too many
	// for Was.
	Unrecorded int `json:"unrecorded,omitempty"`
}

// RawEntry is an entry of a map as its bytes lie in the kernel.
type RawEntry struct {
	Key   []byte `json:"key"`
	Value []byte `json:"value,omitempty"` // of a per-CPU map those of all CPUs in a row; nil: there is no such entry
}

func (e RawEntry) equal(o RawEntry) bool {
	return bytes.Equal(e.Key, o.Key) && bytes.Equal(e.Value, o.Value)
}

// Key identifies the map by its instance and name.
func (m Map) Key() Key {
	return Key{ChainDriver, KindMap, loaded(m.Program, m.Link, m.Digest) + "/" + m.Name}
}

// Requires the program.
func (m Map) Requires() []Key { return []Key{ProgramKey(m.Program, m.Link, m.Digest)} }

// Equal compares the entries in their order: what is read back is given in the
// order of what is wanted. What was is compared with what was recorded of it.
func (m Map) Equal(o Resource) bool {
	n, ok := o.(Map)
	if !ok || m.Key() != n.Key() {
		return false
	}
	if m.IsRecord() && n.IsRecord() {
		return m.Unrecorded == n.Unrecorded && slices.EqualFunc(m.Was, n.Was, RawEntry.equal)
	}
	if len(m.Entries) != len(n.Entries) {
		return false
	}
	if len(m.Entries) == 0 || &m.Entries[0] == &n.Entries[0] {
		return true
	}
	return slices.EqualFunc(m.Entries, n.Entries, func(a, b MapEntry) bool {
		return a.Key.Equal(b.Key) && a.Value.Equal(b.Value)
	})
}

// IsRecord reports that bytes say what the map held, not words.
func (m Map) IsRecord() bool { return m.Was != nil || m.Unrecorded != 0 }

// Record leaves out the words: bytes are put back.
func (m Map) Record() Resource {
	if m.IsRecord() {
		m.Entries = nil
	}
	return m
}

// Rename passes the name of the interface on.
func (m Map) Rename(to func(string) string) Resource {
	if m.Link != "" {
		m.Link = to(m.Link)
	}
	return m
}

// Fields lists the entries, each as a field.
func (m Map) Fields() []Field {
	f := make(fields, 0, len(m.Entries))
	for _, e := range m.Entries {
		f.add(fmt.Sprintf("[%s]", e.Key), e.Value.String())
	}
	return f
}

// Summary counts what is added, changed and removed.
func (m Map) Summary(from, to Resource) string {
	was, _ := from.(Map)
	next, _ := to.(Map)
	old := make(map[string]string, len(was.Entries))
	for _, e := range was.Entries {
		old[e.Key.String()] = e.Value.String()
	}
	added, changed := 0, 0
	for _, e := range next.Entries {
		k := e.Key.String()
		switch v, ok := old[k]; {
		case !ok:
			added++
		case v != e.Value.String():
			changed++
		}
		delete(old, k)
	}
	var parts []string
	for _, p := range []struct {
		sign string
		n    int
	}{{"+", added}, {"~", changed}, {"-", len(old)}} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%s%d", p.sign, p.n))
		}
	}
	return strings.Join(parts, " ") + " of " + plural(len(next.Entries), "entry", "entries")
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
