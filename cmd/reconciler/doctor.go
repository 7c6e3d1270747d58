package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"reconciler/internal/api"
	"reconciler/internal/doctor"
	"reconciler/internal/engine"
	"reconciler/internal/observed"
	"reconciler/internal/resource"
)

func (c *cli) doctorCommand() *cobra.Command {
	var h host
	var quiet bool
	cmd := &cobra.Command{
		Use: "doctor VIP [PATH]", Args: cobra.RangeArgs(1, 2),
		Short: "Look for what usually goes wrong with a VIP, and say what to do",
		Long: "Look for what usually goes wrong with a VIP, on the way of a packet, and say what to do: who answers for its\n" +
			"addresses, chains, offloads, the ring, next hops, MTU, and with a SYN to each backend whether it takes what is sent\n" +
			"to it. Health checks are told by the tree at PATH, or without one by the daemon.\n\n" +
			"Exit status: 0 no fault, 1 a fault, 2 invalid configuration, 3 something could not be read.",
	}
	h.flags(cmd.Flags())
	cmd.Flags().BoolVar(&quiet, "no-probe", false, "send nothing to backends")
	out := outputFlag(cmd.Flags(), "text", "json")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		reports, err := c.examine(cmd.Context(), h, args, !quiet)
		if err != nil {
			return err
		}
		if out.isJSON() {
			err = c.json(reports)
		} else {
			c.printReports(reports)
		}
		if err == nil && slices.ContainsFunc(reports, func(r doctorReport) bool { return r.Verdict == doctor.Fault }) {
			return exit(doctorFault, nil)
		}
		return err
	}
	return cmd
}

// doctorReport is what was found of a VIP of one family.
type doctorReport struct {
	VIP      string           `json:"vip"`
	Verdict  doctor.Verdict   `json:"verdict"`
	Findings []doctor.Finding `json:"findings"`
}

func (c *cli) examine(ctx context.Context, h host, args []string, probe bool) ([]doctorReport, error) {
	l, err := c.reader(h, "")
	if err != nil {
		return nil, err
	}
	var want *resource.Set
	q := observed.Query{All: true}
	if len(args) > 1 {
		if want, err = l.load(args[1]); err != nil {
			return nil, exit(diffInvalid, err)
		}
		want = l.planner.Resolve(ctx, want)
		q.Want = want
	}
	have, err := l.planner.Observe(ctx, q)
	if err == nil && len(have.Blind) > 0 {
		err = fmt.Errorf("%s could not be read: %s", have.Blind[0].Scope, have.Blind[0].Reason)
	}
	if err != nil {
		return nil, exit(diffUnreadable, err)
	}
	facts := doctor.Facts{Have: have.Objects}
	if facts.Links, err = doctor.Look(have.Objects); err != nil {
		return nil, exit(diffUnreadable, err)
	}
	known, err := c.client(h).Balance(ctx)
	if err != nil && !errors.Is(err, api.ErrNoDaemon) {
		c.say("%v", err)
	}
	subjects := subjectsNamed(args[0], have.Objects, want)
	if len(subjects) == 0 {
		return nil, exit(exitUsage, fmt.Errorf("there is no VIP %s", args[0]))
	}
	var out []doctorReport
	for _, p := range subjects {
		f := facts
		f.VIP, f.There = p.vip, p.there
		p.ask(&f, want, known)
		if probe && f.There {
			if f.Probes, err = doctor.Probe(f); err != nil {
				c.say("%v", err)
			}
		}
		found := doctor.Examine(f)
		out = append(out, doctorReport{VIP: p.vip.Key().Name, Verdict: doctor.Worst(found), Findings: found})
	}
	return out, nil
}

// subject is a VIP of one family.
type subject struct {
	vip   resource.VIP // as it is, or as it is wanted where it is not there
	there bool
}

func subjectsNamed(name string, have, want *resource.Set) []subject {
	var out []subject
	for _, family := range []resource.Family{resource.IPv4, resource.IPv6} {
		k := resource.VIPKey(name, family)
		if o, ok := have.Get(k); ok {
			out = append(out, subject{o.Resource.(resource.VIP), true})
		} else if want != nil {
			if o, ok := want.Get(k); ok {
				out = append(out, subject{o.Resource.(resource.VIP), false})
			}
		}
	}
	return out
}

// ask adds what a tree says of a VIP, or else the daemon.
func (p subject) ask(f *doctor.Facts, want *resource.Set, known engine.Balance) {
	i := slices.IndexFunc(known.VIPs, func(v engine.VIPStatus) bool { return v.Name == p.vip.Name && v.Family == p.vip.Family })
	if i >= 0 {
		f.Members = []doctor.Member{}
		for _, s := range known.VIPs[i].Seats {
			f.Members = append(f.Members, memberOf(s.Backend, s.State, s.Why, known))
		}
	}
	if want == nil {
		return
	}
	o, _ := want.Get(p.vip.Key())
	v, ok := o.Resource.(resource.VIP)
	if !ok {
		return
	}
	if i >= 0 && v.Announce.Link != "" {
		f.Announced = &known.VIPs[i].Announced
	}
	if i < 0 {
		f.Members = declaredMembers(v, f.Have, want)
	}
}

func memberOf(backend, state, why string, known engine.Balance) doctor.Member {
	m := doctor.Member{Backend: backend, State: state, Why: why}
	for _, b := range known.Backends {
		if strings.HasPrefix(backend, b.Name+"/"+b.Address.String()+"/") {
			m.Checked = b.Check != ""
			if b.Probe != "" && state == string(resource.HealthDown) {
				m.Why = fmt.Sprintf("%s: %s %s", state, b.Check, strings.TrimSpace(b.Probe+" "+b.Detail))
			}
		}
	}
	return m
}

// declaredMembers are those of a tree, with the health that the dataplane was
// told last.
func declaredMembers(v resource.VIP, have, want *resource.Set) []doctor.Member {
	out := []doctor.Member{}
	for _, pool := range v.Pools {
		for _, m := range pool.Members {
			k := resource.BackendNamed(m.Backend)
			declared, _ := want.Get(k)
			held, _ := have.Get(k)
			b, _ := declared.Resource.(resource.Backend)
			was, _ := held.Resource.(resource.Backend)
			out = append(out, doctor.Member{Backend: m.Backend, Checked: b.Check.Type != "", State: string(was.State)})
		}
	}
	return out
}

func (c *cli) printReports(reports []doctorReport) {
	for _, r := range reports {
		c.printf("vip %s: %s", r.VIP, r.Verdict)
		for _, f := range r.Findings {
			c.printf("  %s%s%s", pad(string(f.Verdict), 9), pad(f.Rule, 16), f.Says)
			if f.Verdict == doctor.OK {
				continue
			}
			c.printf("%slooked at: %s", pad("", 27), f.Looked)
			if f.Do != "" {
				c.printf("%sdo: %s", pad("", 27), f.Do)
			}
		}
	}
}
