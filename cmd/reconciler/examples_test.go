package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"reconciler/internal/source"
	"reconciler/internal/strict"
)

// TestExamplesOfChains checks each example as users do, and that what is
// checked is the object, too.
func TestExamplesOfChains(t *testing.T) {
	dirs, err := filepath.Glob("../../examples/chains/*/chain.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if len(dirs) < 3 {
		t.Errorf("found only %d examples", len(dirs))
	}
	for _, name := range dirs {
		t.Run(filepath.Base(filepath.Dir(name)), func(t *testing.T) {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.HasPrefix(text, []byte("# yaml-language-server: $schema=../../../schemas/reconciler.schema.json\n")) {
				t.Error("it does not begin with the line that names its schema")
			}
			tree, err := source.ReadDir(filepath.Dir(name))
			if err != nil {
				t.Fatal(err)
			}
			if faults := checkTree(tree, checkOptions{}); len(faults) > 0 {
				t.Errorf("faults: %v", faults)
			}
			for file := range tree.Files {
				if filepath.Ext(file) == ".o" {
					tree.Files[file] = []byte("no object")
				}
			}
			faults := checkTree(tree, checkOptions{})
			if !slices.ContainsFunc(faults, func(f *strict.Fault) bool { return f.Code == "bad-object" }) {
				t.Errorf("an object was spoilt, and the faults are %v", faults)
			}
		})
	}
}
