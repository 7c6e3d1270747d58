package engine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"testing/fstest"

	"reconciler/internal/desired"
	"reconciler/internal/driver"
	"reconciler/internal/intent"
	"reconciler/internal/resource"
	"reconciler/internal/source"
)

// tree is a revision with what it says for this host.
type tree struct {
	rev  Revision
	want *resource.Set
}

// rescueRevision names the rescue file where it is used alone.
const rescueRevision = "rescue"

// maxTrees is how many trees are kept decoded: newest, in use, applied, good
// and a pin.
const maxTrees = 5

// trees decodes revisions and keeps those in use.
type trees struct {
	options   desired.Options
	drivers   []driver.Driver
	snapshots Snapshots
	decoded   []*tree // the one used last comes last
}

func revisionOf(t source.Tree) Revision {
	return Revision{Revision: t.Revision, Title: t.Title, Author: t.Author, Time: t.Time}
}

// decode reads a tree; the error lists its faults. Of a tree for a newer build
// it returns the way out beside it.
func (t *trees) decode(from source.Tree) (one *tree, wayOut *resource.Set, err error) {
	d, err := desired.Load(from.FS(), t.options)
	if err == nil {
		err = Refused(d, t.drivers)
	}
	if err != nil {
		return nil, d.WayOut, err
	}
	one = &tree{rev: revisionOf(from), want: d.Want}
	t.keep(one)
	return one, nil, nil
}

func (t *trees) keep(one *tree) {
	t.decoded = slices.DeleteFunc(t.decoded, func(o *tree) bool { return o.rev.Revision == one.rev.Revision })
	t.decoded = append(t.decoded, one)
	if len(t.decoded) > maxTrees {
		t.decoded = t.decoded[1:]
	}
}

// get returns a revision, from disk where need be.
func (t *trees) get(revision string) (*tree, error) {
	for _, one := range t.decoded {
		if one.rev.Revision == revision {
			t.keep(one)
			return one, nil
		}
	}
	from, err := t.snapshots.Get(revision)
	if err != nil {
		return nil, fmt.Errorf("load revision %s: %w", short(revision), err)
	}
	one, _, err := t.decode(from)
	return one, err
}

// rescue is the rescue file alone; nil where there is none or it has faults.
func (t *trees) rescue() (*tree, error) {
	if t.options.Rescue == nil {
		return nil, fs.ErrNotExist
	}
	options := t.options
	options.Labels = nil
	d, err := desired.Load(fstest.MapFS{}, options)
	if err != nil {
		return nil, err
	}
	return &tree{rev: Revision{Revision: rescueRevision}, want: d.Want}, nil
}

// choose sets what the host is made into: nil where nothing is valid. An apply
// without a verdict keeps its own revision until there is one.
func (l *loop) choose() {
	if l.pending != nil {
		l.use = l.pending.tree
		return
	}
	r := intent.Revisions{Newest: l.newest, Bad: maps.Clone(l.bad), Pin: l.pin()}
	if l.fetching == l.newest {
		r.Newest = ""
	}
	r.Former = []string{l.ledger.Applied.Revision, l.useRevision(), l.ledger.LastGood.Revision}
	if l.unsafe != "" {
		r.Bad[l.unsafe] = true
	}
	for range len(r.Former) + 2 {
		revision, next := intent.Choose(r, l.now().At)
		if revision == "" {
			break
		}
		t, err := l.trees.get(revision)
		if err == nil {
			l.use, l.chooseNext = t, next
			l.conds.clear(CondNoTree)
			return
		}
		l.log.Warn("revision cannot be used", "revision", revision, "error", err)
		r.Bad[revision] = true
		if revision == r.Pin.Revision {
			r.Pin = intent.Pin{}
		}
	}
	l.chooseRescue()
}

func (l *loop) chooseRescue() {
	l.chooseNext = intent.Never
	t, err := l.trees.rescue()
	l.use = t
	switch {
	case err == nil:
		l.conds.raise(CondNoTree, "Rescue", "no revision is valid; the rescue file is used alone")
	case errors.Is(err, fs.ErrNotExist):
		l.conds.raise(CondNoTree, "Waiting", "no valid revision yet; nothing is changed")
	default:
		l.conds.raise(CondNoTree, "RescueInvalid", "no revision is valid, nor is the rescue file: "+err.Error())
	}
}

func (l *loop) useRevision() string {
	if l.use == nil {
		return ""
	}
	return l.use.rev.Revision
}

// deliver takes a revision in. One with faults leaves what there was.
func (l *loop) deliver(ctx context.Context, t source.Tree) {
	l.seen = revisionOf(t)
	decoded, wayOut, err := l.trees.decode(t)
	l.leaveBy(wayOut)
	if err != nil {
		l.newest = ""
		l.metrics.revisions.WithLabelValues("invalid").Inc()
		l.conds.raise(CondInvalid, "Faults", "revision "+short(t.Revision)+" is not used:\n"+err.Error())
		l.event(Event{Type: EventRevision, Revision: t.Revision, Message: "revision has faults and is not used"})
		return
	}
	l.metrics.revisions.WithLabelValues("valid").Inc()
	l.conds.clear(CondInvalid)
	l.newest = t.Revision
	l.stateError("save revision", l.Snapshots.Save(t))
	if t.Revision == l.Refused && l.bad[t.Revision] {
		l.markRefused(t.Revision)
	}
	l.event(Event{Type: EventRevision, Revision: t.Revision, Message: "revision arrived: " + t.Title})
	l.awaitObjects(ctx, decoded)
}

// short is a revision as people write it.
func short(revision string) string {
	const enough = 12
	return revision[:min(len(revision), enough)]
}
