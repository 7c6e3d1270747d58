package desired

import (
	"errors"
	"io/fs"
)

// Merged is the merged document with the layer and position of each value.
type Merged struct{}

func load(fs.FS, Options) (*Desired, error) { return nil, errors.New("load: not built yet") }
