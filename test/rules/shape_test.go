package rules

import (
	"fmt"
	"go/ast"
	"regexp"
	"slices"
)

// Ceilings.
const (
	maxLines   = 600
	maxParams  = 6
	maxIgnores = 5
)

func longFiles(files []file) (found []string) {
	for _, f := range files {
		if !f.test() && !f.generated() && f.lines > maxLines {
			found = append(found, fmt.Sprintf("%s has %d lines, more than %d", f.path, f.lines, maxLines))
		}
	}
	return found
}

func longParameterLists(files []file) (found []string) {
	for _, f := range files {
		for _, decl := range f.tree.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok && fn.Type.Params.NumFields() > maxParams {
				found = append(found, fmt.Sprintf("%s: %s takes %d parameters, more than %d", f.at(fn), fn.Name.Name, fn.Type.Params.NumFields(), maxParams))
			}
		}
	}
	return found
}

var ignore = regexp.MustCompile(`//\s?(nolint|lint:(file-)?ignore)`)

func silencedLinters(files []file) (found []string) {
	for _, f := range files {
		for _, group := range f.tree.Comments {
			for _, c := range group.List {
				if ignore.MatchString(c.Text) {
					found = append(found, f.at(c)+" silences a linter")
				}
			}
		}
	}
	if len(found) <= maxIgnores {
		return nil
	}
	return found
}

// bounded finds the sentence that keeps a package from growing.
var bounded = regexp.MustCompile(`\b(never|no|nothing|only)\b`)

func packageDocs(files []file) (found []string) {
	for dir, files := range byDir(files) {
		var docs []string
		for _, f := range files {
			if f.tree.Doc != nil {
				docs = append(docs, f.tree.Doc.Text())
			}
		}
		switch {
		case len(docs) != 1:
			found = append(found, fmt.Sprintf("%s has %d package docs", dir, len(docs)))
		case below(dir, "internal") && !bounded.MatchString(docs[0]):
			found = append(found, "the package doc of "+dir+" does not say what the package never does")
		}
	}
	return found
}

// starters may start goroutines: the engine, whose wrapper turns a panic into an
// orderly exit, the two of the source that outwait libraries which ignore a
// context, and programs of their own.
var starters = []string{"internal/engine", "internal/source/hints.go", "internal/source/bounded.go", "internal/demo", "internal/testns", "test"}

func strayGoroutines(files []file) (found []string) {
	for _, f := range files {
		if f.test() || f.below(starters) {
			continue
		}
		ast.Inspect(f.tree, func(n ast.Node) bool {
			if g, ok := n.(*ast.GoStmt); ok {
				found = append(found, fmt.Sprintf("%s starts a goroutine; only %v may", f.at(g), starters))
			}
			return true
		})
	}
	return found
}

// skippers may skip a test.
var skippers = []string{"internal/testns", "test/guest"}

func straySkips(files []file) (found []string) {
	for _, f := range files {
		if f.below(skippers) {
			continue
		}
		ast.Inspect(f.tree, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if ok && slices.Contains([]string{"Skip", "Skipf", "SkipNow"}, sel.Sel.Name) && isName(sel.X, "t", "b", "f", "tb") {
				found = append(found, f.at(sel)+" skips a test; let internal/testns decide")
			}
			return true
		})
	}
	return found
}

func isName(x ast.Expr, names ...string) bool {
	id, ok := x.(*ast.Ident)
	return ok && slices.Contains(names, id.Name)
}
