package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"reconciler/internal/apply"
	"reconciler/internal/diff"
	"reconciler/internal/engine"
	"reconciler/internal/resource"
	"reconciler/internal/state"
)

// applyOptions are the flags of apply.
type applyOptions struct {
	host
	planFile   string
	allowPrune bool
	allowChurn bool
	confirm    time.Duration
	force      bool
	full       bool
	verbose    bool
	out        *output
}

func (c *cli) applyCommand() *cobra.Command {
	var o applyOptions
	cmd := &cobra.Command{
		Use:   "apply [PATH]",
		Short: "Make this host so, once",
		Long: "Make this host so, once, and verify it by a second look.\n\n" +
			"Exit status: 0 done, 1 failed, 2 invalid configuration, 3 something could not be read,\n" +
			"4 applied but verification failed, 5 deletions held by a guard, 6 rolled back, 7 --plan is stale.",
		Args: cobra.MaximumNArgs(1),
	}
	f := cmd.Flags()
	o.host.flags(f)
	o.out = outputFlag(f, "text", "json")
	f.StringVar(&o.planFile, "plan", "", "apply exactly this plan of `diff -o json`, or refuse")
	f.BoolVar(&o.allowPrune, "allow-prune", false, "release deletions that the guard would hold")
	f.BoolVar(&o.allowChurn, "allow-churn", false, "release changes of VIPs that max-churn or min-healthy would hold")
	f.DurationVar(&o.confirm, "confirm", 0, "put the former state back after this time unless `reconciler confirm` arrives")
	f.BoolVar(&o.force, "force", false, "apply even though a daemon follows another tree")
	f.BoolVar(&o.full, "full", false, "do not fold long lists")
	f.BoolVarP(&o.verbose, "verbose", "v", false, "print all of the verifier's log of a program that it refuses")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if o.confirm < 0 || o.confirm > maxConfirm {
			return exit(exitUsage, fmt.Errorf("--confirm: want up to %s", maxConfirm))
		}
		if len(args) == 0 {
			return c.applyDaemon(cmd.Context(), o)
		}
		err := c.applyLocal(cmd.Context(), o, args[0])
		if o.verbose {
			c.sayRefusals(err)
		}
		return err
	}
	return cmd
}

// maxConfirm bounds --confirm: who needs longer has forgotten it.
const maxConfirm = 24 * time.Hour

// applyDaemon has the daemon reconcile now.
func (c *cli) applyDaemon(ctx context.Context, o applyOptions) error {
	if o.allowPrune || o.allowChurn || o.confirm != 0 || o.force {
		return exit(exitUsage, errors.New("--allow-prune, --allow-churn, --confirm and --force go with a PATH; ask the daemon with approve and confirm"))
	}
	if o.planFile != "" {
		plan, err := c.daemonPlan(ctx, o.host)
		if err != nil {
			return err
		}
		if err := sameAsFile(plan, o.planFile); err != nil {
			return err
		}
	}
	pass, err := c.client(o.host).Sync(ctx)
	if err != nil {
		return exit(applyUnreadable, hint(err, "with a PATH no daemon is needed: reconciler apply PATH"))
	}
	return c.printPass(pass, o.out)
}

// applyLocal applies a tree on its own.
func (c *cli) applyLocal(ctx context.Context, o applyOptions, path string) error {
	l, err := c.local(o.host)
	if err != nil {
		return err
	}
	want, err := l.load(path)
	if err != nil {
		return exit(applyInvalid, err)
	}
	release, err := l.lock(ctx)
	switch {
	case errors.Is(err, state.ErrLocked) && o.force:
		c.say("applying beside the daemon: %v", err)
	case errors.Is(err, state.ErrLocked):
		return c.applyThrough(ctx, o, path, err)
	case err != nil:
		return err
	default:
		defer release()
	}
	l.fetch(ctx, want)
	l.planner.Decide = engine.Once{Spares: o.confirm > 0, Released: o.allowChurn, Loses: engine.Loses(l.drivers)}.Decide()
	l.planner.AllowPrune, l.planner.Guard.Again = o.allowPrune, l.heldBefore()
	planned, err := l.planner.Plan(ctx, want, o.planFile != "")
	if err != nil {
		return exit(applyUnreadable, err)
	}
	if err := l.rememberHold(planned.Guarded); err != nil {
		return exit(applyFailed, fmt.Errorf("nothing was changed: %w", err))
	}
	l.planner.Guard.Again = planned.Guarded > 0
	if o.planFile != "" {
		if err := sameAsFile(planned.Plan, o.planFile); err != nil {
			return err
		}
	}
	run := applying{local: l, options: o, planned: planned}
	return run.do(ctx, func() (engine.Planned, error) { return l.planner.Plan(ctx, want, false) }, release)
}

// applyThrough goes through the daemon that holds the lock if it follows the
// same directory, and is refused otherwise.
func (c *cli) applyThrough(ctx context.Context, o applyOptions, path string, locked error) error {
	refused := exit(exitLease, hint(locked,
		"a daemon keeps this host: `reconciler sync` has it look now, `reconciler suspend --for 1h` stops it for a while, --force goes on beside it"))
	st, err := c.client(o.host).Status(ctx)
	if err != nil || !follows(st.Source, path) || o.confirm != 0 || o.planFile != "" || o.allowPrune || o.allowChurn {
		return refused
	}
	c.say("a daemon follows this directory: it applies")
	pass, err := c.client(o.host).Sync(ctx)
	if err != nil {
		return exit(applyFailed, err)
	}
	return c.printPass(pass, o.out)
}

// sameAsFile refuses a plan that is not the one that was reviewed.
func sameAsFile(now diff.Plan, file string) error {
	var reviewed diff.Plan
	if err := readJSON(file, &reviewed); err != nil {
		return exit(exitUsage, fmt.Errorf("--plan: %w", err))
	}
	if now.Observed != reviewed.Observed {
		return exit(applyStale, fmt.Errorf("%s is stale: the host has changed since", file))
	}
	a, err := operations(now)
	if err != nil {
		return err
	}
	b, err := operations(reviewed)
	if err != nil {
		return err
	}
	if !bytes.Equal(a, b) {
		return exit(applyStale, fmt.Errorf("%s is stale: the configuration has changed since", file))
	}
	return nil
}

// operations is what a plan does, without why.
func operations(p diff.Plan) ([]byte, error) {
	bare := diff.Plan{Ops: append([]diff.Op(nil), p.Ops...)}
	for i := range bare.Ops {
		bare.Ops[i].Reason, bare.Ops[i].Origin = "", ""
	}
	return json.Marshal(bare)
}

// applying is one apply under way.
type applying struct {
	*local
	options applyOptions
	planned engine.Planned
	report  apply.Report
	took    time.Duration
}

// do changes the host, verifies with again, and waits for a confirmation where
// one is asked for. release ends being the only mutator.
func (a *applying) do(ctx context.Context, again func() (engine.Planned, error), release func()) error {
	plan := a.planned.Plan
	if !a.options.out.isJSON() {
		if err := a.cli.printPlan(plan, a.options.out, a.options.full); err != nil {
			return err
		}
	}
	var pending *pendingUndo
	if a.options.confirm > 0 && !plan.Empty() {
		p, err := a.startUndo()
		if err != nil {
			return exit(applyFailed, fmt.Errorf("nothing was changed: %w", err))
		}
		pending = p
	}
	start := time.Now()
	a.report = apply.Run(ctx, plan, a.drivers)
	a.took = time.Since(start)
	status, err := a.verdict(ctx, again)
	if pending != nil {
		if release != nil {
			release()
		}
		status, err = a.await(ctx, pending, status, err)
	}
	if a.options.out.isJSON() {
		if e := a.printResult(status, err); e != nil {
			return e
		}
		return exit(status, nil)
	}
	return exit(status, err)
}

// verdict is the exit status of what was done, and why it is not 0.
func (a *applying) verdict(ctx context.Context, again func() (engine.Planned, error)) (int, error) {
	if err := a.report.Err(); err != nil {
		return applyFailed, err
	}
	if n := len(a.planned.Plan.Ops); n > 0 {
		a.tell("Applied %s in %s, %s.", count(n, "operation"), batches(a.report.Batches), a.took.Round(time.Microsecond*100))
	}
	after := a.planned
	if !a.planned.Plan.Empty() {
		var err error
		if after, err = a.settle(ctx, again); err != nil {
			return applyUnverified, fmt.Errorf("verify: %w", err)
		}
	}
	return a.verified(after.Plan)
}

// verified judges the plan that is left.
func (a *applying) verified(left diff.Plan) (int, error) {
	held, trouble := diff.Count(left).Held, diff.Count(left).Trouble
	switch {
	case len(left.Blind) > 0:
		return applyUnreadable, fmt.Errorf("%s could not be read: %s", left.Blind[0].Scope, left.Blind[0].Reason)
	case !left.Empty():
		return applyUnverified, fmt.Errorf("still differs after apply: %s %s", left.Ops[0].Verb, diff.Title(left.Ops[0]))
	case held > 0:
		return applyHeld, heldBack(left, held)
	case trouble > 0:
		return applyUnverified, errors.New("not all of the configuration could be applied: see the lines that begin with an exclamation mark")
	}
	return exitOK, nil
}

// heldBack says what is held, and what releases it.
func heldBack(left diff.Plan, n int) error {
	if heldVIPs(left) {
		return fmt.Errorf("%s held back; --allow-churn releases those of VIPs, --allow-prune deletions", count(n, "change"))
	}
	return fmt.Errorf("%s held back; --allow-prune releases what the guard holds", count(n, "deletion"))
}

func heldVIPs(left diff.Plan) bool {
	return slices.ContainsFunc(left.Notes, func(n diff.Note) bool { return n.Code == diff.Held && n.Key.Kind == resource.KindVIP })
}

func (a *applying) tell(format string, args ...any) {
	if !a.options.out.isJSON() {
		a.cli.printf(format, args...)
	}
}

func batches(n int) string {
	if n == 1 {
		return "1 batch"
	}
	return fmt.Sprintf("%d batches", n)
}

// opResult is the outcome of an operation, for programs.
type opResult struct {
	Key     string `json:"key"`
	Verb    string `json:"verb"`
	Outcome string `json:"outcome"`
	Error   string `json:"error,omitempty"`
}

func (a *applying) printResult(status int, err error) error {
	result := struct {
		Status  int           `json:"status"`
		Error   string        `json:"error,omitempty"`
		Plan    diff.Plan     `json:"plan"`
		Results []opResult    `json:"results"`
		Batches int           `json:"batches"`
		Took    time.Duration `json:"took"` // nanoseconds
	}{Status: status, Plan: a.planned.Plan, Results: []opResult{}, Batches: a.report.Batches, Took: a.took}
	if err != nil {
		result.Error = err.Error()
	}
	for i, r := range a.report.Results {
		op := a.planned.Plan.Ops[i]
		line := opResult{Key: op.Key.String(), Verb: op.Verb.String(), Outcome: outcomeName(r.Outcome)}
		if r.Err != nil {
			line.Error = r.Err.Error()
		}
		result.Results = append(result.Results, line)
	}
	return a.cli.json(result)
}

func outcomeName(o apply.Outcome) string {
	switch o {
	case apply.NotRun:
		return "not-run"
	case apply.Done:
		return "done"
	case apply.Failed:
		return "failed"
	case apply.Blocked:
		return "blocked"
	}
	panic("reconciler: unknown outcome")
}
