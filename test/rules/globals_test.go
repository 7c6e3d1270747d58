package rules

import (
	"go/ast"
	"go/token"
	"strings"
	"testing"
)

func TestNoInit(t *testing.T) {
	for _, f := range parse(t) {
		for _, decl := range f.tree.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
				t.Errorf("%s: init runs before main can say what it wants; list things where they are used", f.at(fn))
			}
		}
	}
}

// TestGlobalsAreConstant allows what Go cannot write as a constant (errors,
// expressions, tables) as long as nothing in the package changes it. What
// changes belongs to a value that somebody made and can make twice.
func TestGlobalsAreConstant(t *testing.T) {
	for _, files := range byDir(parse(t)) {
		globals := make(map[string]bool)
		for _, f := range files {
			for _, decl := range f.tree.Decls {
				if gen, ok := decl.(*ast.GenDecl); ok && gen.Tok == token.VAR {
					declared(t, f, gen, globals)
				}
			}
		}
		for _, f := range files {
			for _, decl := range f.tree.Decls {
				if fn, ok := decl.(*ast.FuncDecl); ok && fn.Body != nil {
					changes(t, f, fn, globals)
				}
			}
		}
	}
}

// declared notes the names of a declaration and complains about those that
// make sense only if they change.
func declared(t *testing.T, f file, gen *ast.GenDecl, globals map[string]bool) {
	embedded := gen.Doc != nil && strings.Contains(docText(gen.Doc), "//go:embed")
	for _, spec := range gen.Specs {
		value := spec.(*ast.ValueSpec)
		for _, name := range value.Names {
			globals[name.Name] = true
		}
		switch {
		case embedded:
		case len(value.Values) == 0:
			t.Errorf("%s: %s has no value, so something must set it", f.at(value), value.Names[0].Name)
		case made(value.Values[0]):
			t.Errorf("%s: %s is made empty, so something must fill it", f.at(value), value.Names[0].Name)
		}
	}
	delete(globals, "_")
}

func docText(g *ast.CommentGroup) string {
	var b strings.Builder
	for _, c := range g.List {
		b.WriteString(c.Text + "\n")
	}
	return b.String()
}

// made tells make, new and the types of sync.
func made(x ast.Expr) bool {
	switch x := x.(type) {
	case *ast.CallExpr:
		return isName(x.Fun, "make", "new")
	case *ast.CompositeLit:
		sel, ok := x.Type.(*ast.SelectorExpr)
		return ok && isName(sel.X, "sync", "atomic")
	}
	return false
}

// changes complains about each change of a global in a function.
func changes(t *testing.T, f file, fn *ast.FuncDecl, globals map[string]bool) {
	local := locals(fn)
	report := func(x ast.Expr) {
		if name := base(x); globals[name] && !local[name] {
			t.Errorf("%s: %s changes the global %s", f.at(x), fn.Name.Name, name)
		}
	}
	ast.Inspect(fn.Body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			if n.Tok != token.DEFINE {
				for _, x := range n.Lhs {
					report(x)
				}
			}
		case *ast.IncDecStmt:
			report(n.X)
		case *ast.UnaryExpr:
			if n.Op == token.AND {
				report(n.X)
			}
		case *ast.CallExpr:
			if isName(n.Fun, "delete", "clear") && len(n.Args) > 0 {
				report(n.Args[0])
			}
		}
		return true
	})
}

// base is the name at the root of x.f[i].g.
func base(x ast.Expr) string {
	switch x := x.(type) {
	case *ast.Ident:
		return x.Name
	case *ast.SelectorExpr:
		return base(x.X)
	case *ast.IndexExpr:
		return base(x.X)
	case *ast.StarExpr:
		return base(x.X)
	case *ast.ParenExpr:
		return base(x.X)
	}
	return ""
}

// locals are the names that a function declares anywhere inside; one that also
// names a global hides it.
func locals(fn *ast.FuncDecl) map[string]bool {
	names := make(map[string]bool)
	ast.Inspect(fn, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.Field:
			for _, id := range n.Names {
				names[id.Name] = true
			}
		case *ast.ValueSpec:
			for _, id := range n.Names {
				names[id.Name] = true
			}
		case *ast.AssignStmt:
			if n.Tok == token.DEFINE {
				for _, x := range n.Lhs {
					names[base(x)] = true
				}
			}
		case *ast.RangeStmt:
			for _, x := range []ast.Expr{n.Key, n.Value} {
				if n.Tok == token.DEFINE && x != nil {
					names[base(x)] = true
				}
			}
		}
		return true
	})
	return names
}
