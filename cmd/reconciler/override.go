package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"reconciler/internal/api"
	"reconciler/internal/engine"
	"reconciler/internal/intent"
)

// lease are the flags of what holds for a while.
type lease struct {
	d      time.Duration
	reason string
}

func (l *lease) flags(cmd *cobra.Command) {
	cmd.Flags().DurationVar(&l.d, "for", time.Hour, "how long")
	cmd.Flags().StringVar(&l.reason, "reason", "", "why, for who reads the status")
}

// overrideCommand is a command that has the daemon do something else than its
// source says, until the lease ends.
func (c *cli) overrideCommand(cmd *cobra.Command, make func([]string) (engine.Override, error)) *cobra.Command {
	var l lease
	l.flags(cmd)
	return c.passCommand(cmd, func(ctx context.Context, d *api.Client, args []string) (engine.Pass, error) {
		o, err := make(args)
		if err != nil {
			return engine.Pass{}, exit(exitUsage, err)
		}
		o.Reason = l.reason
		return d.Override(ctx, o, l.d)
	})
}

// releaseCommand is a command that ends such a lease before its time.
func (c *cli) releaseCommand(cmd *cobra.Command, make func([]string) (engine.Override, error)) *cobra.Command {
	return c.passCommand(cmd, func(ctx context.Context, d *api.Client, args []string) (engine.Pass, error) {
		o, err := make(args)
		if err != nil {
			return engine.Pass{}, exit(exitUsage, err)
		}
		return d.Release(ctx, o)
	})
}

func (c *cli) backendCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "backend", Args: cobra.NoArgs, Short: "Pause, disable, enable or weigh a backend for a while",
		Long: "Pause, disable, enable or weigh a backend for a while, whatever the tree says. status shows it first, it ends by\n" +
			"itself, and outlives a restart of the daemon.",
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	for _, s := range []struct {
		use, short string
		state      intent.OverrideState
	}{
		{"pause", "No new flows to a backend; those it has stay", intent.Paused},
		{"enable", "Let a backend serve though the tree disables or drains it", intent.Enabled},
	} {
		cmd.AddCommand(c.overrideCommand(&cobra.Command{Use: s.use + " NAME", Args: cobra.ExactArgs(1), Short: s.short},
			func(args []string) (engine.Override, error) {
				return engine.Override{Kind: engine.OverBackend, Name: args[0], State: s.state}, nil
			}))
	}
	cmd.AddCommand(c.backendDisableCommand(), c.backendWeightCommand(), c.releaseCommand(
		&cobra.Command{Use: "resume NAME", Args: cobra.ExactArgs(1), Short: "End what was said of a backend by hand"}, overBackend))
	return cmd
}

func overBackend(args []string) (engine.Override, error) {
	return engine.Override{Kind: engine.OverBackend, Name: args[0]}, nil
}

func (c *cli) backendDisableCommand() *cobra.Command {
	var flush bool
	cmd := &cobra.Command{Use: "disable NAME", Args: cobra.ExactArgs(1), Short: "Take a backend out; its flows drain, or with --flush go at once"}
	cmd.Flags().BoolVar(&flush, "flush", false, "cut its flows")
	return c.overrideCommand(cmd, func(args []string) (engine.Override, error) {
		return engine.Override{Kind: engine.OverBackend, Name: args[0], State: intent.Disabled, Flush: flush}, nil
	})
}

func (c *cli) backendWeightCommand() *cobra.Command {
	var pool string
	cmd := &cobra.Command{Use: "weight NAME WEIGHT", Args: cobra.ExactArgs(2), Short: "Give a backend another weight (0 to 100)"}
	cmd.Flags().StringVar(&pool, "pool", "", "in this pool only")
	return c.overrideCommand(cmd, func(args []string) (engine.Override, error) {
		w, err := strconv.ParseUint(args[1], 10, 8)
		if err != nil || w > 100 {
			return engine.Override{}, fmt.Errorf("weight %s: want 0 to 100", args[1])
		}
		weight := uint8(w)
		return engine.Override{Kind: engine.OverBackend, Name: args[0], Pool: pool, Weight: &weight}, nil
	})
}

// drained reads what is to drain.
type drained struct {
	labels []string
	host   bool
}

func (d *drained) flags(cmd *cobra.Command) {
	cmd.Flags().StringSliceVarP(&d.labels, "label", "l", nil, "the backends that have this label, as name=value; several: all of them")
	cmd.Flags().BoolVar(&d.host, "host", false, "this host: no VIP is announced")
}

func (d *drained) override([]string) (engine.Override, error) {
	if d.host == (len(d.labels) > 0) {
		return engine.Override{}, errors.New("give labels (-l rack=r12) or --host")
	}
	if d.host {
		return engine.Override{Kind: engine.OverHost}, nil
	}
	o := engine.Override{Kind: engine.OverDrain, Select: map[string]string{}}
	for _, l := range d.labels {
		name, value, ok := strings.Cut(l, "=")
		if !ok || name == "" {
			return o, fmt.Errorf("label %q: want name=value", l)
		}
		o.Select[name] = value
	}
	return o, nil
}

func (c *cli) drainCommand() *cobra.Command {
	var d drained
	cmd := &cobra.Command{
		Use: "drain", Args: cobra.NoArgs, Short: "Take backends out by label, or this host, for a while",
		Long: "Take backends out by label, or this host, for a while: new flows go elsewhere at once, established ones stay until\n" +
			"the drain time of their VIP is over. undrain ends it.",
	}
	d.flags(cmd)
	return c.overrideCommand(cmd, d.override)
}

func (c *cli) undrainCommand() *cobra.Command {
	var d drained
	cmd := &cobra.Command{Use: "undrain", Args: cobra.NoArgs, Short: "End a drain before its time"}
	d.flags(cmd)
	return c.releaseCommand(cmd, d.override)
}

func (c *cli) disableCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "disable vip/NAME | chain/LINK/HOOK/PROGRAM", Args: cobra.ExactArgs(1),
		Short: "Take a VIP or a program of a chain out for a while",
		Long: "Take a VIP or a program of a chain out for a while. A VIP that is out has no backend and is not announced; a program\n" +
			"stays loaded, with its maps. enable ends it.",
	}
	return c.overrideCommand(cmd, overTarget)
}

func (c *cli) enableCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "enable vip/NAME | chain/LINK/HOOK/PROGRAM", Args: cobra.ExactArgs(1),
		Short: "End a disable before its time",
	}
	return c.releaseCommand(cmd, overTarget)
}

func overTarget(args []string) (engine.Override, error) {
	kind, name, _ := strings.Cut(args[0], "/")
	o := engine.Override{Name: name, State: intent.Disabled}
	switch {
	case name == "":
	case kind == "vip":
		o.Kind = engine.OverVIP
		return o, nil
	case kind == "chain" && strings.Count(name, "/") == 2:
		o.Kind = engine.OverProgram
		return o, nil
	}
	return o, fmt.Errorf("%q: want vip/NAME or chain/LINK/HOOK/PROGRAM", args[0])
}
