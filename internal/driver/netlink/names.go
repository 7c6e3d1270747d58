package netlink

import "reconciler/internal/resource"

// names translates between the kernel's two names of a link.
type names struct {
	byIndex map[int32]string
	byName  map[string]int32
	groups  map[int32]uint32 // of the links that are in one
}

func newNames(n int) *names {
	return &names{make(map[int32]string, n), make(map[string]int32, n), map[int32]uint32{}}
}

func (n *names) add(l resource.Link) {
	n.byIndex[l.Seen.Index] = l.Name
	n.byName[l.Name] = l.Seen.Index
	if l.Group != 0 {
		n.groups[l.Seen.Index] = l.Group
	}
}

// ours reports whether a link carries our mark.
func (n *names) ours(index int32) bool { return ourGroup(n.groups[index]) }

func ourGroup(g uint32) bool { return g == resource.LinkGroup || g == resource.DoomedGroup }
