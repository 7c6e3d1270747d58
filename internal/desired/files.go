package desired

import (
	"errors"
	"io/fs"
	"path"
	"strings"

	"reconciler/internal/strict"
)

// sourceFile is one file of the tree and its documents.
type sourceFile struct {
	*strict.File
	docs []*strict.Value
}

// yamlFiles lists the YAML files of a tree, sorted; hidden files and
// directories are not looked at.
func yamlFiles(tree fs.FS, report *strict.Report) []string {
	var names []string
	size := int64(0)
	err := fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case name != "." && strings.HasPrefix(d.Name(), "."):
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		case d.IsDir() || !isYAML(name):
			return nil
		}
		if info, err := fs.Stat(tree, name); err == nil {
			if !info.Mode().IsRegular() {
				return nil
			}
			size += info.Size()
		}
		names = append(names, name)
		if len(names) > strict.MaxFiles || size > strict.MaxTree {
			return errTooLarge
		}
		return nil
	})
	if err != nil {
		problem := strict.Problemf("unreadable", "read the tree: %s", err)
		if errors.Is(err, errTooLarge) {
			problem = strict.Problemf("too-large", "%s", err)
		}
		report.NoYAML(strict.Pos{File: &strict.File{Name: "."}, Line: 1, Column: 1}, problem)
		return nil
	}
	return names
}

var errTooLarge = errors.New("the tree has more than 2,000 YAML files, or more than 8 MiB of them")

func isYAML(name string) bool {
	ext := path.Ext(name)
	return ext == ".yaml" || ext == ".yml"
}
