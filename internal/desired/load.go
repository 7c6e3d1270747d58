package desired

import (
	"io/fs"

	"reconciler/internal/strict"
)

func load(tree fs.FS, o Options) (*Desired, error) {
	t := open(tree, o)
	return t.resolve(o)
}

// Merged is the merged document with the layer and position of each value.
type Merged struct{ root *strict.Value }
