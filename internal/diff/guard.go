package diff

import (
	"fmt"
	"slices"

	"reconciler/internal/observed"
	"reconciler/internal/resource"
)

// Guard holds the deletions of a plan that would remove too much of what we
// own. Replaced, renamed and moved objects do not count.
type Guard struct {
	// MaxShare is the share of our objects, 0 to 1, that may go without consent.
	MaxShare float64
	// MaxCount is how many may go whatever their share.
	MaxCount int
	// AllowEmpty lets everything go.
	AllowEmpty bool
	// Again holds all deletions: some were held before, and nobody has
	// consented since. What was made meanwhile is no reason to let them go.
	Again bool
}

// DefaultGuard holds deletions of more than 30 % and more than 10 of our
// objects, or of all of them.
func DefaultGuard() Guard { return Guard{MaxShare: 0.30, MaxCount: 10} }

// Hold returns the plan without its deletions, which become Notes, if there
// are too many; else the plan as it is.
func (g Guard) Hold(p Plan, have observed.State) Plan {
	why := g.excess(p, have)
	if why == "" {
		return p
	}
	return p.Hold(why, func(op Op) bool { return op.Verb == Delete })
}

// excess says why the deletions of a plan are too many; empty if they are not.
func (g Guard) excess(p Plan, have observed.State) string {
	gone := deletions(p)
	if gone == 0 {
		return ""
	}
	why := g.tooMany(gone, protectedOurs(p, have), countOurs(have))
	if why == "" && g.Again {
		return "too many deletions were held before, and nobody has let them go"
	}
	return why
}

// tooMany compares what would go with what is ours, and with what of that only
// protection keeps.
func (g Guard) tooMany(gone, kept, owned int) string {
	share := float64(gone) / float64(max(owned, 1))
	switch {
	case gone+kept >= owned:
		if g.AllowEmpty {
			return ""
		}
		return fmt.Sprintf("everything that is ours would go (%d objects)", gone)
	case gone > g.MaxCount && share > g.MaxShare:
		return fmt.Sprintf("%d of our %d objects would go, more than %.0f %%", gone, owned, g.MaxShare*100)
	}
	return ""
}

// protectedOurs counts objects of ours that only protection keeps: a tree that
// was emptied is one also where the uplink would stay.
func protectedOurs(p Plan, have observed.State) int {
	keys := make(map[resource.Key]bool)
	for _, n := range p.Notes {
		if o, ok := have.Objects.Get(n.Key); ok && n.Code.KeepsBack() && o.Owner == resource.Ours {
			keys[n.Key] = true
		}
	}
	return len(keys)
}

func countOurs(have observed.State) int {
	n := 0
	have.Objects.Each(func(_ resource.Key, o resource.Object) bool {
		if o.Owner == resource.Ours {
			n++
		}
		return true
	})
	return n
}

// deletions counts our objects that go for good. One of a kind made for one
// removed is a rename or a move, and so is one that waits for it to be gone.
func deletions(p Plan) int {
	gone, made := map[resource.Kind]int{}, map[resource.Kind]int{}
	for _, n := range p.Notes {
		if n.Code == Waiting {
			made[n.Key.Kind]++
		}
	}
	for _, op := range p.Ops {
		if l, ok := op.From.(resource.Leftover); ok && l.IsLeftover() {
			continue
		}
		switch {
		case op.Verb == Delete && op.Owner == resource.Ours:
			gone[op.Key.Kind]++
		case op.Verb == Create && !op.Restores:
			made[op.Key.Kind]++
		}
		for _, k := range op.Takes {
			gone[k.Kind]++
		}
	}
	n := 0
	for kind, count := range gone {
		n += max(0, count-made[kind])
	}
	return n
}

// Hold returns the plan without the operations that match and those that come
// after them; each becomes a Note that says why.
func (p Plan) Hold(why string, match func(Op) bool) Plan {
	held := make([]bool, len(p.Ops))
	at := make([]int, len(p.Ops))
	out := p
	out.Ops, out.Notes = nil, slices.Clone(p.Notes)
	for i, op := range p.Ops {
		held[i] = match(op) || slices.ContainsFunc(op.After, func(first int) bool { return held[first] })
		if held[i] {
			out.Notes = append(out.Notes, Note{Code: Held, Key: op.Key, Text: why, Origin: op.Origin})
			continue
		}
		at[i] = len(out.Ops)
		after := make([]int, len(op.After))
		for j, first := range op.After {
			after[j] = at[first]
		}
		op.After = after
		out.Ops = append(out.Ops, op)
	}
	return out
}
