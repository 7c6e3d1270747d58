package diff

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"reconciler/internal/observed"
	"reconciler/internal/resource"
)

// Bind turns the names in want into the kernel's and fills every unset
// attribute with the value that exists. What cannot be bound is left out of
// the answer, with a Note.
func Bind(want *resource.Set, have observed.State) (*resource.Set, []Note) {
	b := &binder{want: want, have: have, links: linksOf(have), names: map[string]string{}, missing: map[string]NoteCode{}}
	b.resolve()
	b.spread()
	return b.bind(), b.notes
}

// Names are the kernel's names of the wanted links, by YAML's, where they
// differ.
func Names(want *resource.Set, have observed.State) map[string]string {
	b := &binder{want: want, have: have, links: linksOf(have), names: map[string]string{}, missing: map[string]NoteCode{}}
	b.resolve()
	return b.names
}

type binder struct {
	want *resource.Set
	have observed.State

	links   []resource.Link     // of have, by name
	names   map[string]string   // YAML's name of a link -> the kernel's
	missing map[string]NoteCode // YAML's names of links that cannot be bound
	doubt   []string            // the kernel's names of links that may be a wanted one
	notes   []Note
}

// resolve finds the kernel's link for each wanted one that is not made by us.
func (b *binder) resolve() {
	taken := map[string]string{}
	for _, o := range b.want.All() {
		l, ok := o.Resource.(resource.Link)
		if ok && b.moved(l) {
			b.miss(o, l.Name, absence(l), "handed to another network namespace")
			continue
		}
		if !ok || l.Match.IsZero() && l.Type != "" {
			continue
		}
		hits := b.matching(l)
		switch {
		case len(hits) == 1 && taken[hits[0]] == "":
			taken[hits[0]] = l.Name
			b.name(l.Name, hits[0])
		case len(hits) == 1:
			b.miss(o, l.Name, Ambiguous, fmt.Sprintf("%s is what %s matches already", hits[0], taken[hits[0]]))
		case len(hits) > 1:
			b.doubt = append(b.doubt, hits...)
			b.miss(o, l.Name, Ambiguous, "its match has more than one hit: "+strings.Join(hits, ", "))
		case l.Policy.Optional:
			b.miss(o, l.Name, Optional, "this host does not have it")
		case !b.blind(l):
			b.miss(o, l.Name, Absent, "no such interface on this host")
		default:
			b.missing[l.Name] = Blinded
		}
	}
}

// moved tells the far end of a pair that was handed to another network
// namespace, as a container's is: it cannot be made again.
func (b *binder) moved(l resource.Link) bool {
	if !l.Far || b.have.Objects.Has(l.Key()) {
		return false
	}
	near, _ := b.have.Objects.Get(resource.LinkKey(l.Peer))
	n, ok := near.Resource.(resource.Link)
	return ok && n.Type == resource.Veth && n.Peer == ""
}

// absence is how a link that is not there is told.
func absence(l resource.Link) NoteCode {
	if l.Policy.Optional {
		return Optional
	}
	return Absent
}

func (b *binder) blind(r resource.Resource) bool {
	_, blind := b.have.IsBlind(r)
	return blind
}

func (b *binder) miss(o resource.Object, name string, code NoteCode, text string) {
	b.missing[name] = code
	b.notes = append(b.notes, Note{Code: code, Key: o.Key(), Text: text, Origin: o.Origin})
}

// name records what the kernel calls a link of YAML, where it differs.
func (b *binder) name(yaml, kernel string) {
	if yaml != kernel {
		b.names[yaml] = kernel
	}
}

func linksOf(have observed.State) []resource.Link {
	var links []resource.Link
	have.Objects.Each(func(_ resource.Key, o resource.Object) bool {
		if l, ok := o.Resource.(resource.Link); ok {
			links = append(links, l)
		}
		return true
	})
	slices.SortFunc(links, func(a, b resource.Link) int { return strings.Compare(a.Name, b.Name) })
	return links
}

// matching lists the kernel's names of the links that a wanted one selects.
func (b *binder) matching(want resource.Link) []string {
	if want.Match.IsZero() && b.have.Objects.Has(want.Key()) {
		return []string{want.Name}
	}
	var hits []string
	for _, l := range b.links {
		if matches(want, l) {
			hits = append(hits, l.Name)
		}
	}
	return hits
}

func matches(want, l resource.Link) bool {
	m := want.Match
	if m.IsZero() {
		return l.Name == want.Name || slices.Contains(l.Seen.AltNames, want.Name)
	}
	if m.Name != "" && !globs(m.Name, l) {
		return false
	}
	if m.MAC != (resource.MAC{}) && m.MAC != l.MAC && m.MAC != l.Seen.PermanentMAC {
		return false
	}
	return (m.Driver == "" || m.Driver == l.Seen.Driver) && (m.PCI == "" || m.PCI == l.Seen.PCI)
}

func globs(pattern string, l resource.Link) bool {
	for _, name := range append([]string{l.Name}, l.Seen.AltNames...) {
		if ok, err := path.Match(pattern, name); err == nil && ok {
			return true
		}
	}
	return false
}

// spread marks the wanted links that need a missing one, until no more turn up.
func (b *binder) spread() {
	for again := true; again; {
		again = false
		for _, o := range b.want.All() {
			l, ok := o.Resource.(resource.Link)
			if !ok || b.missing[l.Name] != "" {
				continue
			}
			if need, code := b.needs(l); code != "" {
				again = true
				if l.Far && l.Policy.Optional {
					code = Optional
				}
				b.miss(o, l.Name, code, "it needs interface "+need)
			}
		}
	}
}

// needs returns the first link that a resource requires and cannot have.
func (b *binder) needs(r resource.Resource) (string, NoteCode) {
	for _, k := range r.Requires() {
		if k.Kind != resource.KindLink {
			continue
		}
		if code := b.missing[k.Name]; code != "" {
			return k.Name, code
		}
		if !b.want.Has(k) && !b.exists(k.Name) && !b.blind(resource.Link{Name: k.Name}) {
			return k.Name, Absent
		}
	}
	return "", ""
}

// exists reports whether a link that is not declared is there by that name.
func (b *binder) exists(name string) bool {
	if b.have.Objects.Has(resource.LinkKey(name)) {
		return true
	}
	hits := b.matching(resource.Link{Name: name})
	if len(hits) == 1 {
		b.name(name, hits[0])
	}
	return len(hits) == 1
}

func (b *binder) bind() *resource.Set {
	out := resource.NewSet(b.want.Len())
	for _, name := range b.doubt {
		out.SetAside(resource.Object{Resource: resource.Link{Name: name}})
	}
	for _, o := range b.want.All() {
		if l, ok := o.Resource.(resource.Link); ok && b.missing[l.Name] != "" {
			continue
		}
		if need, code := b.needs(o.Resource); code != "" {
			if code != Optional && code != Blinded {
				b.notes = append(b.notes, Note{Code: code, Key: o.Key(), Text: "it needs interface " + need, Origin: o.Origin})
			}
			out.SetAside(o)
			continue
		}
		b.put(out, o)
	}
	return out
}

func (b *binder) put(out *resource.Set, o resource.Object) {
	if r, ok := o.Resource.(resource.Renamer); ok && len(b.names) > 0 {
		o.Resource = r.Rename(b.rename)
	}
	o.Owner = resource.Ours
	if had, ok := b.have.Objects.Get(o.Key()); ok {
		if in, ok := o.Resource.(resource.Inheritor); ok {
			o.Resource = in.Inherit(had.Resource)
		}
	}
	if err := out.Add(o); err != nil {
		b.notes = append(b.notes, Note{Code: Ambiguous, Key: o.Key(), Text: err.Error(), Origin: o.Origin})
	}
}

func (b *binder) rename(name string) string {
	if to, ok := b.names[name]; ok {
		return to
	}
	return name
}
