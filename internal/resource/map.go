package resource

import (
	"fmt"
	"slices"
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
}

// Key identifies the map by its instance and name.
func (m Map) Key() Key {
	return Key{ChainDriver, KindMap, loaded(m.Program, m.Link, m.Digest) + "/" + m.Name}
}

// Requires the program.
func (m Map) Requires() []Key { return []Key{ProgramKey(m.Program, m.Link, m.Digest)} }

// Equal compares the entries in their order: what is read back is given in the
// order of what is wanted.
func (m Map) Equal(o Resource) bool {
	n, ok := o.(Map)
	if !ok || m.Key() != n.Key() || len(m.Entries) != len(n.Entries) {
		return false
	}
	if len(m.Entries) == 0 || &m.Entries[0] == &n.Entries[0] {
		return true
	}
	return slices.EqualFunc(m.Entries, n.Entries, func(a, b MapEntry) bool {
		return a.Key.Equal(b.Key) && a.Value.Equal(b.Value)
	})
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
