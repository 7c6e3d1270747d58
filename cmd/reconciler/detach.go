package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"reconciler/internal/driver/lb"
	"reconciler/internal/engine"
	"reconciler/internal/observed"
	"reconciler/internal/resource"
	"reconciler/internal/state"
)

// detachCommand removes all that is ours. Nothing else does: the network
// outlives the program.
func (c *cli) detachCommand() *cobra.Command {
	o := applyOptions{allowPrune: true}
	var yes bool
	cmd := &cobra.Command{
		Use: "detach", Args: cobra.NoArgs,
		Short: "Remove everything that reconciler made here; prints the plan, and wants --yes to do it",
		Long: "Remove everything that reconciler made here; prints the plan, and wants --yes to do it.\n\n" +
			"Chains, programs and their pins go, also those of maps that YAML gave a path. Such a pin stays, with its map,\n" +
			"where it is another tool's, or nobody knows any more whose: it is named at the end.",
	}
	o.host.flags(cmd.Flags())
	o.out = outputFlag(cmd.Flags(), "text", "json")
	cmd.Flags().BoolVar(&yes, "yes", false, "do it")
	cmd.Flags().BoolVar(&o.full, "full", false, "do not fold long lists")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		ctx := cmd.Context()
		l, err := c.local(o.host)
		if err != nil {
			return err
		}
		release, err := l.lock(ctx)
		if errors.Is(err, state.ErrLocked) {
			return exit(exitLease, hint(err, "stop the daemon first, or it makes everything again"))
		}
		if err != nil {
			return err
		}
		defer release()
		l.planner.AllowPrune = true
		nothing := resource.NewSet(0)
		plan := func() (engine.Planned, error) { return l.planner.Plan(ctx, nothing, false) }
		planned, err := plan()
		if err != nil {
			return exit(applyUnreadable, err)
		}
		stay, err := l.pinsThatStay(ctx)
		if err != nil {
			return exit(applyUnreadable, err)
		}
		if !yes {
			if err := c.printPlan(planned.Plan, o.out, o.full); err != nil || planned.Plan.Empty() {
				return err
			}
			c.tellStay(stay, o.out)
			return exit(diffChanges, fmt.Errorf("nothing was changed; --yes does it"))
		}
		run := applying{local: l, options: o, planned: planned}
		err = run.do(ctx, plan, nil)
		c.tellStay(stay, o.out)
		return err
	}
	return cmd
}

// pinsThatStay are those of maps that are others', or that others may have
// found.
func (l *local) pinsThatStay(ctx context.Context) ([]string, error) {
	have, err := l.planner.Observe(ctx, observed.Query{All: true})
	if err != nil {
		return nil, err
	}
	id, err := state.Namespace()
	if err != nil {
		return nil, err
	}
	chains, err := openChains(place{state: l.dir.Path(".")}, id, l.settings, l.cli.log)
	if err != nil {
		return nil, err
	}
	leave, pins, err := chains.SharedPins()
	if err != nil {
		return nil, err
	}
	for _, o := range ofKind(have, resource.KindProgram) {
		for _, m := range o.Resource.(resource.Program).Layout {
			if m.Pin != "" && !slices.Contains(pins, m.Pin) && !slices.Contains(leave, m.Pin) {
				pins = append(pins, m.Pin)
			}
		}
	}
	return slices.DeleteFunc(pins, lb.IsTable), nil
}

func (c *cli) tellStay(pins []string, out *output) {
	for _, p := range pins {
		if !out.isJSON() {
			c.printf("Stays: %s, a pin that others may use; rm takes it and its map away.", p)
		}
	}
}
