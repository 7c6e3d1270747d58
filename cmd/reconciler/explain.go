package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"reconciler/internal/api"
	"reconciler/internal/diff"
	"reconciler/internal/driver"
	"reconciler/internal/observed"
	"reconciler/internal/resource"
)

// asked is the flow that somebody asks about, as they say it.
type asked struct {
	vip, source string
	protocol    string
	port        uint16
	address     string
}

func (c *cli) explainCommand() *cobra.Command {
	var h host
	var a asked
	cmd := &cobra.Command{
		Use: "explain VIP SRC:PORT [PATH]", Args: cobra.RangeArgs(2, 3),
		Short: "Tell which backend a flow gets now, and after the change, and why",
		Long: "Tell which backend a flow gets now, and after what a tree would change, and why. Without PATH the change is what\n" +
			"the daemon has before it. The family is that of SRC; an IPv6 address with a port stands in brackets.\n\n" +
			"Exit status: 0 a new flow gets a backend now, 1 it gets none, 2 invalid configuration, 3 something could not be read.",
	}
	h.flags(cmd.Flags())
	cmd.Flags().StringVar(&a.protocol, "proto", "", "tcp, udp or a number of IP (default: that of the VIP, or tcp)")
	cmd.Flags().Uint16Var(&a.port, "port", 0, "of the VIP, where it has several")
	cmd.Flags().StringVar(&a.address, "address", "", "of the VIP, where it has several")
	out := outputFlag(cmd.Flags(), "text", "json")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		a.vip, a.source = args[0], args[1]
		r, err := c.explain(cmd.Context(), h, a, args[2:])
		if err != nil {
			return err
		}
		if out.isJSON() {
			err = c.json(r)
		} else {
			c.printExplained(r)
		}
		if err == nil && (r.Now.New.Backend == "" || r.Now.New.Unreachable) {
			return exit(explainNone, nil)
		}
		return err
	}
	return cmd
}

// explained is the answer.
type explained struct {
	driver.Flow
	Now   driver.Way  `json:"now"`
	After *driver.Way `json:"after,omitempty"` // left out where no change is known of
}

func (c *cli) explain(ctx context.Context, h host, a asked, path []string) (explained, error) {
	l, err := c.reader(h, "")
	if err != nil {
		return explained{}, err
	}
	have, ops, err := l.before(ctx, h, path)
	if err != nil {
		return explained{}, err
	}
	f, err := a.flow(vipsNamed(a.vip, have, ops))
	if err != nil {
		return explained{}, exit(exitUsage, err)
	}
	r := explained{Flow: f}
	for _, d := range l.drivers {
		e, ok := d.(driver.Explainer)
		if !ok {
			continue
		}
		x, err := e.Explain(ctx, f, ops)
		if err != nil {
			return r, exit(diffUnreadable, err)
		}
		r.Now = x.Now
		if ops != nil {
			r.After = &x.After
		}
	}
	return r, nil
}

// before is what there is, and what is before the host: by a tree, or by the
// daemon; nil where neither tells.
func (l *local) before(ctx context.Context, h host, path []string) (observed.State, []diff.Op, error) {
	if len(path) > 0 {
		want, err := l.load(path[0])
		if err != nil {
			return observed.State{}, nil, exit(diffInvalid, err)
		}
		planned, err := l.planner.Plan(ctx, want, false)
		if err != nil {
			return observed.State{}, nil, exit(diffUnreadable, err)
		}
		return planned.Have, append([]diff.Op{}, planned.Plan.Ops...), nil
	}
	have, err := l.planner.Observe(ctx, observed.Query{})
	if err != nil {
		return have, nil, exit(diffUnreadable, err)
	}
	plan, err := l.cli.client(h).Plan(ctx)
	if err != nil {
		if !errors.Is(err, api.ErrNoDaemon) {
			l.cli.say("%v", err)
		}
		return have, nil, nil
	}
	return have, append([]diff.Op{}, plan.Ops...), nil
}

// vipsNamed are the VIPs of a name, as they are and as they will be, the latter
// first.
func vipsNamed(name string, have observed.State, ops []diff.Op) []resource.VIP {
	var out []resource.VIP
	for _, op := range ops {
		if v, ok := op.To.(resource.VIP); ok && v.Name == name {
			out = append(out, v)
		}
	}
	for _, o := range ofKind(have, resource.KindVIP) {
		if v := o.Resource.(resource.VIP); v.Name == name {
			out = append(out, v)
		}
	}
	return out
}

// flow makes a flow of what was said and of what goes without saying.
func (a asked) flow(vips []resource.VIP) (driver.Flow, error) {
	src, err := netip.ParseAddrPort(a.source)
	if err != nil {
		addr, err := netip.ParseAddr(a.source)
		if err != nil {
			return driver.Flow{}, fmt.Errorf("%s: want an address and a port, as 192.0.2.7:40001 or [2001:db8::7]:40001", a.source)
		}
		src = netip.AddrPortFrom(addr, 0)
	}
	src = netip.AddrPortFrom(src.Addr().Unmap(), src.Port())
	if len(vips) == 0 {
		return driver.Flow{}, fmt.Errorf("there is no VIP %s", a.vip)
	}
	family := resource.FamilyOf(src.Addr())
	i := slices.IndexFunc(vips, func(v resource.VIP) bool { return v.Family == family })
	if i < 0 {
		return driver.Flow{}, fmt.Errorf("VIP %s has no address of %s", a.vip, family)
	}
	to, err := a.to(vips[i])
	if err != nil {
		return driver.Flow{}, err
	}
	protocol, port, err := a.service(vips[i])
	return driver.Flow{Protocol: protocol, Src: src, Dst: netip.AddrPortFrom(to, port)}, err
}

func (a asked) to(v resource.VIP) (netip.Addr, error) {
	if a.address == "" {
		if len(v.Addresses) == 1 {
			return v.Addresses[0], nil
		}
		return netip.Addr{}, fmt.Errorf("VIP %s has %s: choose one by --address", v.Name, few(texts(v.Addresses)))
	}
	to, err := netip.ParseAddr(a.address)
	if err != nil || !slices.Contains(v.Addresses, to) {
		return netip.Addr{}, fmt.Errorf("--address: VIP %s has %s", v.Name, few(texts(v.Addresses)))
	}
	return to, nil
}

// protocols are those with a name.
var protocols = map[string]uint8{"tcp": unix.IPPROTO_TCP, "udp": unix.IPPROTO_UDP, "icmp": unix.IPPROTO_ICMP, "icmpv6": unix.IPPROTO_ICMPV6}

func protocolName(p uint8) string {
	for name, number := range protocols {
		if p == number {
			return name
		}
	}
	return fmt.Sprintf("protocol %d", p)
}

// service is the protocol and the port that are asked about.
func (a asked) service(v resource.VIP) (protocol uint8, port uint16, err error) {
	fits := slices.DeleteFunc(slices.Clone(v.Ports), func(p resource.ServicePort) bool {
		return a.protocol != "" && p.Protocol != a.protocol || a.port != 0 && p.Number != 0 && p.Number != a.port
	})
	name, port := a.protocol, a.port
	if len(fits) == 1 {
		name, port = orElse(name, fits[0].Protocol), max(port, fits[0].Number)
	}
	name = orElse(name, "tcp")
	protocol, ok := protocols[name]
	if !ok {
		n, err := strconv.ParseUint(name, 10, 8)
		if err != nil {
			return 0, 0, fmt.Errorf("--proto %s: want tcp, udp or a number up to 255", name)
		}
		protocol = uint8(n)
	}
	switch {
	case protocol != unix.IPPROTO_TCP && protocol != unix.IPPROTO_UDP:
		return protocol, 0, nil
	case port == 0:
		return 0, 0, fmt.Errorf("VIP %s has %s: choose by --proto and --port", v.Name, orElse(few(texts(v.Ports)), "every port"))
	}
	return protocol, port, nil
}

func (c *cli) printExplained(r explained) {
	c.printf("%s  %s -> %s", protocolName(r.Protocol), portText(r.Src), portText(r.Dst))
	rows := wayRows("now", r.Now)
	if r.After != nil {
		rows = append(rows, wayRows("after", *r.After)...)
	}
	c.table(rows)
}

func portText(a netip.AddrPort) string {
	if a.Port() == 0 {
		return a.Addr().String()
	}
	return a.String()
}

// wayRows are a line for all packets, or one for those that begin a flow and
// one for the others.
func wayRows(when string, w driver.Way) [][]string {
	where := ""
	if w.VIP != "" {
		where = fmt.Sprintf("%s slot %d", w.VIP, w.Slot)
		if w.Sticky {
			where += " (src-ip-sticky)"
		}
	}
	if w.New == w.Known {
		return [][]string{{"  " + when, "", choiceText(w.New), where, whyText(w, w.New)}}
	}
	return [][]string{
		{"  " + when, "new", choiceText(w.New), where, whyText(w, w.New)},
		{"", "established", choiceText(w.Known), "", whyText(w, w.Known)},
	}
}

func choiceText(c driver.Choice) string {
	if c.Backend == "" {
		return "-"
	}
	return c.Backend
}

func whyText(w driver.Way, c driver.Choice) string {
	text := map[driver.Why]string{
		driver.NotVIP: "no VIP has this address: the packet passes", driver.NotClaimed: "no VIP has this port of the address: the packet passes",
		driver.NoBackend: "the ring has no backend", driver.ByRing: "by the ring", driver.ByNewOwner: "the slot moved, and this is its new owner",
		driver.ByPrevious: "the slot moved, and flows stay with its former owner", driver.ByFlowTable: "the slot moved, and the flow table knows this flow",
	}[c.Why]
	if w.Left > 0 && (c.Why == driver.ByPrevious || c.Why == driver.ByFlowTable) {
		text += ", for " + w.Left.Round(time.Second).String()
	}
	if c.Unreachable {
		text += "; there is no way to it, so the packet is dropped"
	}
	return strings.TrimSpace(text)
}
