package strict

import (
	"strconv"
	"strings"
)

// Kind is what a Value is made of.
type Kind uint8

// Kinds.
const (
	Null Kind = iota + 1
	Bool
	Int
	Float
	String
	List
	Mapping
)

func (k Kind) String() string {
	switch k {
	case Null:
		return "null"
	case Bool:
		return "a boolean"
	case Int, Float:
		return "a number"
	case String:
		return "a string"
	case List:
		return "a list"
	case Mapping:
		return "a mapping"
	}
	panic("strict: unknown kind of value")
}

// File is where values come from.
type File struct {
	Name  string // relative to the tree
	Layer string // empty where there are no layers
}

// Pos is a position in a file; lines and columns count from 1.
type Pos struct {
	File         *File
	Line, Column int32
}

// String prints file:line.
func (p Pos) String() string {
	if p.File == nil {
		return ""
	}
	return p.File.Name + ":" + strconv.Itoa(int(p.Line))
}

// Value is a node of YAML with its position, aliases resolved. Values are
// shared between trees and never changed once they are read.
type Value struct {
	Kind     Kind
	Quoted   bool
	Pos      Pos
	Text     string  // of a scalar, without quotes
	Children []Child // of a list or a mapping
	// Over is the value of a lower layer that this one took the place of. It
	// is checked for faults, and otherwise without effect.
	Over *Value
}

// Child is an entry of a mapping, or an item of a list, which has no key.
type Child struct {
	Key    string
	KeyPos Pos
	*Value
}

// IsScalar reports whether a value is neither list nor mapping.
func (v *Value) IsScalar() bool { return v.Kind < List }

// Get returns the value of a key of a mapping, or nil.
func (v *Value) Get(key string) *Value {
	if v == nil || v.Kind != Mapping {
		return nil
	}
	for _, c := range v.Children {
		if c.Key == key {
			return c.Value
		}
	}
	return nil
}

// Absent reports a mapping with `absent: true`, which takes an entry out of a
// list.
func (v *Value) Absent() bool {
	a := v.Get("absent")
	return a != nil && a.Kind == Bool && isTrue(a.Text)
}

func isTrue(text string) bool { return strings.EqualFold(text, "true") }

// step is a value and how it is reached.
type step struct {
	value *Value
	path  string
}

// eachChild calls f with what lies directly below a value, replaced values
// included.
func (s step) eachChild(f func(step)) {
	if s.value.Over != nil {
		f(step{s.value.Over, s.path})
	}
	for i, c := range s.value.Children {
		switch {
		case s.value.Kind == List:
			f(step{c.Value, s.path + "[" + strconv.Itoa(i) + "]"})
		case s.path == "":
			f(step{c.Value, c.Key})
		default:
			f(step{c.Value, s.path + "." + c.Key})
		}
	}
}
