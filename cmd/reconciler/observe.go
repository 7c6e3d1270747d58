package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"reconciler/internal/capture"
	"reconciler/internal/diff"
	"reconciler/internal/observed"
	"reconciler/internal/resource"
	"reconciler/internal/state"
)

// observing is a command that reads everything back and changes nothing.
func (c *cli) observing(cmd *cobra.Command, then func(observed.State) error) *cobra.Command {
	var h host
	h.localFlags(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		have, err := c.observeAll(cmd.Context(), h, args)
		if err != nil {
			return err
		}
		if err := then(have); err != nil {
			return err
		}
		return blind(have)
	}
	return cmd
}

// blind is the error of what could not be read.
func blind(have observed.State) error {
	if len(have.Blind) == 0 {
		return nil
	}
	return exit(diffUnreadable, fmt.Errorf("%s could not be read: %s", have.Blind[0].Scope, have.Blind[0].Reason))
}

// observeAll reads everything, and the kernel parameters that a tree names:
// there is no end of those.
func (c *cli) observeAll(ctx context.Context, h host, path []string) (observed.State, error) {
	l, err := c.reader(h, "")
	if err != nil {
		return observed.State{}, err
	}
	q := observed.Query{All: true}
	if len(path) > 0 {
		want, err := l.load(path[0])
		if err != nil {
			return observed.State{}, exit(diffInvalid, err)
		}
		q.Want = l.planner.Resolve(ctx, want)
	}
	have, err := l.planner.Observe(ctx, q)
	if err != nil {
		return observed.State{}, exit(diffUnreadable, err)
	}
	return have, nil
}

func (c *cli) observeCommand() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "observe [PATH]", Args: cobra.MaximumNArgs(1),
		Short: "Write what this host holds as JSON, for diff --observed",
		Long: "Write what this host holds as JSON, for diff --observed.\n\n" +
			"With PATH the kernel parameters that this tree names are read, too; there are too many for all of them.",
	}
	cmd.Flags().StringVarP(&file, "output", "o", "", "write to this file instead of stdout")
	return c.observing(cmd, func(have observed.State) error {
		if file == "" {
			return c.json(have)
		}
		text, err := json.MarshalIndent(have, "", "  ")
		if err != nil {
			return err
		}
		return state.WriteFile(file, append(text, '\n'), 0o600)
	})
}

func (c *cli) captureCommand() *cobra.Command {
	var o capture.Options
	cmd := &cobra.Command{
		Use: "capture", Args: cobra.NoArgs,
		Short: "Print what runs on this host as configuration, whose diff is empty",
	}
	cmd.Flags().BoolVar(&o.All, "all", false, "also what routing daemons and protocols made")
	return c.observing(cmd, func(have observed.State) error {
		_, err := c.stdout.Write(capture.YAML(have, o))
		return err
	})
}

func (c *cli) showCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "show", Args: cobra.NoArgs,
		Short: "Print what this host holds, and whose it is",
	}
	out := outputFlag(cmd.Flags(), "text", "json")
	return c.observing(cmd, func(have observed.State) error { return c.printObjects(have.Objects.All(), out) })
}

func (c *cli) printObjects(objects []resource.Object, out *output) error {
	if out.isJSON() {
		return c.json(append([]resource.Object{}, objects...))
	}
	for _, o := range objects {
		owner := o.Owner.String()
		if o.Origin != "" && o.Owner == resource.Foreign {
			owner = o.Origin
		}
		c.printf("%s %s", pad(owner, 8), objectText(o))
	}
	return nil
}

// objectText is an object on one line: its kind and name, and all that is set.
func objectText(o resource.Object) string {
	s := diff.Name(diff.Op{Verb: diff.Create, Key: o.Key(), To: o.Resource})
	for _, f := range o.Fields() {
		if f.Name != "kind" {
			s += "  " + f.Name + " " + f.Value
		}
	}
	return strings.TrimSpace(s)
}
