package engine

import (
	"slices"

	"reconciler/internal/diff"
	"reconciler/internal/observed"
	"reconciler/internal/resource"
)

// forgetHealed drops failures of keys that were tried and need nothing more.
func (l *loop) forgetHealed(p diff.Plan) {
	if len(l.failures) == 0 {
		return
	}
	open := make(map[resource.Key]bool, len(p.Ops))
	for _, op := range p.Ops {
		open[op.Key] = true
	}
	now := l.now().At
	for k, f := range l.failures {
		if f.Until <= now && !open[k] {
			delete(l.failures, k)
		}
	}
}

// forgetUnwanted drops failures of keys that are gone from what is wanted and
// from the host. A new revision is a new word: what it no longer names is
// dropped whatever the host holds, and the rest is tried at once.
func (l *loop) forgetUnwanted(want *resource.Set, have observed.State) {
	fresh := l.failedUnder != l.useRevision()
	l.failedUnder = l.useRevision()
	for k, f := range l.failures {
		switch {
		case want.Has(k):
			if fresh {
				f.Until = l.now().At
				l.failures[k] = f
			}
		case fresh || !have.Objects.Has(k):
			delete(l.failures, k)
		}
	}
}

// failingCondition holds as long as a failure is remembered, also while the key
// is tried again.
func (l *loop) failingCondition() {
	keys := make([]resource.Key, 0, len(l.failures))
	for k := range l.failures {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, resource.Key.Compare)
	lines := make([]string, len(keys))
	for i, k := range keys {
		lines[i] = noteText(diff.Note{Key: k, Text: l.failures[k].Err})
	}
	l.conds.set(CondFailing, string(CondFailing), few(lines))
}
