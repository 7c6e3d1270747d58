package value

import (
	"fmt"

	"reconciler/internal/resource"
)

// fault is an error with the way to the field that it is about.
type fault struct {
	path string // such as "ports[3].low"
	err  error
}

func (f *fault) Error() string { return f.path + ": " + f.err.Error() }
func (f *fault) Unwrap() error { return f.err }

// inField puts a field in front of the way of an error of one of its parts.
func inField(name string, err error) error {
	if f, ok := err.(*fault); ok {
		dot := "."
		if f.path[0] == '[' {
			dot = ""
		}
		return &fault{name + dot + f.path, f.err}
	}
	return &fault{name, err}
}

// inItem does the same with an item of a list.
func inItem(i int, err error) error { return inField(fmt.Sprintf("[%d]", i), err) }

// misfit is the error for a value that a type does not take.
func misfit(v resource.Value, takes string) error {
	return fmt.Errorf("%s does not fit: it takes %s", brief(v), takes)
}

// longest is how much of a value an error shows, in bytes.
const longest = 60

func brief(v resource.Value) string {
	if v.List == nil && v.Fields == nil && v.Text == "" {
		return "an empty text"
	}
	text := v.String()
	if len(text) > longest {
		text = text[:longest] + "…"
	}
	return text
}
