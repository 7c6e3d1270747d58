package source

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"testing/fstest"
	"time"
)

// Bounds of a tree; a larger one is refused whole.
const (
	MaxFile  = 1 << 20 // bytes
	MaxTree  = 8 << 20 // bytes
	MaxFiles = 2000
	// maxEntries bounds what is looked at to find the files.
	maxEntries = 20 * MaxFiles
	maxDepth   = 32
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

// gathering collects the files of a tree within the bounds.
type gathering struct {
	files   map[string][]byte
	bytes   int64
	entries int
}

// visit counts one directory entry, wanted or not.
func (g *gathering) visit() error {
	g.entries++
	if g.entries > maxEntries {
		return fmt.Errorf("%w: more than %d directory entries", ErrTooLarge, maxEntries)
	}
	return nil
}

// add reads one file.
func (g *gathering) add(name string, r io.Reader) error {
	if len(g.files) == MaxFiles {
		return fmt.Errorf("%w: more than %d files", ErrTooLarge, MaxFiles)
	}
	data, err := io.ReadAll(io.LimitReader(r, MaxFile+1))
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	if len(data) > MaxFile {
		return fmt.Errorf("%w: %s has more than %d bytes", ErrTooLarge, name, MaxFile)
	}
	g.bytes += int64(len(data))
	if g.bytes > MaxTree {
		return fmt.Errorf("%w: more than %d bytes of YAML", ErrTooLarge, MaxTree)
	}
	if g.files == nil {
		g.files = make(map[string][]byte)
	}
	g.files[name] = data
	return nil
}

// done refuses a tree with nothing in it: it is far more often a mistake than
// a wish, and would remove everything.
func (g *gathering) done() (map[string][]byte, error) {
	if len(g.files) == 0 {
		return nil, fmt.Errorf("%w: no .yaml or .yml file", ErrEmpty)
	}
	return g.files, nil
}

func isYAML(name string) bool {
	ext := path.Ext(name)
	return ext == ".yaml" || ext == ".yml"
}

// isHidden is true of .git, of editors' locks and swap files, and of the
// directories that Kubernetes swaps below ..data.
func isHidden(name string) bool { return strings.HasPrefix(name, ".") }

// digest identifies contents by their names and bytes, in hexadecimal digits.
func digest(files map[string][]byte) string {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(h, "%s\x00%x\n", name, sha256.Sum256(files[name]))
	}
	return hex.EncodeToString(h.Sum(nil))
}
