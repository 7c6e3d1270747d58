package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"reconciler/internal/api"
	"reconciler/internal/diff"
	"reconciler/internal/engine"
)

func (c *cli) diffCommand() *cobra.Command {
	var h host
	var full bool
	var file string
	cmd := &cobra.Command{
		Use:   "diff [PATH]",
		Short: "Tell what would change on this host, why, and what it costs",
		Long: "Tell what would change on this host, why, and what it costs; change nothing.\n\n" +
			"Exit status: 0 in sync, 1 changes, 2 invalid configuration, 3 something could not be read.",
		Args: cobra.MaximumNArgs(1),
	}
	h.flags(cmd.Flags())
	out := outputFlag(cmd.Flags(), "text", "json")
	cmd.Flags().BoolVar(&full, "full", false, "do not fold long lists")
	cmd.Flags().StringVar(&file, "observed", "", "plan against this file of `reconciler observe` instead of the host")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var plan diff.Plan
		var err error
		switch {
		case file != "" && len(args) == 0:
			return exit(exitUsage, errors.New("--observed needs a PATH"))
		case len(args) == 0:
			plan, err = c.daemonPlan(cmd.Context(), h)
		default:
			plan, err = c.localPlan(cmd.Context(), h, args[0], file)
		}
		if err != nil {
			return err
		}
		if err := c.printPlan(plan, out, full); err != nil {
			return err
		}
		return exit(diffStatus(plan), nil)
	}
	return cmd
}

func diffStatus(p diff.Plan) int {
	switch {
	case len(p.Blind) > 0:
		return diffUnreadable
	case !p.InSync():
		return diffChanges
	}
	return exitOK
}

func (c *cli) daemonPlan(ctx context.Context, h host) (diff.Plan, error) {
	plan, err := c.client(h).Plan(ctx)
	var refused *api.Error
	switch {
	case errors.As(err, &refused) && refused.Code == api.CodeNoDesired:
		return diff.Plan{}, exit(diffInvalid, err)
	case err != nil:
		return diff.Plan{}, exit(diffUnreadable, hint(err, "with a PATH no daemon is needed: reconciler diff PATH"))
	}
	return plan, nil
}

func (c *cli) localPlan(ctx context.Context, h host, path, file string) (diff.Plan, error) {
	l, err := c.reader(h, file)
	if err != nil {
		return diff.Plan{}, err
	}
	want, err := l.load(path)
	if err != nil {
		return diff.Plan{}, exit(diffInvalid, err)
	}
	l.planner.Preview = true
	l.planner.Decide = engine.Once{Preview: true, Loses: engine.Loses(l.drivers)}.Decide()
	planned, err := l.planner.Plan(ctx, want, true)
	if err != nil {
		return diff.Plan{}, exit(diffUnreadable, err)
	}
	return planned.Plan, nil
}

func (c *cli) printPlan(p diff.Plan, out *output, full bool) error {
	if out.isJSON() {
		return c.json(p)
	}
	return diff.Text(c.stdout, p, diff.TextOptions{Full: full, Color: c.color()})
}

// maxPlan bounds a file of a plan or an observed state, in bytes.
const maxPlan = 1 << 30

// readJSON fills v from a file.
func readJSON(path string, v any) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := json.NewDecoder(io.LimitReader(f, maxPlan)).Decode(v); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	return nil
}

// hint adds what to do about an error.
func hint(err error, what string) error { return fmt.Errorf("%w\n  %s", err, what) }
