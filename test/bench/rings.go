package main

import (
	"fmt"
	"runtime"
	"time"

	"reconciler/internal/maglev"
)

const ringLimit = 2 * time.Millisecond

// rings builds the ring of many backends anew, as a change of one of them does.
func (b *bench) rings() error {
	n := b.size(1000)
	subjects := []subject{
		{"textbook", b.textbookRing(n)},
		{"equal weights", ourRing(n, func(int) uint16 { return 100 }, true)},
		{"mixed weights", ourRing(n, func(i int) uint16 { return uint16(1 + i*37%100) }, false)},
	}
	times, err := compare(b.spins(), subjects...)
	if err != nil {
		return fmt.Errorf("build rings: %w", err)
	}
	plain, equal, mixed := times[0], times[1], times[2]
	load := "ring of " + count(n) + " backends"
	b.row(against(load, "build / textbook", equal, plain, 0))
	b.row(ringRow(load, equal))
	b.row(ringRow(load+", 100 weights", mixed))
	return nil
}

func ringRow(load string, times []time.Duration) row {
	return row{
		load: load, measure: "build", ours: short(median(times)),
		value:  fmt.Sprintf("%s (%s–%s)", short(median(times)), short(quantile(times, 0.25)), short(quantile(times, 0.75))),
		target: "≤ " + short(ringLimit), met: median(times) <= ringLimit,
	}
}

func ourRing(n int, weight func(int) uint16, equal bool) func() (time.Duration, error) {
	var builder maglev.Builder
	ring := make([]uint16, maglev.MaxSize)
	var members []maglev.Member
	for i, a := range addresses(n) {
		members = append(members, maglev.Member{Address: a, Weight: weight(i), ID: uint16(i)})
	}
	return func() (time.Duration, error) {
		took, err := onThread(func() error { return builder.Build(ring, members) })
		if err == nil && equal {
			err = even(ring, n)
		}
		return took, err
	}
}

func (b *bench) textbookRing(n int) func() (time.Duration, error) {
	var names []string
	for _, a := range addresses(n) {
		names = append(names, a.String())
	}
	return func() (time.Duration, error) {
		var table []int
		took, _ := onThread(func() error {
			table = textbook(maglev.MaxSize, names)
			return nil
		})
		return took, even(table, n)
	}
}

// onThread measures processor time.
func onThread(f func() error) (time.Duration, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before := cpuTime()
	err := f()
	return cpuTime() - before, err
}
