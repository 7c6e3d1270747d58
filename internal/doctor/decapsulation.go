package doctor

import (
	"fmt"

	"reconciler/internal/resource"
)

// Answer is what came back of a probe: a SYN to the VIP, sent to one backend as
// the balancer would.
type Answer string

// The answers.
const (
	Accepted Answer = "syn-ack"  // the backend has the VIP, and serves
	Refused  Answer = "rst"      // it has the VIP, and nobody listens
	Silent   Answer = "nothing"  // packets do not get through it
	Unsent   Answer = "not-sent" // the probe could not be made
)

// decapsulation looks whether backends take what is sent to them. A health
// check that goes directly proves the host alone.
func decapsulation(f Facts) (out []Finding) {
	accepted := 0
	for _, b := range f.serving() {
		if b.Seen.Link == "" {
			continue // told already
		}
		name := b.Key().Name
		looked := "a SYN to the VIP, by " + string(b.Encap) + " to " + name
		switch f.Probes[name] {
		case Accepted:
			accepted++
		case Refused:
			out = append(out, found(Warning, looked, "on "+b.Name+": ss -ltn; the server must listen on the VIP, or on every address",
				"it has the VIP, and refused: nothing listens there"))
		case Silent:
			out = append(out, found(Fault, looked, onBackend(f.VIP, b), "nothing came back: %s", cause(b)))
		case Unsent:
			out = append(out, found(Warning, name, onBackend(f.VIP, b), "not looked at: this host has no link or no address to send a probe from. "+aloneText))
		default:
			out = append(out, found(Warning, name, onBackend(f.VIP, b), "not looked at: no probe was sent, which takes a port of TCP. "+aloneText))
		}
	}
	if accepted > 0 {
		out = append(out, found(OK, "SYNs to the VIP, sent as the balancer does", "", "%s answered", plural(accepted, "backend")))
	}
	return out
}

const aloneText = "A health check that goes directly proves the host alone"

func cause(b resource.Backend) string {
	if b.Encap == resource.L2DSR {
		return "the VIP is no address of the backend, or its rp_filter or firewall drops the packet"
	}
	return "the backend does not decapsulate, has not the VIP, or its rp_filter or firewall drops the inner packet"
}

// onBackend is what shows the cause there (docs/backends.md).
func onBackend(v resource.VIP, b resource.Backend) string {
	if len(v.Addresses) == 0 {
		return ""
	}
	vip := v.Addresses[0]
	if b.Encap == resource.L2DSR {
		return fmt.Sprintf("on %s: ip addr show to %s; sysctl -a --pattern '\\.rp_filter'; tcpdump -ni any host %s", b.Name, vip, vip)
	}
	kind, proto := "ipip", "ip proto 4"
	switch {
	case b.Address.Is6() && vip.Is4():
		kind, proto = "ip6tnl", "ip6 proto 4"
	case b.Address.Is6():
		kind, proto = "ip6tnl", "ip6 proto 41"
	}
	return fmt.Sprintf("on %s: ip -s link show type %s (is one there, up, and does it count?); ip addr show to %s; sysctl -a --pattern '\\.rp_filter'; tcpdump -ni any %s",
		b.Name, kind, vip, proto)
}
