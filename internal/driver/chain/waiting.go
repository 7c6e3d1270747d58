package chain

import (
	"path/filepath"
	"strings"

	"reconciler/internal/diff"
	"reconciler/internal/driver/bpffs"
	"reconciler/internal/resource"
)

// waiting notes programs that would be loaded for nothing: of the chains that
// run them all wait for another program. What is loaded already is kept up.
func (r *resolving) waiting(want *resource.Set) {
	stuck := r.stuck(want)
	if len(stuck) == 0 {
		return
	}
	runs, waits := map[resource.Key]bool{}, map[resource.Key]string{}
	for _, o := range want.All() {
		c, ok := o.Resource.(resource.Chain)
		if !ok {
			continue
		}
		by := ""
		for _, s := range c.Slots {
			if stuck[resource.ProgramKey(s.Program, s.Link, "")] {
				by = s.Program
			}
		}
		for _, s := range c.Slots {
			k := resource.ProgramKey(s.Program, s.Link, "")
			runs[k], waits[k] = runs[k] || by == "", by
		}
	}
	for _, o := range want.All() {
		k := o.Key()
		p, ok := r.programs[k]
		if ok && waits[k] != "" && !runs[k] && !stuck[k] && !r.d.isPinned(p) {
			r.notes = append(r.notes, diff.Note{Code: diff.NotReady, Key: p.Key(), Text: "waits for program " + waits[k], Origin: o.Origin})
		}
	}
}

// stuck are the programs that cannot be loaded, by the key before.
func (r *resolving) stuck(want *resource.Set) map[resource.Key]bool {
	noted, out := map[resource.Key]bool{}, map[resource.Key]bool{}
	for _, n := range r.notes {
		noted[n.Key] = true
	}
	for _, o := range want.All() {
		if p, ok := o.Resource.(resource.Program); ok && (noted[p.Key()] || noted[r.programs[p.Key()].Key()]) {
			out[p.Key()] = true
		}
	}
	return out
}

// isPinned reports an instance of this version, for whichever interface: one that
// was renamed has it under its former name.
func (d *Driver) isPinned(p resource.Program) bool {
	instances, _ := bpffs.List(d.pins.programs())
	for _, i := range instances {
		name, _, _ := strings.Cut(bpffs.Unescape(i), "@")
		if name == p.Name && bpffs.Exists(filepath.Join(d.pins.programs(), i, p.Digest)) {
			return true
		}
	}
	return false
}
