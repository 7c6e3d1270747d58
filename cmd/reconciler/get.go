package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"reconciler/internal/clock"
	"reconciler/internal/observed"
	"reconciler/internal/resource"
)

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
		cmd.AddCommand(c.observing(list, func(have observed.State) error { return c.printObjects(ofKind(have, k.kind), out) }))
	}
	cmd.AddCommand(c.getChainsCommand(), c.getProgramsCommand(), c.getMapsCommand(),
		c.getVIPsCommand(), c.getBackendsCommand(), c.getPoolsCommand(), c.getUpgradesCommand(), c.getDaemonsCommand())
	return cmd
}

func ofKind(have observed.State, kind resource.Kind) []resource.Object {
	var objects []resource.Object
	for _, o := range have.Objects.All() {
		if o.Key().Kind == kind {
			objects = append(objects, o)
		}
	}
	return objects
}

func (c *cli) getChainsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "chains", Args: cobra.NoArgs, Short: "List chains, program by program, with what they cost",
		Long: "List chains, program by program, with version, digest and the kernel's id. Where the kernel's statistics are on\n" +
			"(sysctl kernel.bpf_stats_enabled), also how often a chain ran and how long one packet took in all of it: the\n" +
			"kernel counts no programs that another one calls. A line that begins with ! is damage.",
	}
	out := outputFlag(cmd.Flags(), "text", "json")
	return c.observing(cmd, func(have observed.State) error {
		chains := ofKind(have, resource.KindChain)
		if out.isJSON() {
			return c.printObjects(chains, out)
		}
		for _, o := range chains {
			c.printChain(o.Resource.(resource.Chain), o.Owner)
		}
		if len(chains) > 0 && !statisticsOn() && !slices.ContainsFunc(chains, ran) {
			c.printf("statistics are off: sysctl -w kernel.bpf_stats_enabled=1 counts the runs of chains and their time")
		}
		return nil
	})
}

// statisticsOn reports that the kernel counts how often programs run.
func statisticsOn() bool {
	text, err := os.ReadFile("/proc/sys/kernel/bpf_stats_enabled")
	return err == nil && strings.TrimSpace(string(text)) == "1"
}

// ran reports that runs of a chain were counted, now or some time ago.
func ran(o resource.Object) bool { return o.Resource.(resource.Chain).Seen.Runs > 0 }

func (c *cli) printChain(chain resource.Chain, owner resource.Owner) {
	c.printf("%s", strings.Join(chainWords(chain, owner), "  "))
	var rows [][]string
	for i, s := range chain.Slots {
		rows = append(rows, []string{
			fmt.Sprintf("  %2d", i), resource.Instance(s.Program, s.Link), orElse(s.Version, "-"), resource.ShortDigest(s.Digest),
			fmt.Sprintf("id %d", s.ID), proceed(chain.Hook, s),
		})
	}
	c.table(rows)
	for _, d := range chain.Seen.Damage {
		c.printf("   ! %s", d)
	}
}

func chainWords(chain resource.Chain, owner resource.Owner) []string {
	words := []string{chain.Link, string(chain.Hook), orElse(chain.Seen.Attach, "detached")}
	if chain.Seen.Auto && chain.Mode == resource.Generic {
		words[2] += " (degraded)"
	}
	if chain.Label != "" {
		words = append(words, "chain "+chain.Label)
	}
	if chain.Seen.Generation != 0 {
		words = append(words, fmt.Sprintf("gen %d", chain.Seen.Generation))
	}
	switch {
	case owner == resource.Foreign:
		words = append(words, fmt.Sprintf("foreign program %d", chain.Seen.Dispatcher))
	case chain.Seen.Dispatcher != 0:
		words = append(words, fmt.Sprintf("dispatcher %d", chain.Seen.Dispatcher))
	}
	if runs := chain.Seen.Runs; runs > 0 {
		words = append(words, fmt.Sprintf("%d runs of %d ns", runs, uint64(chain.Seen.RunTime)/runs))
	}
	if chain.Bypass != "" {
		words = append(words, "bypass "+chain.Bypass)
	}
	return words
}

func proceed(h resource.Hook, s resource.Slot) string {
	if s.Proceed == h.DefaultProceed() {
		return ""
	}
	return "proceed-on [" + h.Text(s.Proceed) + "]"
}

func (c *cli) getProgramsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "programs", Args: cobra.NoArgs, Short: "List programs that are loaded, with their maps and pins",
		Long: "List programs that are loaded, with their maps: how full they are, the kernel's id, and the pin by which\n" +
			"others find them. A line that begins with ! is damage.",
	}
	out := outputFlag(cmd.Flags(), "text", "json")
	return c.observing(cmd, func(have observed.State) error {
		programs := ofKind(have, resource.KindProgram)
		if out.isJSON() {
			return c.printObjects(programs, out)
		}
		for _, o := range programs {
			c.printProgram(o.Resource.(resource.Program))
		}
		return nil
	})
}

func (c *cli) printProgram(p resource.Program) {
	words := []string{resource.Instance(p.Name, p.Link), orElse(p.Version, "-"), resource.ShortDigest(p.Digest)}
	if len(p.Functions) > 0 {
		words = append(words, "functions "+strings.Join(p.Functions, " "))
	}
	if p.Loaded != 0 {
		words = append(words, "loaded "+age(p.Loaded)+" ago")
	}
	c.printf("%s", strings.Join(words, "  "))
	var rows [][]string
	for _, m := range p.Layout {
		if !strings.HasPrefix(m.Name, ".") { // variables of the program
			rows = append(rows, mapColumns("  "+m.Name, m))
		}
	}
	c.table(rows)
	if p.Pins != "" {
		c.printf("  pins %s", p.Pins)
	}
	for _, d := range p.Damage {
		c.printf("   ! %s", d)
	}
}

// mapColumns is a map on a line of a table.
func mapColumns(name string, m resource.MapLayout) []string {
	return []string{name, m.Type, fill(m), fmt.Sprintf("id %d", m.ID), m.Pin}
}

// fill is how many entries a map has, of how many. All of an array are there.
func fill(m resource.MapLayout) string {
	if strings.HasSuffix(m.Type, "Array") {
		return fmt.Sprint(m.MaxEntries)
	}
	return fmt.Sprintf("%d/%d", m.Entries, m.MaxEntries)
}

// table prints rows with their columns below each other. A column that is empty
// everywhere takes no room.
func (c *cli) table(rows [][]string) {
	var width []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(width) {
				width = append(width, 0)
			}
			width[i] = max(width[i], len(cell))
		}
	}
	for _, row := range rows {
		line := ""
		for i, cell := range row {
			if width[i] > 0 {
				line += pad(cell, width[i]+2)
			}
		}
		c.printf("%s", strings.TrimRight(line, " "))
	}
}

// age is how long ago a time since boot was, as people say it.
func age(since time.Duration) string {
	return ago(max(0, clock.Boottime()-since))
}

// ago is a time as people say it.
func ago(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", d/time.Hour)
	}
	return fmt.Sprintf("%dd", d/(24*time.Hour))
}
