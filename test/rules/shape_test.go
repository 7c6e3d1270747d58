package rules

import (
	"go/ast"
	"regexp"
	"slices"
	"testing"
)

// Ceilings; generated files and, for length, tests aside.
const (
	maxLines   = 600 // a longer file holds two subjects
	maxIgnores = 5   // a linter that is often silenced is not obeyed
	maxParams  = 6   // beyond, a struct wants to be born
)

func TestFilesAreShort(t *testing.T) {
	for _, f := range parse(t) {
		if !f.test() && !f.generated() && f.lines > maxLines {
			t.Errorf("%s has %d lines, more than %d", f.path, f.lines, maxLines)
		}
	}
}

func TestFunctionsTakeFewParameters(t *testing.T) {
	for _, f := range parse(t) {
		for _, decl := range f.tree.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok && fn.Type.Params.NumFields() > maxParams {
				t.Errorf("%s: %s takes %d parameters, more than %d", f.at(fn), fn.Name.Name, fn.Type.Params.NumFields(), maxParams)
			}
		}
	}
}

var ignore = regexp.MustCompile(`//\s?(nolint|lint:(file-)?ignore)`)

func TestLintersAreObeyed(t *testing.T) {
	var found []string
	for _, f := range parse(t) {
		for _, group := range f.tree.Comments {
			for _, c := range group.List {
				if ignore.MatchString(c.Text) {
					found = append(found, f.at(c))
				}
			}
		}
	}
	if len(found) > maxIgnores {
		t.Errorf("%d places silence a linter, more than %d: %v", len(found), maxIgnores, found)
	}
}

// bounded finds the sentence that keeps a package from growing.
var bounded = regexp.MustCompile(`\b(never|no|nothing|only)\b`)

func TestPackagesSayWhatTheyOwn(t *testing.T) {
	for dir, files := range byDir(parse(t)) {
		var docs []string
		for _, f := range files {
			if f.tree.Doc != nil {
				docs = append(docs, f.tree.Doc.Text())
			}
		}
		switch {
		case len(docs) == 0:
			t.Errorf("%s has no package doc", dir)
		case len(docs) > 1:
			t.Errorf("%s has %d package docs", dir, len(docs))
		case below(dir, "internal") && !bounded.MatchString(docs[0]):
			t.Errorf("the package doc of %s does not say what the package never does", dir)
		}
	}
}

// starters are the folders that may start a goroutine. One that nobody owns is
// not waited for, and its panic ends the program with the wrong status.
var starters = []string{"internal/engine/task.go", "internal/testns", "test"}

func TestGoroutinesHaveOwners(t *testing.T) {
	for _, f := range parse(t) {
		if f.test() || slices.ContainsFunc(starters, func(dir string) bool { return below(f.path, dir) }) {
			continue
		}
		ast.Inspect(f.tree, func(n ast.Node) bool {
			if g, ok := n.(*ast.GoStmt); ok {
				t.Errorf("%s starts a goroutine; only %v may", f.at(g), starters)
			}
			return true
		})
	}
}

// skippers may skip a test: what cannot run on any kernel must fail somewhere.
var skippers = []string{"internal/testns", "test/guest"}

func TestNothingSkipsByItself(t *testing.T) {
	for _, f := range parse(t) {
		if slices.ContainsFunc(skippers, func(dir string) bool { return below(f.path, dir) }) {
			continue
		}
		ast.Inspect(f.tree, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if ok && slices.Contains([]string{"Skip", "Skipf", "SkipNow"}, sel.Sel.Name) && isName(sel.X, "t", "b", "f", "tb") {
				t.Errorf("%s skips a test; let internal/testns decide, so that CI fails instead", f.at(sel))
			}
			return true
		})
	}
}

func isName(x ast.Expr, names ...string) bool {
	id, ok := x.(*ast.Ident)
	return ok && slices.Contains(names, id.Name)
}
