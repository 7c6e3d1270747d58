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
	MaxFiles = 2000    // of YAML
	// MaxObject and MaxObjects bound one object and all of them, in bytes; they
	// count apart from the YAML.
	MaxObject  = 4 << 20
	MaxObjects = 32 << 20
	// maxEntries bounds what is looked at to find the files.
	maxEntries = 20 * MaxFiles
	maxDepth   = 32
)

// Tree is the YAML of one revision, and the objects that lie beside it, in
// memory.
type Tree struct {
	// Revision is the commit's hash, or dir-<digest of the content>.
	Revision string `json:"revision"`
	// Title is the commit's subject, empty for a directory.
	Title string `json:"title,omitempty"`
	// Author is name <mail> of the commit's author.
	Author string `json:"author,omitempty"`
	// Time is when it was committed, or first seen.
	Time time.Time `json:"time"`
	// Files are the .yaml, .yml and .o files below the path that the source
	// was told, by slash-separated path relative to it.
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
	yaml    int   // how many of them
	bytes   int64 // of YAML
	objects int64 // bytes of objects
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
	most := maxSize(name)
	data, err := io.ReadAll(io.LimitReader(r, most+1))
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	size := int64(len(data))
	if size > most {
		return fmt.Errorf("%w: %s has more than %d bytes", ErrTooLarge, name, most)
	}
	if err := g.count(name, size); err != nil {
		return err
	}
	if g.files == nil {
		g.files = make(map[string][]byte)
	}
	g.files[name] = data
	return nil
}

// count adds a file to what the bounds are of.
func (g *gathering) count(name string, size int64) error {
	if isObject(name) {
		if g.objects += size; g.objects > MaxObjects {
			return fmt.Errorf("%w: more than %d bytes of objects, with %s", ErrTooLarge, MaxObjects, name)
		}
		return nil
	}
	if g.yaml == MaxFiles {
		return fmt.Errorf("%w: more than %d files", ErrTooLarge, MaxFiles)
	}
	g.yaml++
	if g.bytes += size; g.bytes > MaxTree {
		return fmt.Errorf("%w: more than %d bytes of YAML", ErrTooLarge, MaxTree)
	}
	return nil
}

// done refuses a tree that says nothing: it is far more often a mistake than a
// wish, and would remove everything.
func (g *gathering) done() (map[string][]byte, error) {
	if g.yaml == 0 {
		return nil, fmt.Errorf("%w: no .yaml or .yml file", ErrEmpty)
	}
	return g.files, nil
}

// isWanted is true of what belongs to a tree by its name.
func isWanted(name string) bool { return isYAML(name) || isObject(name) }

func isYAML(name string) bool {
	ext := path.Ext(name)
	return ext == ".yaml" || ext == ".yml"
}

// isObject is true of what a compiler of BPF makes.
func isObject(name string) bool { return path.Ext(name) == ".o" }

// maxSize is the bound of one file, in bytes.
func maxSize(name string) int64 {
	if isObject(name) {
		return MaxObject
	}
	return MaxFile
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
