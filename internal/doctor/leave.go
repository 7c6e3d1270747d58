package doctor

import (
	"fmt"
	"slices"

	"reconciler/internal/resource"
)

// What stands between the balancer's program and a backend.

// table looks whether packets of the VIP find it.
func table(f Facts) []Finding {
	const looked = "the VIP table"
	switch {
	case !f.There:
		return []Finding{found(Fault, looked, "reconciler apply, or with a daemon: status says what keeps it", "the VIP is not in it")}
	case len(f.VIP.Seen.Damage) > 0:
		return []Finding{found(Fault, looked+" and the ring", "reconciler apply or sync repairs it", "%s", joined(f.VIP.Seen.Damage))}
	}
	return []Finding{found(OK, looked, "", "%s of %s", addresses(len(f.VIP.Addresses)), f.services())}
}

func (f Facts) services() string {
	if len(f.VIP.Ports) == 0 {
		return "every packet"
	}
	return plural(len(f.VIP.Ports), "port")
}

// ring looks whether the VIP has a backend at all. The sum is for comparing
// hosts.
func ring(f Facts) []Finding {
	if !f.There {
		return nil
	}
	const looked = "the ring"
	if n := len(f.VIP.Shares); n > 0 {
		return []Finding{found(OK, looked, "", "%s, sum %016x: the same on each host with the same backends", plural(n, "backend"), f.VIP.Seen.Checksum)}
	}
	down := 0
	for _, m := range f.Members {
		if m.State == string(resource.HealthDown) {
			down++
		}
	}
	says, do := "it is empty: the VIP has no backend", "reconciler get pools says why none has a weight"
	switch {
	case down > 0 && down == len(f.Members):
		says, do = fmt.Sprintf("it is empty: all %d backends are down", down), "reconciler get backends says what their health checks got"
	case f.Members != nil && len(f.Members) == 0:
		says, do = "it is empty: the pools have no backend of this family", "give backends an address of "+string(f.VIP.Family)
	}
	return []Finding{found(Fault, looked, do, "%s (%s)", says, f.VIP.NoBackend)}
}

// backends looks at those that do not serve, and why.
func backends(f Facts) (out []Finding) {
	for _, m := range f.Members {
		if m.State == string(resource.HealthDown) || m.State == string(resource.HealthUnknown) {
			out = append(out, found(Warning, "health of "+m.Backend, "reconciler get backends", "%s", orElse(m.Why, m.State)))
		}
	}
	return out
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// checks looks for backends that nobody asks.
func checks(f Facts) []Finding {
	var bare []string
	for _, m := range f.Members {
		if !m.Checked && !slices.Contains(bare, m.Backend) {
			bare = append(bare, m.Backend)
		}
	}
	switch {
	case len(f.Members) == 0:
		return nil
	case len(bare) == 0:
		return []Finding{found(OK, "health checks", "", "every backend has one")}
	case len(bare) == len(f.Members):
		return []Finding{found(Warning, "health checks", "healthcheck: NAME, of backends", "no backend has one: one that dies keeps its flows")}
	}
	return []Finding{found(OK, "health checks", "", "all but %s have one", joined(bare))}
}

// nextHops looks for backends that no frame can be sent to.
func nextHops(f Facts) (out []Finding) {
	reached := 0
	for _, b := range f.serving() {
		if b.Seen.Link != "" {
			reached++
			continue
		}
		out = append(out, found(Fault, "the record of "+b.Key().Name,
			"ip route get "+b.Address.String()+inTable(b)+"; ip neigh show; l2dsr wants the backend on a link of this host",
			"no next hop: there is no route, or nobody answers on it; its packets are dropped"))
	}
	if reached > 0 {
		out = append(out, found(OK, "records of backends", "", "%s with a next hop", plural(reached, "backend")))
	}
	return out
}

func inTable(b resource.Backend) string {
	if b.Table == 0 {
		return ""
	}
	return fmt.Sprintf(" (in table %d)", b.Table)
}

// sources looks whether backends can spread what comes by tunnel.
func sources(f Facts) (out []Finding) {
	o, _ := f.Have.Get(resource.BalancerKey())
	lb, _ := o.Resource.(resource.Balancer)
	bare := map[string]bool{}
	for _, b := range f.tunnels() {
		if b.Address.Is4() && !lb.Source4.IsValid() {
			bare["ipv4"] = true
		}
		if b.Address.Is6() && !lb.Source6.IsValid() {
			bare["ipv6"] = true
		}
	}
	for _, family := range []string{"ipv4", "ipv6"} {
		if bare[family] {
			out = append(out, found(Warning, "lb", "lb: {source-address: {"+family+": PREFIX}}, one that is routed here or nowhere",
				"no source-address of %s: all tunnels have one pair of addresses, so a backend takes them all on one queue of its card", family))
		}
	}
	return out
}

// outer is what a tunnel adds to a packet, in bytes.
func outer(b resource.Backend) uint32 {
	switch {
	case b.Encap == resource.L2DSR:
		return 0
	case b.Address.Is6():
		return 40
	}
	return 20
}

// mtu looks whether the largest packet that clients can send fits on the way to
// backends.
func mtu(f Facts) (out []Finding) {
	for _, c := range f.running() {
		l, ok := f.link(c.Link)
		if !ok || l.MTU == 0 {
			continue
		}
		var narrow []string
		var need, has uint32
		for _, b := range f.serving() {
			if b.Seen.Link != "" && b.Seen.MTU < l.MTU+outer(b) {
				narrow = append(narrow, b.Key().Name)
				need, has = max(need, l.MTU+outer(b)), b.Seen.MTU
			}
		}
		looked := "the MTU of " + c.Link + " and of ways to backends"
		if len(narrow) == 0 {
			if len(f.serving()) > 0 {
				out = append(out, found(OK, looked, "", "what comes with %d bytes fits", l.MTU))
			}
			continue
		}
		out = append(out, found(Warning, looked,
			fmt.Sprintf("MTU %d on the way to backends, or a smaller one of the VIP's service (docs/backends.md: advmss on backends)", need),
			"packets of %d bytes do not fit with what the tunnel adds: the way to %s has %d, and wants %d; %d were too big so far, and clients were told",
			l.MTU, joined(first(narrow)), has, need, f.VIP.Seen.TooBig))
	}
	return out
}

// first shows some of many.
func first(words []string) []string {
	const shown = 3
	if len(words) > shown {
		return append(slices.Clone(words[:shown]), fmt.Sprintf("and %d more", len(words)-shown))
	}
	return words
}

// records looks for what is not as it was written.
func records(f Facts) (out []Finding) {
	for _, b := range f.serving() {
		if len(b.Seen.Damage) > 0 {
			out = append(out, found(Warning, "the record of "+b.Key().Name, "reconciler apply or sync repairs it", "drift: %s", joined(b.Seen.Damage)))
		}
	}
	o, _ := f.Have.Get(resource.BalancerKey())
	if lb, ok := o.Resource.(resource.Balancer); ok && len(lb.Damage) > 0 {
		out = append(out, found(Fault, "the tables", "reconciler apply or sync repairs them", "drift: %s", joined(lb.Damage)))
	}
	return out
}

func addresses(n int) string {
	if n == 1 {
		return "1 address"
	}
	return fmt.Sprintf("%d addresses", n)
}
