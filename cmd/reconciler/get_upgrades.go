package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"reconciler/internal/engine"
	"reconciler/internal/resource"
)

// askingUpgrades is a command that shows what the daemon knows of versions and
// processes.
func (c *cli) askingUpgrades(cmd *cobra.Command, list func(engine.Upgrades) any, show func(engine.Upgrades)) *cobra.Command {
	var h host
	h.daemonFlags(cmd.Flags())
	out := outputFlag(cmd.Flags(), "text", "json")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		u, err := c.client(h).Upgrades(cmd.Context())
		if err != nil {
			return c.daemonError(err)
		}
		if out.isJSON() {
			return c.json(list(u))
		}
		show(u)
		return nil
	}
	return cmd
}

func (c *cli) getUpgradesCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "upgrades", Args: cobra.NoArgs, Short: "List upgrades: versions on disk, in use, before it, failed, and the step under way",
		Long: "List upgrades: versions on disk, the one in use (*), the one before it, those that failed and why, and the step\nunder way. A line that begins with ! is a fault.",
	}
	return c.askingUpgrades(cmd, func(u engine.Upgrades) any { return orNone(u.Upgrades) }, func(u engine.Upgrades) {
		for _, one := range u.Upgrades {
			c.printUpgrade(one)
		}
	})
}

func orNone[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func (c *cli) printUpgrade(u engine.UpgradeStatus) {
	words := []string{u.Name, string(u.Mode), u.Root, orElse(resource.ReleaseVersion(u.Current), "nothing in use")}
	if u.State != resource.JournalIdle {
		step := fmt.Sprintf("%s %s -> %s", u.State, orElse(resource.ReleaseVersion(u.From), "none"), resource.ReleaseVersion(u.To))
		if u.State == resource.JournalRollback {
			step = fmt.Sprintf("%s %s -> %s", u.State, resource.ReleaseVersion(u.To), orElse(resource.ReleaseVersion(u.From), "none"))
		}
		words = append(words, step)
	}
	c.printf("%s", strings.Join(words, "  "))
	var rows [][]string
	for _, v := range u.Versions {
		rows = append(rows, []string{"  " + mark(v.Dir == u.Current), v.Version, v.Dir, role(u, v)})
	}
	c.table(rows)
	for _, v := range u.Versions {
		for _, d := range v.Damage {
			c.printf("   ! %s: %s", v.Version, d)
		}
	}
	for _, b := range u.Bad {
		c.printf("   ! %s failed: %s", resource.ReleaseVersion(b.Dir), b.Reason)
	}
	if u.Note != "" {
		c.printf("   %s", u.Note)
	}
}

func mark(current bool) string {
	if current {
		return "*"
	}
	return " "
}

// role is what a version is to its upgrade.
func role(u engine.UpgradeStatus, v engine.VersionStatus) string {
	var words []string
	for _, r := range []struct {
		dir, word string
	}{{u.Current, "in use"}, {u.Runs, "runs"}, {u.Previous, "previous"}} {
		if v.Dir == r.dir {
			words = append(words, r.word)
		}
	}
	if v.Bad != "" {
		words = append(words, "failed")
	}
	return strings.Join(words, ", ")
}

func (c *cli) getDaemonsCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "daemons", Args: cobra.NoArgs, Short: "List processes that are kept running, with version, state and restarts"}
	return c.askingUpgrades(cmd, func(u engine.Upgrades) any { return orNone(u.Daemons) }, func(u engine.Upgrades) {
		slices.SortStableFunc(u.Daemons, func(a, b engine.DaemonStatus) int {
			return strings.Compare(resource.Instance(a.Name, a.Link), resource.Instance(b.Name, b.Link))
		})
		var rows [][]string
		for _, d := range u.Daemons {
			rows = append(rows, daemonRow(d))
		}
		c.table(rows)
	})
}

func daemonRow(d engine.DaemonStatus) []string {
	state := string(d.State) + stateAge(d.Since)
	if d.State == resource.DaemonRunning && !d.Ready {
		state += ", not ready"
	}
	pid := "-"
	if d.PID != 0 {
		pid = fmt.Sprintf("pid %d", d.PID)
	}
	return []string{
		resource.Instance(d.Name, d.Link), orElse(d.Version, "-"), state, pid, fmt.Sprintf("%d restarts", d.Restarts), orElse(d.Note, d.Reason),
	}
}
