package diff

import (
	"reconciler/internal/observed"
	"reconciler/internal/resource"
)

// Bind turns the names in want into the kernel's and fills every unset
// attribute with the value that exists. What cannot be bound is left out of
// the answer, with a Note.
func Bind(want *resource.Set, have observed.State) (*resource.Set, []Note) {
	panic("diff: not built yet")
}

// Compute returns the least ordered set of changes that makes have into want.
// want must be bound.
func Compute(want *resource.Set, have observed.State) (Plan, error) { panic("diff: not built yet") }
