package strict

// V is a scalar of a document and where it stands. The zero value is one that
// is not given.
type V[T any] struct {
	Val T
	at  *Value
	ok  bool
}

// Ok reports whether a value is given and well formed.
func (v V[T]) Ok() bool { return v.ok }

// Given reports whether there is a value, well formed or not.
func (v V[T]) Given() bool { return v.at != nil }

// Get returns the value and whether it is given and well formed.
func (v V[T]) Get() (T, bool) { return v.Val, v.ok }

// Or returns the value, or other where it is not given.
func (v V[T]) Or(other T) T {
	if v.ok {
		return v.Val
	}
	return other
}

// At is where the value stands; nil where it is not given.
func (v V[T]) At() *Value { return v.at }

// Here is embedded in the struct of a mapping that wants to know where it
// stands.
type Here struct{ at *Value }

// At is where the mapping stands; nil where it is not given.
func (h Here) At() *Value { return h.at }

// Given reports whether the mapping is given.
func (h Here) Given() bool { return h.at != nil }

func (h *Here) put(v *Value) { h.at = v }

// Map is a mapping whose keys are names, in the order they are written.
type Map[T any] []Entry[T]

// Entry is one entry of a Map.
type Entry[T any] struct {
	Name string
	Key  Child // where the name stands, and its value
	Val  T
}

// Get returns the entry of a name, or nil.
func (m Map[T]) Get(name string) *Entry[T] {
	for i := range m {
		if m[i].Name == name {
			return &m[i]
		}
	}
	return nil
}
