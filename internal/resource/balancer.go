package resource

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// LBDriver is the driver of the XDP load balancer.
const LBDriver = "lb"

// KindBalancer is what the VIPs of a host share.
const KindBalancer Kind = "balancer"

// BalancerProgram is the name of the program in chains that are told to run
// {builtin: lb}. No name in YAML can be it.
const BalancerProgram = "builtin:lb"

// Capacities are the sizes of the balancer's tables, which only its creation
// sets.
type Capacities struct {
	RingSize uint32 `json:"ring-size"`    // slots of a ring; a prime
	VIPs     uint32 `json:"max-vips"`     // addresses, each once
	Backends uint32 `json:"max-backends"` // records: a backend has one for each address and encapsulation
	Rings    uint32 `json:"max-rings"`    // rings at a time, those that drain included
	Flows    uint32 `json:"max-flows"`    // entries of the flow table
}

// DefaultCapacities are those of a host that declares none.
func DefaultCapacities() Capacities {
	return Capacities{RingSize: 65537, VIPs: 4096, Backends: 4096, Rings: 256, Flows: 1_000_000}
}

// Balancer is the load balancer of the host: its tables, and what all VIPs have
// in common.
type Balancer struct {
	Capacities
	Source4 netip.Prefix  `json:"source-ipv4,omitzero"` // outer source of tunnels; zero: the address of the way out
	Source6 netip.Prefix  `json:"source-ipv6,omitzero"`
	UDPIdle time.Duration `json:"udp-idle"` // after which a UDP flow is no more; in ns

	// Damage is what is not as it was made.
	Damage []string `json:"damage,omitempty"`
}

// DefaultUDPIdle is as long as the kernel's own tracking keeps a stream
// (nf_conntrack_udp_timeout_stream).
const DefaultUDPIdle = 120 * time.Second

// BalancerKey identifies the balancer: there is one.
func BalancerKey() Key { return Key{LBDriver, KindBalancer, "lb"} }

// Key identifies the balancer.
func (b Balancer) Key() Key { return BalancerKey() }

// Requires nothing.
func (b Balancer) Requires() []Key { return nil }

// Equal compares all that is set, and wants no damage.
func (b Balancer) Equal(o Resource) bool {
	c, ok := o.(Balancer)
	return ok && b.Capacities == c.Capacities && b.Source4 == c.Source4 && b.Source6 == c.Source6 && b.UDPIdle == c.UDPIdle &&
		len(b.Damage) == len(c.Damage)
}

// Replaces reports other capacities: tables are made anew, and what is in them
// is copied.
func (b Balancer) Replaces(from Resource) bool {
	c, ok := from.(Balancer)
	return ok && b.Capacities != c.Capacities
}

// Summary tells of a balancer that comes or goes how much there is room for, and
// of one that stays what differs.
func (b Balancer) Summary(from, to Resource) string {
	was, had := from.(Balancer)
	next, stays := to.(Balancer)
	switch {
	case had && stays:
		return strings.Join(changeTexts(was, next, was.Damage), ", ")
	case had:
		next = was
	}
	return fmt.Sprintf("room for %d VIPs, %d backends, %d rings, %d flows", next.VIPs, next.Backends, next.Rings, next.Flows)
}

// Fields lists the capacities and settings.
func (b Balancer) Fields() []Field {
	var f fields
	f.add("ring-size", fmt.Sprint(b.RingSize))
	f.add("max-vips", fmt.Sprint(b.VIPs))
	f.add("max-backends", fmt.Sprint(b.Backends))
	f.add("max-rings", fmt.Sprint(b.Rings))
	f.add("max-flows", fmt.Sprint(b.Flows))
	if b.Source4.IsValid() {
		f.add("source ipv4", b.Source4.String())
	}
	if b.Source6.IsValid() {
		f.add("source ipv6", b.Source6.String())
	}
	f.add("udp-idle", b.UDPIdle.String())
	f.add("damage", strings.Join(b.Damage, ", "))
	return f
}
