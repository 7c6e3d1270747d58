package main

import (
	"context"
	"fmt"
	"runtime"
	"time"
)

// limits of a row; zero is none.
type limits struct{ raw, ip, noop float64 }

// create measures a load from the finished plan to the last ack, against the
// raw client and ip -batch, each in a namespace of its own.
func (b *bench) create(ctx context.Context, l load, most limits) error {
	var want census
	on := func(work func(*host) (time.Duration, error)) func() (time.Duration, error) {
		return func() (d time.Duration, err error) {
			err = onHost(func(h *host) error {
				if err := h.do(l.before); err != nil {
					return err
				}
				if d, err = work(h); err != nil {
					return err
				}
				return firstOf(h.holds(&want), h.clear())
			})
			return d, err
		}
	}
	times, err := compare(b.rounds(l),
		subject{"raw", on(func(h *host) (time.Duration, error) {
			return clock(func() error { return h.do(l.requests) })
		})},
		subject{"ours", on(func(h *host) (time.Duration, error) { return b.applied(ctx, l) })},
		subject{"ip -batch", on(func(h *host) (time.Duration, error) {
			script := l.script()
			return clock(func() error { return h.ip(ctx, script) })
		})})
	if err != nil {
		return fmt.Errorf("create %s: %w", l.name, err)
	}
	b.row(against(l.name, "apply / raw requests", times[1], times[0], most.raw))
	b.row(against(l.name, "apply / ip -batch", times[1], times[2], most.ip))
	return nil
}

func (b *bench) applied(ctx context.Context, l load) (time.Duration, error) {
	o, err := openOurs()
	if err != nil {
		return 0, err
	}
	defer o.close()
	p, err := o.plan(ctx, l.wanted())
	if err != nil {
		return 0, err
	}
	runtime.GC() // what was thrown away to make the plan is not apply's
	return clock(func() error { return o.apply(ctx, p) })
}

// census is how much a host holds, as raw dumps count it.
type census struct{ links, addresses, routes int }

func (h *host) census() (c census, err error) {
	for _, d := range []struct {
		ask  func(*batch)
		into *int
	}{{dumpLinks, &c.links}, {dumpIPv4, &c.addresses}, {dumpOurRoutes, &c.routes}} {
		if *d.into, err = h.drain(d.ask); err != nil {
			return c, err
		}
	}
	return c, nil
}

// holds compares with what the first subject left: all must build the same.
func (h *host) holds(want *census) error {
	c, err := h.census()
	if err != nil {
		return err
	}
	if *want == (census{}) {
		*want = c
	}
	if c != *want {
		return fmt.Errorf("the host holds %+v, not %+v", c, *want)
	}
	return nil
}
