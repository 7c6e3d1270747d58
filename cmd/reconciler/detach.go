package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"reconciler/internal/engine"
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
		if !yes {
			if err := c.printPlan(planned.Plan, o.out, o.full); err != nil || planned.Plan.Empty() {
				return err
			}
			return exit(diffChanges, fmt.Errorf("nothing was changed; --yes does it"))
		}
		run := applying{local: l, options: o, planned: planned}
		return run.do(ctx, plan, nil)
	}
	return cmd
}
