// Package resource is the vocabulary of the reconciler: the kinds of thing a
// dataplane holds, as plain values. Desired state and observed state are made
// of the same types, so that comparing them is written once.
//
// It owns what a kind is: its identity, what it requires, what of it can be
// changed in place and what the kernel takes along when it changes. It never
// reads YAML, never talks to a kernel and imports nothing of ours.
package resource

import (
	"iter"
	"net/netip"
	"strings"
)

// Kind names a kind of resource, as it stands in a Key.
type Kind string

// Key identifies a resource within one network namespace. Two resources with
// one Key are the same thing, however their attributes differ.
type Key struct {
	Driver string `json:"driver"`
	Kind   Kind   `json:"kind"`
	Name   string `json:"name"`
}

// String prints a key as driver/kind/name.
func (k Key) String() string { return k.Driver + "/" + string(k.Kind) + "/" + k.Name }

// Compare orders keys by driver, kind and name.
func (k Key) Compare(o Key) int {
	if c := strings.Compare(k.Driver, o.Driver); c != 0 {
		return c
	}
	if c := strings.Compare(string(k.Kind), string(o.Kind)); c != 0 {
		return c
	}
	return strings.Compare(k.Name, o.Name)
}

// MarshalText lets a Key be a key of a JSON object.
func (k Key) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (k *Key) UnmarshalText(b []byte) error {
	k.Driver, k.Kind, k.Name = "", "", ""
	parts := strings.SplitN(string(b), "/", 3)
	if len(parts) != 3 {
		return &KeyError{Text: string(b)}
	}
	k.Driver, k.Kind, k.Name = parts[0], Kind(parts[1]), parts[2]
	return nil
}

// KeyError reports a text that is not a Key.
type KeyError struct{ Text string }

func (e *KeyError) Error() string { return "read key " + e.Text + ": want driver/kind/name" }

// Resource is one thing that one transaction of a dataplane makes, changes or
// removes. Implementations are values: comparing and copying them is safe.
type Resource interface {
	Key() Key
	// Requires lists what must exist before this can.
	Requires() []Key
	// Equal reports whether the dataplane holds what is wanted: attributes
	// that say how to treat the resource, not how it is, do not count.
	Equal(Resource) bool
	// Fields lists the attributes that are set, in the order they are printed.
	Fields() []Field
}

// Field is one attribute of a resource, as text.
type Field struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Change is a field that differs between two states of a resource. From or To
// is empty where the attribute is not set.
type Change struct {
	Name string `json:"name"`
	From string `json:"from,omitempty"`
	To   string `json:"to,omitempty"`
}

// Inheritor is a resource whose unset attributes take the value that exists:
// what YAML does not say is left alone. The mark of an owner is one of them.
type Inheritor interface {
	// Inherit returns the receiver with each unset attribute taken from have.
	Inherit(have Resource) Resource
}

// Replacer is a resource with attributes that only its creation can set.
type Replacer interface {
	// Replaces reports that from cannot become the receiver in place.
	Replaces(from Resource) bool
}

// Disturber is a resource whose change or removal makes the kernel take other
// objects along.
type Disturber interface {
	// Disturbs lists what is lost when the receiver becomes to; nil means it
	// is removed. With Replaces, to is the replacement.
	Disturbs(to Resource, have View) []Key
}

// Child is a resource that stands on a link. Exact lists, blind scopes and
// protection are told apart by it.
type Child interface {
	// Parent is the name of the link it stands on; empty for none.
	Parent() string
}

// Tenant is a resource whose place has room for one: a foreign one there is
// evicted only if told so.
type Tenant interface {
	Evicts() bool
	// EvictHint says how to tell so.
	EvictHint() string
}

// Spare is a resource that can stay for a while beside what takes its place,
// without any effect: an apply that is not yet confirmed leaves it, so that
// going back to it loses nothing.
type Spare interface{ IsSpare() }

// Summarizer is a resource that says of its own change what a list of fields
// would say badly.
type Summarizer interface {
	// Summary is one line; from or to is nil where there is none.
	Summary(from, to Resource) string
}

// Renamer is a resource that names links. Bind uses it to turn the names in
// YAML into the kernel's.
type Renamer interface {
	// Rename returns the receiver with every name of a link passed through to.
	Rename(to func(string) string) Resource
}

// Mender is a resource that shows when it was read back what others did to it.
type Mender interface {
	// Mended returns the receiver as it was made; what reading back cannot tell
	// is as want, which may be nil, has it.
	Mended(want Resource) Resource
}

// Recordable is a resource of which a record of the way back needs less, or
// something else, than what people read.
type Recordable interface {
	// Record returns the receiver as it is to be recorded.
	Record() Resource
}

// View is a read-only look at a set of objects.
type View interface {
	Get(Key) (Object, bool)
	All() []Object
	// On iterates over the objects that stand on a link (see Parents), in no order.
	On(link string) iter.Seq2[Key, Object]
	// From iterates over the routes that have an address as their source, in
	// no order.
	From(source netip.Addr) iter.Seq2[Key, Object]
}

// Owner says whose an object is, read from the mark it carries in the kernel.
type Owner uint8

// Owners. The zero value is for objects that were never observed.
const (
	Unowned Owner = iota
	Ours          // carries our mark: we made it, we may remove it
	Foreign       // somebody else's: never removed, unless a list is exact
	Kernel        // the kernel made it: never touched
)

func (o Owner) String() string {
	switch o {
	case Unowned:
		return "unowned"
	case Ours:
		return "ours"
	case Foreign:
		return "foreign"
	case Kernel:
		return "kernel"
	}
	panic("resource: unknown owner")
}

// MarshalText writes an Owner by its name.
func (o Owner) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (o *Owner) UnmarshalText(b []byte) error {
	for c := Unowned; c <= Kernel; c++ {
		if c.String() == string(b) {
			*o = c
			return nil
		}
	}
	return &OwnerError{Text: string(b)}
}

// OwnerError reports a text that names no Owner.
type OwnerError struct{ Text string }

func (e *OwnerError) Error() string { return "read owner: " + e.Text + " is none of them" }

// Object is a resource in a Set.
type Object struct {
	Resource
	Owner Owner
	// Origin is where a wanted object is declared, as file:line; for an
	// observed one the name of who made it where that is known (bird, dhcp).
	Origin string
}

// Changes lists the fields that differ between two states of a resource.
func Changes(from, to Resource) []Change {
	var was []Field
	if from != nil {
		was = from.Fields()
	}
	old := make(map[string]string, len(was))
	for _, f := range was {
		old[f.Name] = f.Value
	}
	var out []Change
	seen := make(map[string]bool)
	if to != nil {
		for _, f := range to.Fields() {
			seen[f.Name] = true
			if old[f.Name] != f.Value {
				out = append(out, Change{Name: f.Name, From: old[f.Name], To: f.Value})
			}
		}
	}
	for _, f := range was {
		if !seen[f.Name] {
			out = append(out, Change{Name: f.Name, From: f.Value})
		}
	}
	return out
}
