package main

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"reconciler/internal/resource"
	"reconciler/test/strace"
)

// traced are the system calls that are counted: those that ask or tell the
// kernel something, not those of Go's runtime.
const traced = "bpf,read,write,openat,close,getdents64,newfstatat,statfs,mkdirat,unlinkat,socket,getsockopt,setsockopt,fcntl"

// Parts of a trace, in their order.
var parts = []string{"full sync", "no-op reconcile", "one backend changed", "end"}

// vipCalls counts the system calls of a sync, of a cycle without a change and of
// one with one: a copy of this program runs under strace.
func (b *bench) vipCalls(ctx context.Context, s service) error {
	text, err := b.underStrace(ctx, "-traced-vips", "-s", "64", "-e", "trace="+traced)
	if err != nil {
		return fmt.Errorf("count system calls: %w", err)
	}
	all, mutating := countCalls(text)
	for i, part := range parts[:len(parts)-1] {
		r := row{load: s.name(), measure: "system calls of " + part, value: fmt.Sprintf("%d, %d bpf() that change", all[i], mutating[i])}
		if part == "no-op reconcile" {
			r.target, r.met = "no change", mutating[i] == 0
		}
		b.row(r)
	}
	return nil
}

// mutatingBPF are the bpf calls that make or change something.
var mutatingBPF = regexp.MustCompile(`bpf\((?:BPF_|0x)(?:MAP_CREATE|PROG_LOAD|OBJ_PIN|MAP_UPDATE|MAP_DELETE|LINK_)`)

// countCalls counts the calls of each part.
func countCalls(trace string) (all, mutating []int) {
	all, mutating = make([]int, len(parts)), make([]int, len(parts))
	at := -1
	for line := range strings.Lines(trace) {
		if at+1 < len(parts) && strings.Contains(line, strace.Hex(partMark(parts[at+1]))) {
			at++
			continue
		}
		if at < 0 || strings.Contains(line, "resumed>") {
			continue
		}
		all[at]++
		if mutatingBPF.MatchString(line) {
			mutating[at]++
		}
	}
	return all, mutating
}

func partMark(part string) string { return "bench: " + part + "\n" }

// tracedVIPs is what runs under strace.
func (b *bench) tracedVIPs(ctx context.Context) error {
	s := service{b.size(2000), 64, 20}
	return b.onBackends(ctx, s, func(ctx context.Context, s service) error {
		o, d, err := b.openVIPs()
		if err != nil {
			return err
		}
		defer o.close()
		defer d.Close()
		full, other := s.wanted(100), s.wanted(50)
		return firstOf(
			b.part(0, func() error { return o.carryOut(ctx, full) }),
			o.make(ctx, full),
			b.part(1, func() error { return o.settled(ctx, full) }),
			b.part(2, func() error { return o.carryOut(ctx, other) }),
			b.part(3, func() error { return nil }))
	})
}

func (b *bench) part(i int, do func() error) error {
	mark(partMark(parts[i]))
	return do()
}

// carryOut plans and applies.
func (o *ours) carryOut(ctx context.Context, want *resource.Set) error {
	p, err := o.plan(ctx, want)
	if err != nil {
		return err
	}
	return o.apply(ctx, p)
}
