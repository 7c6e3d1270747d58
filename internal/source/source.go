// Package source brings trees of YAML from where people write them: a watched
// directory or a Git repository. It also keeps snapshots of them, so that boot
// and rollback need no network.
//
// It owns fetching, watching and revisions. It never parses YAML and imports
// nothing of ours.
package source

import (
	"context"
	"io/fs"
	"testing/fstest"
	"time"
)

// Bounds of a tree; a larger one is refused whole.
const (
	MaxFile  = 1 << 20 // bytes
	MaxTree  = 8 << 20 // bytes
	MaxFiles = 2000
)

// Tree is the YAML of one revision, in memory.
type Tree struct {
	// Revision is the commit's hash, or dir-<digest of the content>.
	Revision string `json:"revision"`
	// Title is the commit's subject, empty for a directory.
	Title string `json:"title,omitempty"`
	// Author is name <mail> of the commit's author.
	Author string `json:"author,omitempty"`
	// Time is when it was committed, or first seen.
	Time time.Time `json:"time"`
	// Files are the .yaml and .yml files below the path that the source was
	// told, by slash-separated path relative to it.
	Files map[string][]byte `json:"files"`
}

// FS is the tree as a file system.
func (t Tree) FS() fs.FS {
	m := make(fstest.MapFS, len(t.Files))
	for name, content := range t.Files {
		m[name] = &fstest.MapFile{Data: content, Mode: 0o444, ModTime: t.Time}
	}
	return m
}

// Source is a place that trees come from.
type Source interface {
	// String names it, without secrets: git https://…#main, dir /srv/edge.
	String() string
	// Run follows the place until the context ends, and then returns nil. It
	// delivers every new revision, the first as soon as there is one, and
	// every change of its own health: an error that wraps one of the
	// sentinels of this package, or nil once it is well again. A trouble
	// never ends Run.
	Run(ctx context.Context, deliver func(Tree), health func(error)) error
	// Sync asks for a look now. It returns at once.
	Sync()
}
