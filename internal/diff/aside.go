package diff

import "reconciler/internal/resource"

// aside knows what is wanted and could not be bound to one link. Nothing that
// may be it is deleted: a second interface that fits a match must not strip
// the first.
type aside struct {
	keys  map[resource.Key]bool // identities without the link they would stand on
	links map[string]bool       // the kernel's names of links in doubt
	run   map[resource.Key]bool // what the chains that stay are made of
}

func asideOf(want, have *resource.Set) aside {
	a := aside{map[resource.Key]bool{}, map[string]bool{}, map[resource.Key]bool{}}
	for _, o := range want.Aside() {
		if l, ok := o.Resource.(resource.Link); ok {
			a.links[l.Name] = true
			continue
		}
		a.keys[placeless(o.Resource)] = true
	}
	if len(a.keys) == 0 && len(a.links) == 0 {
		return a
	}
	have.Each(func(_ resource.Key, o resource.Object) bool {
		if c, ok := o.Resource.(resource.Chain); ok && a.keeps(c) != "" {
			for _, k := range c.Requires() {
				a.run[k] = true
			}
		}
		return true
	})
	return a
}

// placeless is the identity of a resource but for its link.
func placeless(r resource.Resource) resource.Key {
	if rn, ok := r.(resource.Renamer); ok {
		return rn.Rename(func(string) string { return "" }).Key()
	}
	return r.Key()
}

// keeps says why an object is not deleted; empty if it may be.
func (a aside) keeps(r resource.Resource) string {
	if len(a.keys) == 0 && len(a.links) == 0 {
		return ""
	}
	for _, link := range append(resource.Parents(r), r.Key().Name) {
		if a.links[link] && (r.Key().Kind == resource.KindLink || link != r.Key().Name) {
			return "interface " + link + " may be one that is declared: its match has more than one hit"
		}
	}
	if _, isProgram := r.(resource.Program); isProgram && a.run[r.Key()] {
		return "a chain that stays runs it"
	}
	if _, isLink := r.(resource.Link); !isLink && a.keys[placeless(r)] {
		return "it is declared for an interface that is not found"
	}
	return ""
}
