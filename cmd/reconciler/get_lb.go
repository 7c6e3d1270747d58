package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"reconciler/internal/api"
	"reconciler/internal/clock"
	"reconciler/internal/engine"
	"reconciler/internal/observed"
	"reconciler/internal/resource"
)

// balancing is what commands about VIPs show: what was read back, and what the
// daemon knows beside it.
type balancing struct {
	have  observed.State
	known engine.Balance // empty where no daemon runs
}

// showing is a command that reads the dataplane back and asks the daemon, if
// there is one, what it knows beside it.
func (c *cli) showing(cmd *cobra.Command, then func(balancing) error) *cobra.Command {
	var known engine.Balance
	var asked host
	cmd = c.observing(cmd, func(have observed.State) error { return then(balancing{have, known}) })
	asked.socketFlag(cmd.Flags())
	observe := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		asked.agentConfig = cmd.Flags().Lookup("agent-config").Value.String()
		b, err := c.client(asked).Balance(cmd.Context())
		var refused *api.Error
		if err != nil && !errors.Is(err, api.ErrNoDaemon) && !errors.As(err, &refused) {
			c.say("%v", err)
		}
		known = b
		return observe(cmd, args)
	}
	return cmd
}

func (c *cli) getVIPsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "vips", Args: cobra.NoArgs, Short: "List VIPs: what they answer for, who serves, what they counted",
		Long: "List VIPs: what they answer for, who serves with which weight, and what they counted, as read back. The ring is told\n" +
			"by its sum, which is the same on each host that has the same backends. With a daemon also the state.",
	}
	out := outputFlag(cmd.Flags(), "text", "json")
	return c.showing(cmd, func(b balancing) error {
		vips := ofKind(b.have, resource.KindVIP)
		if out.isJSON() {
			return c.json(vipReports(vips, b))
		}
		for _, r := range vipReports(vips, b) {
			c.printVIP(r)
		}
		return nil
	})
}

// vipReport is a VIP as it was read back, and as the daemon knows it.
type vipReport struct {
	resource.VIP
	Drain  *resource.Drain   `json:"drain,omitempty"`
	Status *engine.VIPStatus `json:"status,omitempty"`
}

func vipReports(vips []resource.Object, b balancing) []vipReport {
	out := []vipReport{}
	for _, o := range vips {
		r := vipReport{VIP: o.Resource.(resource.VIP)}
		if d, ok := b.have.Objects.Get(resource.Drain{VIP: o.Key().Name}.Key()); ok {
			drain := d.Resource.(resource.Drain)
			r.Drain = &drain
		}
		for i, s := range b.known.VIPs {
			if s.Name == r.Name && s.Family == r.Family {
				r.Status = &b.known.VIPs[i]
			}
		}
		out = append(out, r)
	}
	return out
}

func (c *cli) printVIP(r vipReport) {
	words := []string{r.Name, string(r.Family)}
	if s := r.Status; s != nil {
		words = append(words, string(s.State)+stateAge(s.Since))
		if s.Announced {
			words = append(words, "announced")
		}
	}
	words = append(words, few(texts(r.Addresses)), orElse(few(texts(r.Ports)), "every packet"))
	if r.Sticky {
		words = append(words, "src-ip-sticky")
	}
	words = append(words, fmt.Sprintf("ring %016x", r.Seen.Checksum))
	c.printf("%s", strings.Join(words, "  "))
	c.printf("   %d packets, %d bytes, %d new flows, %d without a backend, %d too big",
		r.Seen.Packets, r.Seen.Bytes, r.Seen.NewFlows, r.Seen.NoBackend, r.Seen.TooBig)
	c.table(seatRows(r))
	if r.Drain != nil {
		c.printf("   %s", drainText(r))
	}
	if r.Status != nil && r.Status.Gated != "" {
		c.printf("   ! held: %s", r.Status.Gated)
	}
	for _, d := range r.Seen.Damage {
		c.printf("   ! %s", d)
	}
}

// drainText tells what stays, and for how long. Most flows of it nobody counts:
// the former ring tells where they are.
func drainText(r vipReport) string {
	left := max(0, (r.Drain.Until - clock.Boottime()).Round(time.Second))
	text := fmt.Sprintf("draining for %s: ", left)
	if len(r.Seen.Draining) > 0 {
		text += few(r.Seen.Draining)
	} else {
		text += "flows stay with the backends that they had"
	}
	if r.Drain.Flows > 0 {
		text += fmt.Sprintf(", %s in the table", count(r.Drain.Flows, "flow"))
	}
	return text
}

// seatRows are the backends of a VIP: those that the daemon knows, or else those
// that are in the ring.
func seatRows(r vipReport) [][]string {
	var rows [][]string
	if r.Status == nil {
		for _, s := range r.Shares {
			rows = append(rows, slices.Concat([]string{"  "}, record(s.Backend), []string{fmt.Sprint(s.Weight)}))
		}
		return rows
	}
	for _, s := range r.Status.Seats {
		weight := fmt.Sprint(s.Effective)
		if s.Effective != s.Configured {
			weight = fmt.Sprintf("%d of %d", s.Effective, s.Configured)
		}
		rows = append(rows, slices.Concat([]string{"  ", s.Pool}, record(s.Backend), []string{s.State, weight, s.Why}))
	}
	return rows
}

// record is the name of a backend's key in columns: name, address, encapsulation.
func record(name string) []string {
	columns := make([]string, 3)
	copy(columns, strings.SplitN(name, "/", 3))
	return columns
}

func (c *cli) getBackendsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "backends", Args: cobra.NoArgs, Short: "List backends: how they are, how packets get there, what they got",
	}
	out := outputFlag(cmd.Flags(), "text", "json")
	return c.showing(cmd, func(b balancing) error {
		reports := backendReports(b)
		if out.isJSON() {
			return c.json(reports)
		}
		var rows [][]string
		for _, r := range reports {
			rows = append(rows, backendColumns(r))
		}
		c.table(rows)
		for _, r := range reports {
			for _, d := range r.Seen.Damage {
				c.printf("! %s: %s", r.Key().Name, d)
			}
		}
		return nil
	})
}

// backendReport is a record as it was read back, and what the daemon knows of
// its backend.
type backendReport struct {
	resource.Backend
	Status *engine.BackendStatus `json:"status,omitempty"`
}

func backendReports(b balancing) []backendReport {
	out := []backendReport{}
	for _, o := range ofKind(b.have, resource.KindBackend) {
		r := backendReport{Backend: o.Resource.(resource.Backend)}
		r.Status = b.known.Backend(r.Name, r.Address)
		out = append(out, r)
	}
	return out
}

func backendColumns(r backendReport) []string {
	way := "no way to it"
	if r.Seen.Link != "" {
		way = r.Seen.Link
		if r.Seen.VLAN != 0 {
			way += fmt.Sprintf(" vlan %d", r.Seen.VLAN)
		}
		way += " " + r.Seen.MAC.String()
	}
	state, said := string(r.State), ""
	if s := r.Status; s != nil {
		state = string(s.State) + stateAge(s.Since)
		if s.Probe != "" {
			said = fmt.Sprintf("%s %s in %s", s.Check, s.Probe, s.Took.Round(100*time.Microsecond))
		}
		if s.Detail != "" {
			said += ": " + s.Detail
		}
	}
	return []string{
		r.Name, r.Address.String(), string(r.Encap), state, way,
		fmt.Sprintf("%d packets", r.Seen.Packets), fmt.Sprintf("%d bytes", r.Seen.Bytes), said,
	}
}

func (c *cli) getPoolsCommand() *cobra.Command {
	var h host
	cmd := &cobra.Command{
		Use: "pools", Args: cobra.NoArgs, Short: "List pools of VIPs as the daemon weighs them: configured and effective weights, and why",
	}
	h.daemonFlags(cmd.Flags())
	out := outputFlag(cmd.Flags(), "text", "json")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		b, err := c.client(h).Balance(cmd.Context())
		if err != nil {
			return c.daemonError(err)
		}
		if out.isJSON() {
			return c.json(b.VIPs)
		}
		for _, v := range b.VIPs {
			c.printf("%s  %s  %s%s", v.Name, v.Family, v.State, stateAge(v.Since))
			c.table(seatRows(vipReport{Status: &v}))
		}
		return nil
	}
	return cmd
}

// stateAge is since when a state is as it is; nothing where nobody knows.
func stateAge(since time.Time) string {
	if since.IsZero() {
		return ""
	}
	return " for " + ago(time.Since(since))
}

func texts[T fmt.Stringer](all []T) []string {
	out := make([]string, len(all))
	for i, one := range all {
		out[i] = one.String()
	}
	return out
}

// few shows some words of many.
func few(words []string) string {
	const shown = 4
	if more := len(words) - shown; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(words[:shown], " "), more)
	}
	return strings.Join(words, " ")
}
