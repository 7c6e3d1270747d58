package resource

import "encoding/json"

// Opt is an attribute that may be unset. The zero value is unset.
type Opt[T comparable] struct {
	value T
	set   bool
}

// Some is an attribute that is set to v.
func Some[T comparable](v T) Opt[T] { return Opt[T]{v, true} }

// Get returns the value and whether it is set.
func (o Opt[T]) Get() (T, bool) { return o.value, o.set }

// IsSet reports whether the attribute is set.
func (o Opt[T]) IsSet() bool { return o.set }

// Or returns the value, or other where it is unset.
func (o Opt[T]) Or(other T) T {
	if o.set {
		return o.value
	}
	return other
}

// Else returns the receiver where it is set, and other where it is not.
func (o Opt[T]) Else(other Opt[T]) Opt[T] {
	if o.set {
		return o
	}
	return other
}

// MarshalJSON writes the value, or null.
func (o Opt[T]) MarshalJSON() ([]byte, error) {
	if !o.set {
		return []byte("null"), nil
	}
	return json.Marshal(o.value)
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (o *Opt[T]) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*o = Opt[T]{}
		return nil
	}
	o.set = true
	return json.Unmarshal(b, &o.value)
}

// IsZero reports that the attribute is unset, for the omitzero of JSON.
func (o Opt[T]) IsZero() bool { return !o.set }
