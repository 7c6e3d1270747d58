package main

import (
	"context"
	"fmt"
	"time"
)

// remove measures taking a load of links away as a group, against a raw client
// that deletes one after the other.
func (b *bench) remove(ctx context.Context, l load) error {
	rounds := min(3, b.rounds(l))
	times, err := compare(rounds,
		subject{"ours", func() (d time.Duration, err error) {
			err = b.filled(l, func(h *host, o *ours) error {
				p, err := o.plan(ctx, load{base: l.base}.wanted())
				if err != nil {
					return err
				}
				if d, err = clock(func() error { return o.apply(ctx, p) }); err != nil {
					return err
				}
				return h.only(l.base)
			})
			return d, err
		}},
		subject{"one by one", func() (d time.Duration, err error) {
			err = b.filled(l, func(h *host, _ *ours) error {
				if d, err = clock(func() error { return h.deleteEach(l) }); err != nil {
					return err
				}
				return h.only(l.base)
			})
			return d, err
		}})
	if err != nil {
		return fmt.Errorf("remove %s: %w", l.name, err)
	}
	b.row(against(l.name, "group removal / one by one", times[0], times[1], 0.1))
	return nil
}

// deleteEach deletes the pairs of a load, a request and an ack at a time.
func (h *host) deleteEach(l load) error {
	for _, o := range l.make {
		p, ok := o.(pair)
		if !ok {
			continue
		}
		if err := h.do(func(b *batch) { b.deleteLink(p.index) }); err != nil {
			return err
		}
	}
	return nil
}

// only wants no more links than lo and some pairs.
func (h *host) only(base []pair) error {
	links, err := h.drain(dumpLinks)
	if want := 1 + 2*len(base); err == nil && links != want {
		err = fmt.Errorf("%d links are left, want %d", links, want)
	}
	return err
}
