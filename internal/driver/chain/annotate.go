package chain

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/cilium/ebpf"

	"reconciler/internal/diff"
	"reconciler/internal/observed"
	"reconciler/internal/resource"
)

// Annotate tells the changes of chains program by program, with what becomes
// of their maps, and what a change costs. A chain that runs in a slower mode
// than it might gets a note.
func (d *Driver) Annotate(have observed.State, plan *diff.Plan) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range plan.Ops {
		op := &plan.Ops[i]
		if m, ok := op.From.(resource.Map); ok && m.Unrecorded > 0 {
			op.Effects = append(op.Effects, fmt.Sprintf("%d entries are too many to be put back if this is undone", m.Unrecorded))
		}
		to, ok := op.To.(resource.Chain)
		from, had := op.From.(resource.Chain)
		if !ok && !had {
			continue
		}
		if effect := d.lroEffect(from, to); effect != "" && (op.Verb != diff.Update || from.Seen.Severed) {
			op.Effects = append(op.Effects, effect)
		}
		if !ok {
			continue
		}
		if len(from.Slots) > 0 {
			op.Details = d.details(from, to, programsOf(have, plan))
		}
		if op.Verb == diff.Replace {
			op.Disruption = "no program runs from its detachment until it is attached again"
		}
		if op.Owner == resource.Foreign {
			op.Effects = append(op.Effects, fmt.Sprintf("evicts program %d", from.Seen.Dispatcher))
			op.Disruption = "no program runs from its eviction until the chain is attached"
		}
	}
	for _, o := range have.Objects.All() {
		c, ok := o.Resource.(resource.Chain)
		if ok && o.Owner == resource.Ours && c.Seen.Attach == attachXDPGeneric && c.Seen.Auto {
			plan.Notes = append(plan.Notes, diff.Note{
				Code: diff.Degraded, Key: c.Key(), Text: "runs as generic XDP: the interface's driver has no native one",
			})
		}
	}
}

// programsOf are the instances there are and those the plan makes.
func programsOf(have observed.State, plan *diff.Plan) map[resource.Key]resource.Program {
	out := map[resource.Key]resource.Program{}
	have.Objects.Each(func(k resource.Key, o resource.Object) bool {
		if p, ok := o.Resource.(resource.Program); ok {
			out[k] = p
		}
		return true
	})
	for _, op := range plan.Ops {
		if p, ok := op.To.(resource.Program); ok {
			out[op.Key] = p
		}
	}
	return out
}

// details sets a chain as it is beside the one that is wanted, a line a
// program.
func (d *Driver) details(from, to resource.Chain, programs map[resource.Key]resource.Program) []string {
	was := map[string]resource.Slot{}
	for _, s := range from.Slots {
		was[s.Program] = s
	}
	moved := moves(from.Slots, to.Slots)
	var out []string
	for i, s := range to.Slots {
		old, had := was[s.Program]
		delete(was, s.Program)
		line := fmt.Sprintf("%2d  ", i)
		switch {
		case !had:
			line += "+ " + slotText(s)
		case old.Digest != s.Digest:
			line += "~ " + s.Program + " " + versionText(old) + " -> " + versionText(s) + d.fates(programs[keyOf(old)], programs[keyOf(s)])
		default:
			line += "  " + slotText(s)
		}
		if had && old.Proceed != s.Proceed {
			line += fmt.Sprintf("  proceed-on [%s] -> [%s]", to.Hook.Text(old.Proceed), to.Hook.Text(s.Proceed))
		}
		if at, ok := moved[s.Program]; ok {
			line += fmt.Sprintf("  was %d", at)
		}
		out = append(out, line)
	}
	for _, s := range from.Slots {
		if _, gone := was[s.Program]; gone {
			out = append(out, "    - "+slotText(s))
		}
	}
	return out
}

// moves are the former places of programs that have another place among those
// that stay.
func moves(from, to []resource.Slot) map[string]int {
	place := func(slots []resource.Slot, program string) int {
		return slices.IndexFunc(slots, func(s resource.Slot) bool { return s.Program == program })
	}
	without := func(slots, others []resource.Slot) []resource.Slot {
		return slices.DeleteFunc(slices.Clone(slots), func(s resource.Slot) bool { return place(others, s.Program) < 0 })
	}
	out := map[string]int{}
	before := without(from, to)
	for i, s := range without(to, from) {
		if before[i].Program != s.Program {
			out[s.Program] = place(from, s.Program)
		}
	}
	return out
}

func keyOf(s resource.Slot) resource.Key { return resource.ProgramKey(s.Program, s.Link, s.Digest) }

func slotText(s resource.Slot) string { return s.Program + " " + versionText(s) }

func versionText(s resource.Slot) string {
	return strings.TrimSpace(s.Version + " " + resource.ShortDigest(s.Digest))
}

// fates says what becomes of each map of a program that is loaded anew.
func (d *Driver) fates(was, next resource.Program) string {
	old := map[string]resource.MapLayout{}
	for _, m := range was.Layout {
		old[m.Name] = m
	}
	var parts []string
	for _, m := range next.Layout {
		if strings.HasPrefix(m.Name, ".") || m.Type == ebpf.ProgramArray.String() {
			continue
		}
		parts = append(parts, m.Name+" "+d.fate(next, old, m))
	}
	if len(parts) == 0 {
		return ""
	}
	return "   " + strings.Join(parts, ", ")
}

func (d *Driver) fate(p resource.Program, old map[string]resource.MapLayout, m resource.MapLayout) string {
	if s := settingsOf(p, m.Name); s.Pin != "" {
		return d.pinnedFate(p, s) + " (" + s.Pin + ")"
	}
	was, had := old[m.Name]
	if !had {
		return "new"
	}
	f, fits := p.OnNewVersion.Fate(was, m)
	switch {
	case !fits:
		return "does not fit"
	case f == resource.Reuse:
		return "reused"
	case f == resource.Copy:
		return "copied"
	}
	return "fresh"
}

// pinnedFate says what becomes of a map with a pin of its own: the one that is
// pinned is taken, and must fit.
func (d *Driver) pinnedFate(p resource.Program, s resource.MapSettings) string {
	const stays = "stays"
	if d.cfg.Namespace == "" {
		return stays // no host is looked at
	}
	m, err := ebpf.LoadPinnedMap(d.pins.shared(s.Pin), nil)
	if errors.Is(err, os.ErrNotExist) {
		return "new"
	}
	if err != nil {
		return stays // as far as can be told
	}
	defer m.Close()
	obj, err := d.object(p)
	if err != nil || obj.spec.Maps[s.Name] == nil {
		return stays
	}
	spec := obj.spec.Maps[s.Name].Copy()
	spec.MaxEntries = cmp.Or(s.MaxEntries, spec.MaxEntries)
	if spec.Compatible(m) != nil {
		return "does not fit what is pinned"
	}
	return stays
}
