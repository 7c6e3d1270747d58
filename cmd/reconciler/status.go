package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"reconciler/internal/api"
	"reconciler/internal/engine"
)

func (c *cli) statusCommand() *cobra.Command {
	var h host
	var w waiting
	cmd := &cobra.Command{
		Use: "status", Args: cobra.NoArgs,
		Short: "Tell how the daemon is doing; exit 0 if the host is in sync",
		Long: "Tell how the daemon is doing.\n\nExit status: 0 in sync, 1 not, 3 no daemon.\n" +
			"With --wait it returns once the host is in sync (with --revision: at that revision), which gates a pipeline.",
	}
	h.daemonFlags(cmd.Flags())
	out := outputFlag(cmd.Flags(), "text", "json")
	cmd.Flags().BoolVar(&w.wait, "wait", false, "wait until the host is in sync")
	cmd.Flags().StringVar(&w.revision, "revision", "", "with --wait: until this revision is applied and confirmed; a prefix will do")
	cmd.Flags().DurationVar(&w.timeout, "timeout", 5*time.Minute, "with --wait: how long")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if w.revision != "" && !w.wait {
			return exit(exitUsage, errors.New("--revision goes with --wait"))
		}
		s, met, err := w.ask(cmd.Context(), c.client(h))
		if err != nil {
			return c.daemonError(err)
		}
		if out.isJSON() {
			err = c.json(s)
		} else {
			c.printStatus(s)
		}
		if err != nil || met {
			return err
		}
		return exit(statusOut, nil)
	}
	return cmd
}

// waiting is what status waits for.
type waiting struct {
	wait     bool
	revision string
	timeout  time.Duration
}

// statusPoll is the time between two looks of --wait.
const statusPoll = 100 * time.Millisecond

// ask returns the status, and whether it is what was asked for. A daemon that
// restarts meanwhile is waited for.
func (w waiting) ask(ctx context.Context, client *api.Client) (engine.Status, bool, error) {
	if !w.wait {
		s, err := client.Status(ctx)
		return s, err == nil && s.InSync, err
	}
	ctx, cancel := context.WithTimeout(ctx, w.timeout)
	defer cancel()
	var last engine.Status
	var lastErr error
	for {
		s, err := client.Status(ctx)
		if err == nil && w.met(s) {
			return s, true, nil
		}
		if ctx.Err() == nil {
			last, lastErr = s, err
		}
		select {
		case <-ctx.Done():
			return last, false, lastErr
		case <-time.After(statusPoll):
		}
	}
}

func (w waiting) met(s engine.Status) bool {
	return s.InSync && s.Pending == nil && strings.HasPrefix(s.Applied.Revision, w.revision)
}

func (c *cli) printStatus(s engine.Status) {
	c.printf("%s", headline(s))
	for _, line := range urgent(s) {
		c.printf("  ! %s", line)
	}
	for _, cond := range s.Conditions {
		if cond.Raised {
			c.printf("  ! %s since %s%s", cond.Type, timeOfDay(cond.Since), indented(cond.Message))
		}
	}
	for _, f := range s.Failing {
		c.printf("  ! %s failed %s, next try %s: %s", f.Key, count(f.Failures, "time"), timeOfDay(f.Next), f.Error)
	}
	c.printf("source    %s", s.Source)
	c.printf("applied   %s", revisionText(s.Applied))
	if s.Seen.Revision != s.Applied.Revision {
		c.printf("seen      %s", revisionText(s.Seen))
	}
	c.printf("mode      %s", s.Mode)
	if p := s.LastPass; !p.At.IsZero() {
		c.printf("last pass %s, %s, %s in %s", timeOfDay(p.At), p.Cause, passText(p), p.Duration.Round(100*time.Microsecond))
	}
	c.printf("host      %s: %s wanted; up since %s, version %s",
		s.Host, count(s.Objects, "object"), s.Started.Local().Format(time.DateTime), orElse(s.Version, "development"))
}

// headline is the first line: a host that is pinned does not follow its source.
func headline(s engine.Status) string {
	switch {
	case s.InSync && s.Pin != nil:
		return "in sync with the pinned revision, NOT following the source"
	case s.InSync:
		return "in sync"
	}
	return "NOT in sync"
}

// urgent lists exceptional states that end by themselves.
func urgent(s engine.Status) []string {
	var out []string
	if s.Pin != nil {
		out = append(out, fmt.Sprintf("pinned to %s until %s (resume ends it)", short(s.Pin.Revision), s.Pin.Until.Local().Format(time.DateTime)))
	}
	if s.Suspended != nil {
		out = append(out, strings.TrimSpace(fmt.Sprintf("suspended until %s %s", s.Suspended.Until.Local().Format(time.DateTime), s.Suspended.Reason)))
	}
	for _, o := range s.Overrides {
		out = append(out, strings.TrimSuffix(fmt.Sprintf("by hand until %s: %s: %s", o.Until.Local().Format(time.DateTime), o, o.Reason), ": "))
	}
	if s.Pending != nil {
		out = append(out, fmt.Sprintf("%s waits for its probes until %s", short(s.Pending.Revision), timeOfDay(s.Pending.Deadline)))
	}
	return out
}

func indented(message string) string {
	if message == "" {
		return ""
	}
	return ": " + strings.ReplaceAll(message, "\n", "\n      ")
}

func revisionText(r engine.Revision) string {
	if r.Revision == "" {
		return "none"
	}
	s := short(r.Revision)
	if r.Title != "" {
		s += " " + r.Title
	}
	if r.Author != "" {
		s += " (" + r.Author + ")"
	}
	return s
}

// short is a revision as people say it.
func short(revision string) string {
	const hash, digest = 12, len("dir-") + 12
	n := hash
	if strings.HasPrefix(revision, "dir-") {
		n = digest
	}
	return revision[:min(n, len(revision))]
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// passText says how a pass went.
func passText(p engine.Pass) string {
	s := string(p.Outcome)
	if n := p.Ops.Total(); n > 0 {
		s += fmt.Sprintf(" (+%d ~%d ±%d -%d", p.Ops.Create, p.Ops.Update, p.Ops.Replace, p.Ops.Delete)
		if p.Ops.Failed+p.Ops.Blocked > 0 {
			s += fmt.Sprintf(", %d failed, %d blocked", p.Ops.Failed, p.Ops.Blocked)
		}
		s += ")"
	}
	if p.Drift {
		s += ", drift"
	}
	if p.Error != "" {
		s += ": " + p.Error
	}
	return s
}

// printPass prints how a pass went that was asked for, and its exit status.
func (c *cli) printPass(p engine.Pass, out *output) error {
	if out != nil && out.isJSON() {
		if err := c.json(p); err != nil {
			return err
		}
	} else {
		c.printf("%s %s in %s", orElse(short(p.Revision), "no revision"), passText(p), p.Duration.Round(100*time.Microsecond))
	}
	return exit(passStatus(p), nil)
}

// passStatus is the exit status of a pass, as apply has it.
func passStatus(p engine.Pass) int {
	switch p.Outcome {
	case engine.OutcomeInSync, engine.OutcomeApplied:
		return exitOK
	case engine.OutcomeHeld:
		return applyHeld
	case engine.OutcomeReverted:
		return applyRolledBack
	case engine.OutcomePlanned, engine.OutcomeFailed, engine.OutcomeError:
	}
	return applyFailed
}
