package netlink

import (
	"slices"

	"golang.org/x/sys/unix"

	"reconciler/internal/diff"
	"reconciler/internal/resource"
)

// manyLinks is how many links are worth a group: moving them there and looking
// once more costs two requests, and deleting them one by one waits for an RCU
// grace period each.
const manyLinks = 4

// deleteGroup deletes many links in one request, and returns the operations
// that are left to do.
func (w *writer) deleteGroup(live []int) []int {
	doomed := slices.DeleteFunc(slices.Clone(live), func(i int) bool { return !w.isDoomed(i) })
	if len(doomed) <= manyLinks || !w.moveToGroup(doomed) {
		return live
	}
	b := &w.d.batch
	b.Reset()
	b.Begin(unix.RTM_DELLINK, 0)
	b.Link(unix.IfInfomsg{})
	b.U32(unix.IFLA_GROUP, resource.DoomedGroup)
	b.End()
	ok := true
	w.exchange(b, func(_ int, err error) {
		ok = isGone(err)
		w.d.cfg.Log.Warn("cannot delete links as a group", "error", err)
	})
	if !ok {
		return live
	}
	return slices.DeleteFunc(live, func(i int) bool { return w.isDoomed(i) })
}

// isDoomed reports whether an operation deletes a link of ours.
func (w *writer) isDoomed(i int) bool {
	op := &w.ops[i]
	if op.Verb != diff.Delete {
		return false
	}
	l, ok := op.From.(resource.Link)
	return ok && ourGroup(l.Group) && l.Seen.Index != 0
}

// moveToGroup marks links for deletion and reports whether exactly they, or
// fewer, carry the mark.
func (w *writer) moveToGroup(doomed []int) bool {
	b := &w.d.batch
	b.Reset()
	mine := make(map[int32]bool, len(doomed))
	for _, i := range doomed {
		l := w.ops[i].From.(resource.Link)
		mine[l.Seen.Index] = true
		b.Begin(unix.RTM_SETLINK, 0)
		b.Link(unix.IfInfomsg{Index: l.Seen.Index})
		b.U32(unix.IFLA_GROUP, resource.DoomedGroup)
		b.End()
	}
	ok := true
	w.exchange(b, func(_ int, err error) { ok = ok && isGone(err) })
	if !ok {
		return false
	}
	w.d.names = nil
	w.refresh()
	if w.d.names == nil {
		return false
	}
	for index, group := range w.d.names.groups {
		if group == resource.DoomedGroup && !mine[index] {
			return false
		}
	}
	return true
}
