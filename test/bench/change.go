package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"

	"reconciler/test/strace"
)

// The child says where it is with writes that show in the trace.
const (
	markControl = "bench: control\n"
	markRepair  = "bench: repair\n"
	markEnd     = "bench: end\n"
)

// change counts, from outside, the requests that mutate something when one of
// many addresses differs: a copy of this program runs under strace. What the
// raw client sends before is the positive control.
func (b *bench) change(ctx context.Context) error {
	text, err := b.underStrace(ctx, "-one-change", "-yy", "-v", "-s", "100000000", "-e", "trace=socket,sendto,sendmsg,sendmmsg,write,writev")
	if err != nil {
		return fmt.Errorf("count requests: %w", err)
	}
	control, repair, err := countRequests(text)
	if err != nil {
		return fmt.Errorf("count requests: %w", err)
	}
	if control != 1 {
		return fmt.Errorf("count requests: %d in the control, want 1: the count cannot be trusted", control)
	}
	b.row(row{
		load: "1 of " + count(b.size(10_000)) + " addresses lost", measure: "mutating requests, by strace",
		value: fmt.Sprint(repair), target: "= 1", met: repair == 1,
	})
	return nil
}

// oneChange fills a host, loses an address and repairs it.
func (b *bench) oneChange(ctx context.Context) error {
	l := addressLoad(b.size(10_000), 100)
	return b.filled(l, func(h *host, o *ours) error {
		want := l.wanted()
		if err := o.settled(ctx, want); err != nil {
			return err
		}
		lost := l.make[len(l.make)/2].(address)
		mark(markControl)
		if err := h.do(func(b *batch) { b.deleteAddress(lost.index, lost.prefix) }); err != nil {
			return err
		}
		mark(markRepair)
		p, err := o.plan(ctx, want)
		if err != nil {
			return err
		}
		if err := o.apply(ctx, p); err != nil {
			return err
		}
		mark(markEnd)
		return o.settled(ctx, want)
	})
}

func mark(text string) { _, _ = os.Stderr.WriteString(text) }

// socketInode is what strace prints beside the descriptor of a netlink socket.
var socketInode = regexp.MustCompile(`<NETLINK:\[(?:ROUTE:)?(\d+)\]>`)

// countRequests counts mutating requests on rtnetlink sockets between marks.
func countRequests(trace string) (control, repair int, err error) {
	routing := make(map[string]bool) // inodes
	var at *int
	for line := range strings.Lines(trace) {
		inode := socketInode.FindStringSubmatch(line)
		switch {
		case strings.Contains(line, "NETLINK_ROUTE") && inode != nil:
			routing[inode[1]] = true
		case strings.Contains(line, strace.Hex(markControl)):
			at = &control
		case strings.Contains(line, strace.Hex(markRepair)):
			at = &repair
		case strings.Contains(line, strace.Hex(markEnd)):
			return control, repair, nil
		case at != nil && inode != nil && routing[inode[1]]:
			n, err := strace.Mutations(line)
			if err != nil {
				return 0, 0, err
			}
			*at += n
		}
	}
	return 0, 0, errors.New("the trace has no end mark")
}
