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
		if len(have.Blind) > 0 {
			return exit(diffUnreadable, fmt.Errorf("%s could not be read: %s", have.Blind[0].Scope, have.Blind[0].Reason))
		}
		return nil
	}
	return cmd
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
		if q.Want, err = l.load(path[0]); err != nil {
			return observed.State{}, exit(diffInvalid, err)
		}
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

func (c *cli) getCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "get", Args: cobra.NoArgs, Short: "List one kind of what this host holds",
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }, // what is no kind is an error
	}
	for _, k := range []struct {
		name string
		kind resource.Kind
	}{
		{"interfaces", resource.KindLink}, {"addresses", resource.KindAddress}, {"routes", resource.KindRoute},
		{"rules", resource.KindRule}, {"neighbours", resource.KindNeighbour}, {"ports", resource.KindPort},
	} {
		list := &cobra.Command{Use: k.name, Args: cobra.NoArgs, Short: "List " + k.name}
		out := outputFlag(list.Flags(), "text", "json")
		cmd.AddCommand(c.observing(list, func(have observed.State) error {
			var objects []resource.Object
			for _, o := range have.Objects.All() {
				if o.Key().Kind == k.kind {
					objects = append(objects, o)
				}
			}
			return c.printObjects(objects, out)
		}))
	}
	return cmd
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
