package main

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"reconciler/internal/diff"
	"reconciler/internal/observed"
	"reconciler/internal/resource"
)

// mapReport is a map of an instance, and what it is declared to hold as it was
// read back.
type mapReport struct {
	Instance string `json:"instance"`
	Digest   string `json:"digest"`
	resource.MapLayout
	Drift    *bool               `json:"drift,omitempty"` // nil: nobody says what it should hold
	Mode     resource.MapMode    `json:"mode,omitempty"`
	Declared []resource.MapEntry `json:"declared,omitempty"`

	program, contents resource.Key
}

func (c *cli) getMapsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "maps [PATH]", Args: cobra.MaximumNArgs(1), Short: "List maps of programs, and what they hold of what a tree declares",
		Long: "List maps of programs. With PATH also the entries that this tree declares, as they were read back:\n" +
			"what they mean only the object tells, which the tree names. Whether a map differs from what is declared\n" +
			"(drift) is told by PATH, or else by the daemon; - where there is neither.",
	}
	var h host
	h.flags(cmd.Flags())
	out := outputFlag(cmd.Flags(), "text", "json")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		maps, have, err := c.maps(cmd.Context(), h, args)
		if err != nil {
			return err
		}
		if out.isJSON() {
			err = c.json(maps)
		} else {
			c.printMaps(maps)
		}
		if err != nil {
			return err
		}
		return blind(have)
	}
	return cmd
}

// maps reads all maps, and what the tree at a path or the daemon says of them.
func (c *cli) maps(ctx context.Context, h host, path []string) ([]mapReport, observed.State, error) {
	if len(path) == 0 {
		have, err := c.observeAll(ctx, h, nil)
		if err != nil {
			return nil, have, err
		}
		maps := mapReports(have)
		if plan, err := c.client(h).Plan(ctx); err == nil { // there need not be a daemon
			tellDrift(maps, plan)
		}
		return maps, have, nil
	}
	l, err := c.reader(h, "")
	if err != nil {
		return nil, observed.State{}, err
	}
	want, err := l.load(path[0])
	if err != nil {
		return nil, observed.State{}, exit(diffInvalid, err)
	}
	planned, err := l.planner.Plan(ctx, want, true)
	if err != nil {
		return nil, observed.State{}, exit(diffUnreadable, err)
	}
	maps := mapReports(planned.Have)
	tellDrift(maps, planned.Plan)
	return maps, planned.Have, nil
}

// tellDrift says which maps a plan changes. Of those that it cannot judge, or
// whose program goes, nothing is said.
func tellDrift(maps []mapReport, plan diff.Plan) {
	for i := range maps {
		m := &maps[i]
		changes := slices.ContainsFunc(plan.Ops, func(op diff.Op) bool { return op.Key == m.contents && op.Verb != diff.Delete })
		unknown := slices.ContainsFunc(plan.Ops, func(op diff.Op) bool { return op.Key == m.program && op.Verb == diff.Delete }) ||
			slices.ContainsFunc(plan.Notes, func(n diff.Note) bool { return n.Key == m.contents || n.Key == m.program }) ||
			slices.ContainsFunc(plan.Blind, func(b observed.Blind) bool { return b.Driver == m.contents.Driver })
		if changes || !unknown {
			m.Drift = &changes
		}
	}
}

func mapReports(have observed.State) []mapReport {
	out := []mapReport{}
	for _, o := range ofKind(have, resource.KindProgram) {
		p := o.Resource.(resource.Program)
		for _, l := range p.Layout {
			if strings.HasPrefix(l.Name, ".") {
				continue
			}
			r := mapReport{Instance: resource.Instance(p.Name, p.Link), Digest: p.Digest, MapLayout: l}
			r.program, r.contents = p.Key(), resource.Map{Program: p.Name, Link: p.Link, Digest: p.Digest, Name: l.Name}.Key()
			declared, _ := have.Objects.Get(r.contents)
			if m, ok := declared.Resource.(resource.Map); ok {
				r.Mode, r.Declared = m.Mode, m.Entries
			}
			out = append(out, r)
		}
	}
	return out
}

// mostEntries is how many entries of a map are shown to people.
const mostEntries = 40

func (c *cli) printMaps(maps []mapReport) {
	var rows [][]string
	for _, m := range maps {
		rows = append(rows, slices.Insert(mapColumns(m.Instance+"/"+m.Name, m.MapLayout), 3, "drift "+m.drift()))
	}
	c.table(rows)
	for _, m := range maps {
		if len(m.Declared) == 0 {
			continue
		}
		c.printf("\n%s/%s  %s", m.Instance, m.Name, orElse(string(m.Mode), string(resource.Merge)))
		for _, e := range m.Declared[:min(len(m.Declared), mostEntries)] {
			c.printf("  %s: %s", e.Key, e.Value)
		}
		if more := len(m.Declared) - mostEntries; more > 0 {
			c.printf("  and %d more (-o json has them)", more)
		}
	}
}

// drift is whether a map differs from what is declared, for people.
func (m mapReport) drift() string {
	switch {
	case m.Drift == nil:
		return "-"
	case *m.Drift:
		return "yes"
	}
	return "no"
}
