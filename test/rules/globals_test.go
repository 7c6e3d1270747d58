package rules

import (
	"fmt"
	"go/ast"
	"go/token"
	"strings"
)

func initFunctions(files []file) (found []string) {
	for _, f := range files {
		for _, decl := range f.tree.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
				found = append(found, f.at(fn)+" declares init")
			}
		}
	}
	return found
}

// changingGlobals allows what Go cannot write as a constant (errors,
// expressions, tables) as long as nothing in the package changes it.
func changingGlobals(files []file) (found []string) {
	for _, files := range byDir(files) {
		globals := make(map[string]bool)
		for _, f := range files {
			for _, decl := range f.tree.Decls {
				if gen, ok := decl.(*ast.GenDecl); ok && gen.Tok == token.VAR {
					found = append(found, unset(f, gen, globals)...)
				}
			}
		}
		for _, f := range files {
			for _, decl := range f.tree.Decls {
				if fn, ok := decl.(*ast.FuncDecl); ok && fn.Body != nil {
					found = append(found, changes(f, fn, globals)...)
				}
			}
		}
	}
	return found
}

// unset notes the names of a declaration and finds those that make sense only
// if they change.
func unset(f file, gen *ast.GenDecl, globals map[string]bool) (found []string) {
	embedded := gen.Doc != nil && strings.Contains(docText(gen.Doc), "//go:embed")
	for _, spec := range gen.Specs {
		value := spec.(*ast.ValueSpec)
		for _, name := range value.Names {
			globals[name.Name] = true
		}
		switch {
		case embedded:
		case len(value.Values) == 0:
			found = append(found, f.at(value)+": a global without a value, so something sets it")
		case made(value.Values[0]):
			found = append(found, f.at(value)+": a global made empty, so something fills it")
		}
	}
	delete(globals, "_")
	return found
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

// changes finds each change of a global in a function.
func changes(f file, fn *ast.FuncDecl, globals map[string]bool) (found []string) {
	local := locals(fn)
	report := func(x ast.Expr) {
		if name := base(x); globals[name] && !local[name] {
			found = append(found, fmt.Sprintf("%s: %s changes the global %s", f.at(x), fn.Name.Name, name))
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
	return found
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
