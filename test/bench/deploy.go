package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	"reconciler/internal/resource"
)

const (
	deployRaw = 1.5                   // times the raw client
	deployTCX = 40 * time.Millisecond // 20 programs on two hooks
	noopMost  = 2 * time.Millisecond  // 20 programs
)

// deploy measures chains of programs that are new to the kernel, from the
// desired state to the read-back.
func (b *bench) deploy(ctx context.Context) error {
	xdp := chained{link: "v0", hook: resource.XDPIngress, programs: 16, entry: "numbered"}
	ingress := chained{link: "v0", hook: resource.TCIngress, programs: 10, entry: "numbered"}
	egress := chained{link: "v0", hook: resource.TCEgress, programs: 10, entry: "numbered"}
	on := func(work func() (time.Duration, error)) func() (time.Duration, error) {
		return func() (d time.Duration, err error) {
			err = b.onPairs(1, func(*host) error {
				d, err = work()
				return err
			})
			return d, err
		}
	}
	times, err := compare(b.rounds(load{})*2+1,
		subject{"raw", on(func() (time.Duration, error) { return rawDeploy(xdp) })},
		subject{"ours", on(func() (time.Duration, error) { return b.deployed(ctx, xdp) })},
		subject{"raw, two hooks", on(func() (time.Duration, error) { return rawDeploy(ingress, egress) })},
		subject{"ours, two hooks", on(func() (time.Duration, error) { return b.deployed(ctx, ingress, egress) })})
	if err != nil {
		return err
	}
	b.row(against("16 programs on one XDP hook", "deploy / raw loads and one attach", times[1], times[0], deployRaw))
	b.row(against("20 programs on two TCX hooks", "deploy / raw loads, two attach", times[3], times[2], 0))
	b.row(within("20 programs on two TCX hooks", "deploy", times[3], deployTCX))
	return nil
}

// within makes a row of a time that has a limit.
func within(load, measure string, ours []time.Duration, limit time.Duration) row {
	return row{
		load: load, measure: measure, ours: short(median(ours)),
		value:  fmt.Sprintf("%s (%s–%s)", short(median(ours)), short(quantile(ours, 0.25)), short(quantile(ours, 0.75))),
		target: "≤ " + short(limit), met: median(ours) <= limit,
	}
}

// rawDeploy loads all programs and attaches one of each hook.
func rawDeploy(all ...chained) (time.Duration, error) {
	var undo []io.Closer
	defer func() {
		for _, u := range undo {
			u.Close()
		}
	}()
	return clock(func() error {
		for _, c := range all {
			var first *ebpf.Program
			for i := range c.programs {
				coll, p, err := c.load(i)
				if err != nil {
					return err
				}
				undo = append(undo, closing(coll.Close))
				if first == nil {
					first = p
				}
			}
			l, err := c.attach(first)
			if err != nil {
				return fmt.Errorf("attach: %w", err)
			}
			undo = append(undo, l)
		}
		return nil
	})
}

// closing makes an io.Closer of what cannot fail.
type closing func()

// Close calls it.
func (c closing) Close() error {
	c()
	return nil
}

func (c chained) attach(p *ebpf.Program) (link.Link, error) {
	switch c.hook {
	case resource.XDPIngress:
		return link.AttachXDP(link.XDPOptions{Program: p, Interface: linkIndex(0), Flags: link.XDPDriverMode})
	case resource.TCIngress:
		return link.AttachTCX(link.TCXOptions{Program: p, Interface: linkIndex(0), Attach: ebpf.AttachTCXIngress})
	}
	return link.AttachTCX(link.TCXOptions{Program: p, Interface: linkIndex(0), Attach: ebpf.AttachTCXEgress})
}

// deployed is the whole way: resolve, look, compare, prepare, apply.
func (b *bench) deployed(ctx context.Context, all ...chained) (time.Duration, error) {
	want := chainsWanted(all...)
	o, err := b.openChains(chainSetup{})
	if err != nil {
		return 0, err
	}
	defer o.close()
	d, err := clock(func() error {
		p, err := o.plan(ctx, want)
		if err != nil {
			return err
		}
		return o.apply(ctx, p)
	})
	return d, firstOf(err, o.settled(ctx, want))
}
