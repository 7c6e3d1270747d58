package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"golang.org/x/sys/unix"
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
	dir, err := os.MkdirTemp("", "reconciler-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	self, err := os.Executable()
	if err != nil {
		return err
	}
	trace := filepath.Join(dir, "trace")
	args := []string{"-f", "-yy", "-v", "-s", "100000000", "-o", trace,
		"-e", "trace=sendto,sendmsg,sendmmsg,write", self, "-one-change"}
	if b.quick {
		args = append(args, "-quick")
	}
	if out, err := exec.CommandContext(ctx, "strace", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("count requests: strace: %w: %s", err, out)
	}
	text, err := os.ReadFile(trace)
	if err != nil {
		return err
	}
	control, repair, err := countRequests(string(text))
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

var requestType = regexp.MustCompile(`nlmsg_type=(0x[0-9a-f]+|\w+)`)

// countRequests counts mutating requests on rtnetlink sockets between marks.
func countRequests(trace string) (control, repair int, err error) {
	var at *int
	for line := range strings.Lines(trace) {
		switch {
		case strings.Contains(line, strings.TrimSpace(markControl)):
			at = &control
		case strings.Contains(line, strings.TrimSpace(markRepair)):
			at = &repair
		case strings.Contains(line, strings.TrimSpace(markEnd)):
			return control, repair, nil
		case at != nil && strings.Contains(line, "NETLINK:[ROUTE"):
			for _, m := range requestType.FindAllStringSubmatch(line, -1) {
				if mutates(m[1]) {
					*at++
				}
			}
		}
	}
	return 0, 0, errors.New("the trace has no end mark")
}

// mutates tells requests that read from all others, known or not.
func mutates(kind string) bool {
	switch kind {
	case "RTM_GETLINK", "RTM_GETADDR", "RTM_GETROUTE", "RTM_GETRULE", "RTM_GETNEIGH":
		return false
	}
	var n int
	if _, err := fmt.Sscanf(kind, "0x%x", &n); err != nil {
		return true
	}
	return n < unix.RTM_BASE || n%4 != unix.RTM_GETLINK%4
}
