// Command bench prints how the reconciler compares with a raw client that does
// the same work in as few system calls as possible, with raw dumps and with
// `ip -batch`, and what its chains of BPF programs cost. It runs as root, in network namespaces that it makes and throws
// away.
//
// It owns the yardstick: batch.go, requests.go and client.go speak rtnetlink
// by hand and share no code with the driver; programs.go loads BPF objects as a
// client would that knows nothing of chains; textbook.go builds a ring as the
// paper does. Only ours.go, chains.go, rings.go, vips.go and daemon.go touch the
// reconciler.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	only := flags.String("only", "", "measure these only: "+strings.Join(names(), ","))
	quick := flags.Bool("quick", false, "a tenth of the sizes and fewer rounds: does it still run?")
	markdown := flags.Bool("markdown", false, "print a Markdown table, as in docs/benchmarks.md")
	child := flags.Bool("one-change", false, "the part of `-only change` that runs under strace")
	vips := flags.Bool("traced-vips", false, "the part of `-only vips` that runs under strace")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return errors.New("it makes network namespaces, which takes root")
	}
	b := &bench{quick: *quick, printer: printer{out: out, markdown: *markdown}}
	switch {
	case *child:
		return b.oneChange(ctx)
	case *vips:
		return b.tracedVIPs(ctx)
	}
	chosen := names()
	if *only != "" {
		chosen = strings.Split(*only, ",")
	}
	b.head()
	for _, name := range chosen {
		if err := b.measure(ctx, name); err != nil {
			return err
		}
	}
	if !b.markdown {
		fmt.Fprintf(out, "\n%d targets missed\n", b.missed)
	}
	return nil
}

// bench is one run.
type bench struct {
	printer
	quick  bool
	opened int // drivers of chains, so far
}

// size is a size, or a tenth of it in a quick run.
func (b *bench) size(n int) int {
	if b.quick {
		return n / 10
	}
	return n
}

// rounds is how often a load is measured.
func (b *bench) rounds(l load) int {
	switch {
	case b.quick:
		return 3
	case len(l.make) > 20_000:
		return 7
	}
	return 9
}

func names() []string {
	return []string{"create", "noop", "remove", "change", "foreign", "daemon", "packet", "attach", "deploy", "lookback", "ring", "balancer", "vips"}
}

func (b *bench) measure(ctx context.Context, name string) error {
	switch name {
	case "create":
		return b.eachLoad(ctx, b.create)
	case "noop":
		return b.eachLoad(ctx, b.noop)
	case "remove":
		return b.remove(ctx, pairsLoad(b.size(1000)))
	case "change":
		return b.change(ctx)
	case "foreign":
		return b.foreign(ctx)
	case "daemon":
		return b.daemon(ctx)
	case "attach":
		return b.attach(ctx)
	case "deploy":
		return b.deploy(ctx)
	case "lookback":
		return b.lookback(ctx)
	case "packet":
		return b.packet(ctx)
	case "ring":
		return b.rings()
	case "balancer":
		return b.balancer(ctx)
	case "vips":
		return b.vips(ctx)
	}
	return fmt.Errorf("-only %s: there are %s", name, strings.Join(slices.Sorted(slices.Values(names())), ", "))
}

func (b *bench) eachLoad(ctx context.Context, f func(context.Context, load, limits) error) error {
	for _, m := range []struct {
		load
		limits
	}{
		{pairsLoad(b.size(1000)), limits{noop: 2}},
		{addressLoad(b.size(10_000), 100), limits{noop: 6}},
		{addressLoad(b.size(10_000), 1), limits{}},
		{routeLoad(b.size(10_000)), limits{raw: 1.3, ip: 0.5, noop: 10}},
		{routeLoad(b.size(100_000)), limits{raw: 1.3, ip: 0.5, noop: 10}},
	} {
		if err := f(ctx, m.load, m.limits); err != nil {
			return err
		}
	}
	return nil
}
