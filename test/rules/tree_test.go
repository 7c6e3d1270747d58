package rules

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// root is the module's root, seen from this folder.
const root = "../.."

// module is the import path of the root.
const module = "reconciler"

// file is one Go file of the module.
type file struct {
	path  string // relative to the root, with slashes
	set   *token.FileSet
	tree  *ast.File
	lines int
}

func (f file) dir() string     { return path.Dir(f.path) }
func (f file) test() bool      { return strings.HasSuffix(f.path, "_test.go") }
func (f file) generated() bool { return ast.IsGenerated(f.tree) }

// at is where a node stands, for messages.
func (f file) at(n ast.Node) string {
	p := f.set.Position(n.Pos())
	return fmt.Sprintf("%s:%d", f.path, p.Line)
}

// below tells whether the file is, or stands below, one of some paths.
func (f file) below(paths []string) bool {
	return slices.ContainsFunc(paths, func(p string) bool { return below(f.path, p) })
}

// imports are the paths that the file imports.
func (f file) imports() []string {
	var paths []string
	for _, spec := range f.tree.Imports {
		paths = append(paths, strings.Trim(spec.Path.Value, `"`))
	}
	return paths
}

// parse reads every Go file of the module in-process: a test that asks `go
// list` is served from the test cache when the files have changed.
func parse(t *testing.T) []file {
	t.Helper()
	var files []file
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && skipped(entry.Name()):
			return filepath.SkipDir
		case entry.IsDir() || filepath.Ext(name) != ".go":
			return nil
		}
		f, err := parseFile(name)
		files = append(files, f)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 20 {
		t.Fatalf("found only %d Go files below %s", len(files), root)
	}
	return files
}

// skipped tells folders that hold no code of the module.
func skipped(name string) bool {
	return name == "testdata" || name == "bin" || strings.HasPrefix(name, ".") && name != ".."
}

func parseFile(name string) (file, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return file{}, err
	}
	rel, err := filepath.Rel(root, name)
	if err != nil {
		return file{}, err
	}
	return parseText(filepath.ToSlash(rel), text)
}

// parseText parses what stands, or would stand, at a path.
func parseText(name string, text []byte) (file, error) {
	set := token.NewFileSet()
	tree, err := parser.ParseFile(set, name, text, parser.ParseComments)
	return file{path: name, set: set, tree: tree, lines: bytes.Count(text, []byte("\n"))}, err
}

// byDir groups what ships, tests and generated files aside, by folder.
func byDir(files []file) map[string][]file {
	dirs := make(map[string][]file)
	for _, f := range files {
		if !f.test() {
			dirs[f.dir()] = append(dirs[f.dir()], f)
		}
	}
	return dirs
}

// below tells whether a slash path is dir or stands below it.
func below(name, dir string) bool { return name == dir || strings.HasPrefix(name, dir+"/") }
