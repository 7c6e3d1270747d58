package engine

import "reconciler/internal/resource"

// wayOut is the upgrade of reconciler itself from a tree that this build is too
// old for, over the tree in use.
type wayOut struct {
	set        *resource.Set // nil: there is none
	want, both *resource.Set // the last answer, and what it was made from
}

// over is the tree in use with the way out. The same one gives the same set.
func (w *wayOut) over(want *resource.Set) *resource.Set {
	if w.set == nil {
		return want
	}
	if w.want != want {
		w.want, w.both = want, want.Clone()
		own := make(map[string]bool)
		for _, o := range w.set.All() {
			own[upgradeOf(o.Resource)] = true
		}
		for _, o := range want.All() {
			if u := upgradeOf(o.Resource); u != "" && own[u] {
				w.both.Remove(o.Key())
			}
		}
		for _, o := range w.set.All() {
			w.both.Put(o)
		}
	}
	return w.both
}

// tree is a tree with the way out over it.
func (w *wayOut) tree(t *tree) *tree {
	if w.set == nil {
		return t
	}
	return &tree{rev: t.rev, want: w.over(t.want)}
}

// upgradeOf is the upgrade that a resource is of; empty for none.
func upgradeOf(r resource.Resource) string {
	switch r := r.(type) {
	case resource.Release:
		return r.Upgrade
	case resource.Current:
		return r.Upgrade
	case resource.Self:
		return r.Upgrade
	}
	return ""
}

// leaveBy takes a way out; nil for none.
func (l *loop) leaveBy(set *resource.Set) {
	l.upgrades.wayOut = wayOut{set: set}
	l.sought = nil
}
