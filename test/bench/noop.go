package main

import (
	"context"
	"fmt"
	"time"
)

// noop measures a cycle that finds nothing to do, against the dumps that it
// cannot do without, read and thrown away.
func (b *bench) noop(ctx context.Context, l load, most limits) error {
	return b.filled(l, func(h *host, o *ours) error {
		want := l.wanted()
		if err := o.settled(ctx, want); err != nil {
			return fmt.Errorf("reconcile %s: %w", l.name, err)
		}
		times, err := compare(4*b.rounds(l)+1,
			subject{"dumps", func() (time.Duration, error) {
				return clock(h.drainAll)
			}},
			subject{"reconcile", func() (time.Duration, error) {
				return clock(func() error { return o.settled(ctx, want) })
			}})
		if err != nil {
			return fmt.Errorf("reconcile %s: %w", l.name, err)
		}
		b.row(against(l.name, "no-op reconcile / raw dumps", times[1], times[0], most.noop))
		return nil
	})
}

// drainAll reads what a reader of the host cannot do without.
func (h *host) drainAll() error {
	for _, ask := range []func(*batch){dumpLinks, dumpAddresses, dumpOurRoutes} {
		if _, err := h.drain(ask); err != nil {
			return err
		}
	}
	return nil
}

// filled runs f on a host that holds a load, made by the raw client.
func (b *bench) filled(l load, f func(*host, *ours) error) error {
	return onHost(func(h *host) error {
		if err := firstOf(h.do(l.before), h.do(l.requests)); err != nil {
			return fmt.Errorf("fill %s: %w", l.name, err)
		}
		time.Sleep(b.rest())
		o, err := openOurs()
		if err != nil {
			return err
		}
		defer o.close()
		return firstOf(f(h, o), h.clear())
	})
}

// rest lets the kernel give each link its own IPv6 address, which takes 1.6 s
// and interrupts dumps.
func (b *bench) rest() time.Duration {
	if b.quick {
		return 200 * time.Millisecond
	}
	return 2 * time.Second
}

// foreign measures what routes of somebody else add to a cycle of a small
// host: two hosts, side by side.
func (b *bench) foreign(ctx context.Context) error {
	const most = 5 * time.Millisecond
	n := b.size(100_000)
	small := addressLoad(20, 4)
	want := small.wanted()
	return b.filled(small, func(_ *host, quiet *ours) error {
		return b.filled(small, func(h *host, crowded *ours) error {
			if err := h.do(routesOf(n, bird)); err != nil {
				return err
			}
			cycle := func(o *ours) func() (time.Duration, error) {
				return func() (time.Duration, error) {
					return clock(func() error { return o.settled(ctx, want) })
				}
			}
			times, err := compare(41, subject{"without", cycle(quiet)}, subject{"with", cycle(crowded)})
			if err != nil {
				return fmt.Errorf("cycle among %d foreign routes: %w", n, err)
			}
			var added []time.Duration
			for i := range times[0] {
				added = append(added, times[1][i]-times[0][i])
			}
			b.row(row{
				load: count(n) + " foreign routes", measure: "added to a cycle",
				ours: short(median(times[1])), other: short(median(times[0])),
				value: short(median(added)), target: "< " + short(most), met: median(added) < most,
			})
			return nil
		})
	})
}

const bird = 12 // RTPROT_BIRD

func routesOf(n int, protocol byte) func(*batch) {
	return func(b *batch) {
		for i := range n {
			b.addRoute(nth("20.0.0.0/24", i), gateway, uplink.index, protocol)
		}
	}
}
