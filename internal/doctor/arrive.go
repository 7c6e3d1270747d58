package doctor

import (
	"fmt"
	"net/netip"
	"slices"

	"reconciler/internal/resource"
)

// What stands between a client and the balancer's program.

// answered looks for who answers for the VIP's addresses: a link that has them,
// or a router that sends them here, which cannot be seen.
func answered(f Facts) (out []Finding) {
	for _, a := range f.VIP.Addresses {
		out = append(out, f.answers(a))
	}
	return out
}

func (f Facts) answers(a netip.Addr) Finding {
	looked := "addresses of links, for " + a.String()
	at, proxied := f.holder(a), f.proxied(a)
	near := f.onLink(a)
	switch {
	case at != "" && f.isDown(at):
		return found(Fault, looked, "ip link set "+at+" up", "%s has it, and is down", at)
	case at == "" && f.Announced != nil && !*f.Announced:
		return found(Fault, looked, "see what keeps the VIP from being up (reconciler get vips), or whether this host drains (reconciler status)",
			"it is not announced now, so no router sends packets here")
	case at == "" && near != "" && !proxied:
		return found(Fault, looked, "announce: {interface: "+near+"} puts it on a link while the VIP is up",
			"it is in the network of %s, where nobody answers for it: no link has it", near)
	case at == "" && !proxied:
		return found(Warning, looked, "on the routers: a route to this host; or announce: {interface: lo} and a routing daemon that tells them",
			"no link has it: packets come only if routers have a route here, which cannot be seen")
	case near != "" && a.Is6() && at != near && !proxied:
		return found(Fault, looked, "announce: {interface: "+near+"}, or ip -6 neigh add proxy "+a.String()+" dev "+near,
			"it is in the network of %s, and on %s: of IPv6 a link answers for its own addresses alone", near, at)
	case at == "":
		return found(OK, looked, "", "answered for by proxy")
	}
	return found(OK, looked, "", "on %s", at)
}

// holder is the link that has an address.
func (f Facts) holder(a netip.Addr) string {
	for _, at := range all[resource.Address](f) {
		if at.Prefix.Addr() == a {
			return at.Link
		}
	}
	return ""
}

func (f Facts) proxied(a netip.Addr) bool {
	return slices.ContainsFunc(all[resource.Neighbour](f), func(n resource.Neighbour) bool { return n.Proxy && n.To == a })
}

func (f Facts) isDown(link string) bool {
	l, ok := f.link(link)
	return ok && l.State == resource.Down
}

// arp looks whether links keep quiet about addresses of others.
func arp(f Facts) (out []Finding) {
	for _, a := range f.VIP.Addresses {
		near, at := f.onLink(a), f.holder(a)
		if !a.Is4() || near == "" || at == "" {
			continue
		}
		if n := f.Links[near].ARPIgnore; n == 8 || (n == 1 || n == 2) && at != near {
			out = append(out, found(Fault, "net.ipv4.conf."+near+".arp_ignore", "sysctl -w net.ipv4.conf."+near+".arp_ignore=0, or put the address on "+near,
				"it is %d: %s answers no ARP for %s, which is on %s", n, near, a, at))
		}
	}
	return out
}

// chains looks whether the program runs where packets come in.
func chains(f Facts) (out []Finding) {
	running := f.running()
	if len(running) == 0 {
		return []Finding{found(Fault, "chains of all links", "chains: {LINK: {xdp-ingress: {programs: [{builtin: lb}]}}}, of the link that clients come by",
			"the balancer is in none: packets of the VIP are not balanced")}
	}
	for _, c := range running {
		looked := "chain " + c.Link + "/" + string(c.Hook)
		switch {
		case c.Seen.Attach == "" || c.Seen.Severed:
			out = append(out, found(Fault, looked, "reconciler apply or sync attaches it", "it is not attached"))
		case f.isDown(c.Link):
			out = append(out, found(Fault, looked, "ip link set "+c.Link+" up", "%s is down", c.Link))
		case len(c.Seen.Damage) > 0:
			out = append(out, found(Fault, looked, "reconciler apply or sync repairs it", "%s", joined(c.Seen.Damage)))
		default:
			out = append(out, found(OK, looked, "", "attached, %s", c.Seen.Attach))
		}
	}
	for _, link := range f.entries() {
		if !f.covered(link, running) {
			out = append(out, found(Warning, "routes to clients", "add {builtin: lb} to the chain of "+link+", unless no client comes by it",
				"clients may come by %s, whose chain lacks the balancer", link))
		}
	}
	return out
}

// entries are the links that clients of the VIP may come by: those of default
// routes, and those in whose network it is.
func (f Facts) entries() (out []string) {
	for _, r := range all[resource.Route](f) {
		if r.To.Bits() != 0 || resource.FamilyOf(r.To.Addr()) != f.VIP.Family {
			continue
		}
		for _, hop := range r.Hops {
			out = append(out, hop.Dev)
		}
	}
	for _, a := range f.VIP.Addresses {
		out = append(out, f.onLink(a))
	}
	slices.Sort(out)
	return slices.DeleteFunc(slices.Compact(out), func(link string) bool { return link == "" })
}

// covered reports that frames for a link meet the balancer: on it, below it, or
// on one of its ports.
func (f Facts) covered(link string, running []resource.Chain) bool {
	return slices.ContainsFunc(running, func(c resource.Chain) bool {
		on, _ := f.link(c.Link)
		over, _ := f.link(link)
		return c.Link == link || over.Below == c.Link || on.Seen.Master == link
	})
}

// order looks for programs that packets do not get past.
func order(f Facts) (out []Finding) {
	pass, _ := resource.XDPIngress.ProceedOn("pass")
	for _, c := range f.running() {
		at := position(c)
		looked := fmt.Sprintf("the %s of chain %s/%s", plural(len(c.Slots), "program"), c.Link, c.Hook)
		stopped := false
		for _, s := range c.Slots[:at] {
			if s.Proceed&pass == 0 {
				stopped = true
				out = append(out, found(Fault, looked, "put lb before it, or pass into its proceed-on",
					"%s runs before the balancer, and what it passes does not go on (proceed-on [%s])", s.Program, c.Hook.Text(s.Proceed)))
			}
		}
		if !stopped {
			out = append(out, found(OK, looked, "", "the balancer is number %d, and packets get there", at+1))
		}
	}
	return out
}

// mode looks whether XDP runs in the link's driver.
func mode(f Facts) (out []Finding) {
	for _, c := range f.running() {
		if c.Seen.Attach == "xdp-generic" {
			out = append(out, found(Warning, "chain "+c.Link+"/"+string(c.Hook), "mode: native, where the driver can; reconciler diff says why it cannot",
				"it runs in generic mode: several times slower, and after the kernel has copied each packet"))
		}
	}
	return out
}

// lro looks for packets that no wire has carried.
func lro(f Facts) (out []Finding) {
	for _, c := range f.running() {
		if f.Links[c.Link].LRO {
			out = append(out, found(Fault, "offloads of "+c.Link, "ethtool -K "+c.Link+" lro off",
				"large receive offload is on: it joins packets of clients to ones that are too large to go on"))
		}
	}
	return out
}

// rxvlan looks whether the hardware hides tags from the program.
func rxvlan(f Facts) (out []Finding) {
	for _, c := range f.running() {
		var vlans []string
		for _, l := range all[resource.Link](f) {
			if l.Type == resource.VLAN && l.Below == c.Link {
				vlans = append(vlans, l.Name)
			}
		}
		switch looked := "offloads of " + c.Link; {
		case len(vlans) == 0:
		case f.Links[c.Link].RxVLAN:
			out = append(out, found(Fault, looked, "ethtool -K "+c.Link+" rxvlan off",
				"the link takes tags out of frames before XDP sees them, and %s stands on it: packets of all VLANs look alike, and lose their tag", joined(vlans)))
		default:
			out = append(out, found(OK, looked, "", "tags of %s reach the program", joined(vlans)))
		}
	}
	return out
}

// rpFilter looks whether the kernel drops what comes another way than answers
// would leave.
func rpFilter(f Facts) (out []Finding) {
	if f.VIP.Family != resource.IPv4 {
		return nil
	}
	for _, c := range f.running() {
		looked := "net.ipv4.conf.{all," + c.Link + "}.rp_filter"
		if f.Links[c.Link].RPFilter == 1 {
			out = append(out, found(Warning, looked, "sysctl -w net.ipv4.conf.all.rp_filter=2",
				"strict: what the balancer passes (no-backend: pass, answers to health checks) is dropped if its way back is another link"))
			continue
		}
		out = append(out, found(OK, looked, "", "not strict"))
	}
	return out
}
