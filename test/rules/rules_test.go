package rules

import (
	"strings"
	"testing"
)

// rules is all that this module holds itself to beyond its linters. Each comes
// with its reason and with code that breaks it, so that a rule which no longer
// finds anything is found out.
var rules = []struct {
	name   string
	reason string
	find   func([]file) []string
	path   string // where the code that breaks the rule stands
	breaks string
}{
	{"imports run one way", "what a stage does not know it cannot come to depend on",
		importsAgainstLayers, "internal/diff/a.go", `package diff; import _ "reconciler/internal/desired"`},
	{"every layer has code", "a line for a package that is gone would let its successor in unseen",
		layersWithoutCode, "internal/diff/a.go", `package diff`},
	{"libraries have owners", "what one package uses can be replaced in one place",
		librariesAstray, "internal/diff/a.go", `package diff; import _ "gopkg.in/yaml.v3"`},
	{"no init", "it runs before main can say what it wants; things are listed where they are used",
		initFunctions, "internal/diff/a.go", `package diff; func init() {}`},
	{"globals are constant", "what changes belongs to a value that somebody made, and can make twice",
		changingGlobals, "internal/diff/a.go", `package diff; var n = 1; func f() { n++ }`},
	{"no empty globals", "somebody must mean to fill them",
		changingGlobals, "internal/diff/a.go", `package diff; var seen = make(map[string]bool)`},
	{"files are short", "a longer one holds two subjects",
		longFiles, "internal/diff/a.go", "package diff" + strings.Repeat("\n", maxLines+1)},
	{"parameters are few", "beyond this many a struct wants to be born",
		longParameterLists, "internal/diff/a.go", `package diff; func f(a, b, c, d, e, f, g int) {}`},
	{"linters are obeyed", "one that is often silenced says nothing",
		silencedLinters, "internal/diff/a.go", "package diff\n" + strings.Repeat("//nolint:all\n", maxIgnores+1)},
	{"packages have a doc", "a newcomer reads it first: what it owns, what it never does, whom it may import",
		packageDocs, "internal/diff/a.go", "// Package diff compares.\npackage diff"},
	{"goroutines have owners", "one that nobody waits for outlives its subject, and its panic ends the program with the wrong status",
		strayGoroutines, "internal/diff/a.go", `package diff; func f() { go f() }`},
	{"nothing skips by itself", "what is skipped everywhere is tested nowhere; in CI internal/testns fails instead",
		straySkips, "internal/diff/a_test.go", `package diff; func f(t *T) { t.Skip() }`},
}

func TestRules(t *testing.T) {
	files := parse(t)
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) {
			for _, found := range r.find(files) {
				t.Errorf("%s (%s)", found, r.reason)
			}
		})
	}
}

func TestRulesFindWhatBreaksThem(t *testing.T) {
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) {
			f, err := parseText(r.path, []byte(r.breaks))
			if err != nil {
				t.Fatal(err)
			}
			if len(r.find([]file{f})) == 0 {
				t.Errorf("nothing found in %q", r.breaks)
			}
		})
	}
}
