package main

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"reconciler/internal/resource"
	"reconciler/test/traffic"
)

const perProgram = 2.5 // ns a packet may cost more for each program of a chain

func chainSizes() []int { return []int{1, 2, 4, 8, 16} }

// packet measures what a packet costs in chains of several sizes, against one
// program alone: the kernel's own test run of what is attached.
func (b *bench) packet(ctx context.Context) error {
	for _, hook := range []resource.Hook{resource.XDPIngress, resource.TCIngress} {
		if err := b.onPairs(len(chainSizes()), func(*host) error { return b.sizes(ctx, hook) }); err != nil {
			return fmt.Errorf("packets on %s: %w", hook, err)
		}
	}
	return b.onPairs(2, func(*host) error { return b.bypass(ctx) })
}

// sizes has a chain of each size ready at once.
func (b *bench) sizes(ctx context.Context, hook resource.Hook) error {
	subjects, done, err := b.yardsticks(hook)
	defer done()
	if err != nil {
		return err
	}
	for i, n := range chainSizes() {
		p, done, err := b.dispatcher(ctx, chainSetup{}, chained{link: fmt.Sprintf("v%d", i), hook: hook, programs: n, entry: "pass"})
		if err != nil {
			return err
		}
		defer done()
		subjects = append(subjects, subject{fmt.Sprintf("%d programs", n), spin(p, b.repeats())})
	}
	times, err := compare(b.spins(), subjects...)
	if err != nil {
		return err
	}
	bare, calls, chains := times[0], times[1], times[2:]
	for i, n := range chainSizes() {
		b.row(b.beyond(fmt.Sprintf("%s, chain of %d", hook, n), chains[i], bare, n))
	}
	slope := slopes(chainSizes(), chains)
	b.row(row{
		load: string(hook) + ", chains of 1 to 16", measure: "ns a packet and program",
		value: nanos(slope, b.repeats()), target: fmt.Sprintf("≤ %g ns", perProgram), met: median(slope)/float64(b.repeats()) <= perProgram,
	})
	each := differences(calls, bare)
	for i := range each {
		each[i] /= resource.MaxSlots
	}
	b.row(row{load: string(hook) + ", no chain", measure: "ns of an empty call in one program", value: nanos(each, b.repeats())})
	return nil
}

// yardsticks are one program alone, and one that makes as many empty calls as
// a chain has slots.
func (b *bench) yardsticks(hook resource.Hook) (subjects []subject, done func(), err error) {
	var held []*ebpf.Collection
	done = func() {
		for _, c := range held {
			c.Close()
		}
	}
	for _, entry := range []string{"pass", "calls"} {
		coll, p, err := chained{link: "v0", hook: hook, entry: entry}.load(0)
		if err != nil {
			return nil, done, err
		}
		held = append(held, coll)
		subjects = append(subjects, subject{entry, spin(p, b.repeats())})
	}
	return subjects, done, nil
}

// beyond makes a row of what n programs in a chain cost more than one alone.
func (b *bench) beyond(load string, ours, bare []time.Duration, n int) row {
	each := make([]float64, len(ours))
	for i := range ours {
		each[i] = float64(ours[i]-bare[i]) / float64(n)
	}
	return row{
		load: load, measure: "a packet / one bare program", ours: nanosOf(median(ours), b.repeats()), other: nanosOf(median(bare), b.repeats()),
		value: "+" + nanos(each, b.repeats()) + " a program",
	}
}

// slopes fits a line to the times of each round, by least squares: what one
// more of n costs.
func slopes(n []int, times [][]time.Duration) []float64 {
	mean := 0.0
	for _, x := range n {
		mean += float64(x) / float64(len(n))
	}
	out := make([]float64, len(times[0]))
	for round := range out {
		up, down := 0.0, 0.0
		for i, x := range n {
			dx := float64(x) - mean
			up += dx * float64(times[i][round])
			down += dx * dx
		}
		out[round] = up / down
	}
	return out
}

// bypass measures what a packet pays that no bypass takes: all frames are
// asked for, and four prefixes.
func (b *bench) bypass(ctx context.Context) error {
	load := chained{link: "v0", hook: resource.XDPIngress, programs: 1, entry: "pass"}
	var prefixes []netip.Prefix
	for i := range 4 {
		prefixes = append(prefixes, nth("198.51.100.0/30", i))
	}
	without, done, err := b.dispatcher(ctx, chainSetup{}, load)
	if err != nil {
		return err
	}
	defer done()
	load.link = "v1"
	with, done, err := b.dispatcher(ctx, chainSetup{bypass: prefixes}, load)
	if err != nil {
		return err
	}
	defer done()
	times, err := compare(b.spins(), subject{"without", spin(without, b.repeats())}, subject{"with", spin(with, b.repeats())})
	if err != nil {
		return err
	}
	r := b.beyond("bypass of 5 frames, 4 prefixes", times[1], times[0], 1)
	r.measure, r.value = "a UDP packet / without", "+"+nanos(differences(times[1], times[0]), b.repeats())
	b.row(r)
	return nil
}

func differences(a, b []time.Duration) []float64 {
	out := make([]float64, len(a))
	for i := range a {
		out[i] = float64(a[i] - b[i])
	}
	return out
}

// repeats is how many packets one test run has.
func (b *bench) repeats() int { return b.size(200_000) }

func (b *bench) spins() int {
	if b.quick {
		return 5
	}
	return 41
}

// spin is a subject: packets through a program.
func spin(p *ebpf.Program, packets int) func() (time.Duration, error) {
	data := traffic.UDP()
	return func() (time.Duration, error) {
		before := cpuTime()
		_, err := p.Run(&ebpf.RunOptions{Data: data, Repeat: uint32(packets)})
		return cpuTime() - before, err
	}
}

// cpuTime is the processor time of this thread: others that want the processor
// do not count.
func cpuTime() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		return 0 // every Linux has it
	}
	return time.Duration(t.Nano())
}

// nanos prints a median with its quartiles, a packet.
func nanos(all []float64, packets int) string {
	at := func(q float64) float64 { return quantile(all, q) / float64(packets) }
	return fmt.Sprintf("%.1f (%.1f–%.1f) ns", at(0.5), at(0.25), at(0.75))
}

func nanosOf(d time.Duration, packets int) string {
	return fmt.Sprintf("%.1f ns", float64(d)/float64(packets))
}
