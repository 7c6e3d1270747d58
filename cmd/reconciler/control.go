package main

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"reconciler/internal/api"
	"reconciler/internal/engine"
)

// passCommand is a command that has the daemon make a pass.
func (c *cli) passCommand(cmd *cobra.Command, do func(context.Context, *api.Client, []string) (engine.Pass, error)) *cobra.Command {
	var h host
	h.daemonFlags(cmd.Flags())
	out := outputFlag(cmd.Flags(), "text", "json")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		pass, err := do(cmd.Context(), c.client(h), args)
		if err != nil {
			return c.daemonError(err)
		}
		return c.printPass(pass, out)
	}
	return cmd
}

func (c *cli) syncCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "sync", Args: cobra.NoArgs, Short: "Have the daemon look at its source and reconcile now"}
	return c.passCommand(cmd, func(ctx context.Context, d *api.Client, _ []string) (engine.Pass, error) { return d.Sync(ctx) })
}

func (c *cli) approveCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "approve REV", Args: cobra.ExactArgs(1), Short: "Release the deletions of a revision that a guard holds"}
	return c.passCommand(cmd, func(ctx context.Context, d *api.Client, args []string) (engine.Pass, error) {
		return d.Approve(ctx, args[0])
	})
}

func (c *cli) retryCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "retry", Args: cobra.NoArgs, Short: "Try again what failed or was undone"}
	return c.passCommand(cmd, func(ctx context.Context, d *api.Client, _ []string) (engine.Pass, error) { return d.Retry(ctx) })
}

func (c *cli) rollbackCommand() *cobra.Command {
	var d time.Duration
	var upgrade string
	cmd := &cobra.Command{
		Use: "rollback [REV]", Args: cobra.MaximumNArgs(1),
		Short: "Pin the host to a former revision for a time (default: the last good one), or leave a version of an upgrade",
		Long: "Pin the host to a former revision for a time (default: the last good one).\n\n" +
			"With --upgrade NAME the version of that upgrade which is in use is left for the one before it, and not used again\n" +
			"until YAML names another one, or after retry.",
	}
	cmd.Flags().DurationVar(&d, "for", time.Hour, "how long")
	cmd.Flags().StringVar(&upgrade, "upgrade", "", "the upgrade whose former version is to be used again")
	return c.passCommand(cmd, func(ctx context.Context, client *api.Client, args []string) (engine.Pass, error) {
		if upgrade != "" && len(args) > 0 {
			return engine.Pass{}, exit(exitUsage, errors.New("--upgrade takes no revision"))
		}
		if upgrade != "" {
			return client.RollBackUpgrade(ctx, upgrade)
		}
		return client.Rollback(ctx, pathOr(args, ""), d)
	})
}

func (c *cli) suspendCommand() *cobra.Command {
	var h host
	var d time.Duration
	var reason string
	cmd := &cobra.Command{Use: "suspend", Args: cobra.NoArgs, Short: "Stop the daemon from applying for a time"}
	h.daemonFlags(cmd.Flags())
	cmd.Flags().DurationVar(&d, "for", time.Hour, "how long")
	cmd.Flags().StringVar(&reason, "reason", "", "why, for who reads the status")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := c.client(h).Suspend(cmd.Context(), d, reason); err != nil {
			return c.daemonError(err)
		}
		c.printf("Suspended until %s.", time.Now().Add(d).Local().Format(time.DateTime))
		return nil
	}
	return cmd
}

func (c *cli) resumeCommand() *cobra.Command {
	var h host
	cmd := &cobra.Command{Use: "resume", Args: cobra.NoArgs, Short: "End a suspend or the pin of a rollback"}
	h.daemonFlags(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := c.client(h).Resume(cmd.Context()); err != nil {
			return c.daemonError(err)
		}
		c.printf("Resumed.")
		return nil
	}
	return cmd
}

func (c *cli) historyCommand() *cobra.Command {
	var h host
	cmd := &cobra.Command{Use: "history", Args: cobra.NoArgs, Short: "List the last passes that changed something, newest first"}
	h.daemonFlags(cmd.Flags())
	out := outputFlag(cmd.Flags(), "text", "json")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		entries, err := c.client(h).History(cmd.Context())
		if err != nil {
			return c.daemonError(err)
		}
		if out.isJSON() {
			return c.json(entries)
		}
		for _, e := range entries {
			c.printf("%s  %-8s %-16s  %s%s", e.At.Local().Format(time.DateTime), e.Cause, short(e.Revision), passText(e.Pass), confirmText(e))
		}
		return nil
	}
	return cmd
}

func confirmText(e engine.Entry) string {
	s := ""
	if e.Confirmed != "" {
		s = ", confirmed: " + e.Confirmed
	}
	if e.Title != "" {
		s += "  " + e.Title
	}
	return s
}

func (c *cli) eventsCommand() *cobra.Command {
	var h host
	var follow bool
	var since uint64
	cmd := &cobra.Command{
		Use: "events", Args: cobra.NoArgs,
		Short: "List what happened, and with -f what happens",
		Long:  "List what happened, and with -f what happens. The first line of -o json is the status: the state that the events change.",
	}
	h.daemonFlags(cmd.Flags())
	out := outputFlag(cmd.Flags(), "text", "json")
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on with what happens")
	cmd.Flags().Uint64Var(&since, "since", 0, "begin after the event of this number")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		ctx, client := cmd.Context(), c.client(h)
		s, err := client.Status(ctx)
		if err != nil {
			return c.daemonError(err)
		}
		show := c.printEvent
		if out.isJSON() {
			show = c.jsonLine
			if err := show(struct {
				Type   string        `json:"type"`
				Status engine.Status `json:"status"`
			}{"snapshot", s}); err != nil {
				return err
			}
		} else {
			c.printf("%s  snapshot    %s at %s", timeOfDay(time.Now()), syncText(s.InSync), revisionText(s.Applied))
		}
		err = client.Events(ctx, since, follow, func(e engine.Event) error { return show(e) })
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	return cmd
}

func syncText(in bool) string {
	if in {
		return "in sync"
	}
	return "not in sync"
}

func (c *cli) printEvent(v any) error {
	e := v.(engine.Event)
	line := timeOfDay(e.Time) + "  " + pad(string(e.Type), 10) + "  " + e.Message
	if e.Key.Name != "" {
		line += "  " + e.Key.String()
	}
	if e.Revision != "" {
		line += "  " + short(e.Revision)
	}
	c.printf("%s", line)
	return nil
}
