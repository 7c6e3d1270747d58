package desired

import (
	"crypto/sha256"
	"net/netip"
	"time"

	"reconciler/internal/resource"
	"reconciler/internal/strict"
)

// balancerYAML is the load balancer as written.
type balancerYAML struct {
	strict.Here
	RingSize    strict.V[uint32]        `yaml:"ring-size" min:"2" max:"65537" doc:"Slots of a ring: a prime. Default 65537."`
	MaxVIPs     strict.V[uint32]        `yaml:"max-vips" min:"1" max:"8192" doc:"Addresses of VIPs, each once. Default 4096."`
	MaxBackends strict.V[uint32]        `yaml:"max-backends" min:"1" max:"16384" doc:"Backends, each once for each of its addresses and encapsulations. Default 4096."`
	MaxRings    strict.V[uint32]        `yaml:"max-rings" min:"2" max:"4096" doc:"Rings at a time, those that drain included; VIPs with equal backends share one. Default 256."`
	MaxFlows    strict.V[uint32]        `yaml:"max-flows" min:"1" max:"100000000" doc:"Flows that are remembered while backends drain. Default 1000000."`
	Source      *blocksYAML             `yaml:"source-address" doc:"Outer source of tunnels: an address, or a prefix of which each flow gets one. Default: the address of the way out."`
	UDPIdle     strict.V[time.Duration] `yaml:"udp-idle" min:"1000" max:"86400000" doc:"After which a UDP flow is no more. Default 2m."`
	Defaults    defaultsYAML            `yaml:"defaults" doc:"For every VIP."`
}

// blocksYAML is something of each family.
type blocksYAML struct {
	strict.Here
	IPv4 strict.V[block] `yaml:"ipv4"`
	IPv6 strict.V[block] `yaml:"ipv6"`
}

// defaultsYAML is what VIPs do not say themselves.
type defaultsYAML struct {
	strict.Here
	Driver    strict.V[string]        `yaml:"driver" enum:"xdp,ipvs,vpp" doc:"Which dataplane. Default xdp; the others are not applied by this version."`
	Encap     strict.V[string]        `yaml:"encap" enum:"ipip,gue,gre,l2dsr" doc:"How packets get to backends. Default ipip; gue and gre are not applied by this version."`
	Drain     strict.V[time.Duration] `yaml:"drain" max:"86400000" doc:"How long an established flow keeps a backend that left. Default 5m."`
	SlowStart strict.V[time.Duration] `yaml:"slow-start" max:"86400000" doc:"How long a backend that came back takes to its whole weight. Default 0s."`
}

// defaultDrain is long enough for a download to end.
const defaultDrain = 5 * time.Minute

// Balancer is the load balancer as a build has it.
type Balancer struct {
	// Object is its program.
	Object *resource.Blob
	// Maps are those of its program, of which each is pinned elsewhere and
	// External, as large as the capacities make them: another size makes
	// another program.
	Maps func(resource.Capacities) []resource.MapSettings
}

// balancing is what the sections of the load balancer tell each other.
type balancing struct {
	yaml    balancerYAML
	sizes   resource.Capacities
	program *program      // of {builtin: lb}; nil where the build has none
	slot    *strict.Value // the first one that runs it; nil for none

	checks   map[string]*healthcheck
	backends map[string]*backend
	pools    map[string]*pool

	first     strict.Child // of the VIPs that run here; zero for none
	made      bool         // one of them
	claims    []claim
	blocks    []netip.Prefix // addresses of VIPs
	announced map[netip.Addr]declaredAddress
	expanded  int // addresses, each as often as it is declared
	members   int // backends, each as often as it is looked at for a VIP
	known     int // pools, those of VIPs included
	seats     map[seatKey]seating
	rings     map[[sha256.Size]byte]bool // of first pools
	records   int                        // of backends
	outer     map[resource.Family]bool   // of tunnels in use
	told      map[strict.Pos]bool        // members and pools that are reported
}

// readBalancer takes over what is said of the balancer as a whole.
func (b *builder) readBalancer() {
	l := &b.lb
	*l = balancing{
		checks: make(map[string]*healthcheck), backends: make(map[string]*backend), pools: make(map[string]*pool),
		seats: make(map[seatKey]seating), rings: make(map[[sha256.Size]byte]bool), announced: make(map[netip.Addr]declaredAddress), outer: make(map[resource.Family]bool),
		told: make(map[strict.Pos]bool),
	}
	if b.doc.LB != nil {
		l.yaml = *b.doc.LB
	}
	y, d := &l.yaml, resource.DefaultCapacities()
	l.sizes = resource.Capacities{
		RingSize: y.RingSize.Or(d.RingSize), VIPs: y.MaxVIPs.Or(d.VIPs), Backends: y.MaxBackends.Or(d.Backends),
		Rings: y.MaxRings.Or(d.Rings), Flows: y.MaxFlows.Or(d.Flows),
	}
	if y.RingSize.Ok() && !isPrime(l.sizes.RingSize) {
		b.fault(y.RingSize.At(), "not-prime", "%d is no prime, and only a prime spreads flows evenly", l.sizes.RingSize).
			Hinted("write %d", nextPrime(l.sizes.RingSize))
	}
	if y.Source != nil {
		b.isFamily(resource.IPv4, netip.Prefix(y.Source.IPv4.Val).Addr(), y.Source.IPv4.At())
		b.isFamily(resource.IPv6, netip.Prefix(y.Source.IPv6.Val).Addr(), y.Source.IPv6.At())
	}
	if have := b.around.balancer; have != nil {
		l.program = &program{shared: true, hooks: make(map[string][]resource.Hook), one: resource.Program{
			Name: resource.BalancerProgram, Source: resource.ObjectSource{File: resource.BalancerProgram, Tree: have.Object}, Maps: have.Maps(l.sizes),
		}}
	}
}

// isFamily reports an address of the other family.
func (b *builder) isFamily(f resource.Family, a netip.Addr, at *strict.Value) {
	if a.IsValid() && resource.FamilyOf(a) != f {
		b.fault(at, "family", "%s is %s, and stands for %s", a, resource.FamilyOf(a), f)
	}
}

func isPrime(n uint32) bool {
	for d := uint32(2); d*d <= n; d++ {
		if n%d == 0 {
			return false
		}
	}
	return n > 1
}

// nextPrime is the first prime from n on; 65537 is the last that is asked for.
func nextPrime(n uint32) uint32 {
	for !isPrime(n) {
		n++
	}
	return n
}

// runsBalancer notes a slot of a chain that the balancer runs in.
func (b *builder) runsBalancer(at *strict.Value) {
	if b.lb.slot == nil {
		b.lb.slot = at
		if b.lb.program != nil {
			b.lb.program.at = at
		}
	}
}

// balance builds the VIPs, and the balancer if there is something for it to do.
func (b *builder) balance() {
	b.readChecks()
	b.readBackends()
	b.readDrains()
	b.readPools()
	for i := range b.doc.VIPs {
		e := &b.doc.VIPs[i]
		b.vip(e.Name, e.Key, &e.Val)
	}
	b.claimsOverall()
	b.checkSizes()
	b.checkTunnels()
	if b.lb.first.Value != nil && b.lb.slot == nil {
		b.report.WarnKey(b.lb.first, strict.Problemf("no-lb", "no chain runs the load balancer, so nothing is balanced").
			Hinted("put {builtin: lb} at the end of xdp-ingress of an interface"))
	}
	if b.around.balancer != nil && (b.lb.made || b.lb.slot != nil) {
		b.addBalancer()
	}
}

func (b *builder) addBalancer() {
	y := &b.lb.yaml
	one := resource.Balancer{Capacities: b.lb.sizes, UDPIdle: y.UDPIdle.Or(resource.DefaultUDPIdle)}
	if y.Source != nil {
		one.Source4, one.Source6 = netip.Prefix(y.Source.IPv4.Val), netip.Prefix(y.Source.IPv6.Val)
	}
	b.add(one, b.balancerAt())
}

// balancerAt is what the balancer as a whole is declared by.
func (b *builder) balancerAt() *strict.Value {
	switch {
	case b.lb.yaml.Given():
		return b.lb.yaml.At()
	case b.lb.first.Value != nil:
		return declared(b.lb.first)
	}
	return b.lb.slot
}

// checkSizes compares what is declared with the capacities.
func (b *builder) checkSizes() {
	l := &b.lb
	if n := distinct(l.blocks); n > int(l.sizes.VIPs) {
		b.fault(b.sizeAt(l.yaml.MaxVIPs), "too-many", "%d addresses of VIPs, and max-vips is %d", n, l.sizes.VIPs)
	}
	if n := l.records; n > int(l.sizes.Backends) {
		b.fault(b.sizeAt(l.yaml.MaxBackends), "too-many", "%d backends, each counted for its addresses and encapsulations, and max-backends is %d",
			n, l.sizes.Backends)
	}
	switch n, most := len(l.rings), int(l.sizes.Rings); {
	case n >= most: // a change is written beside what is in force
		b.fault(b.sizeAt(l.yaml.MaxRings), "too-many", "%d VIPs with different backends, and max-rings is %d: it must be more", n, most)
	case 2*n > most:
		b.report.Warn(b.sizeAt(l.yaml.MaxRings), strict.Problemf("few-rings",
			"%d VIPs with different backends, and max-rings is %d: not all of them can drain at a time", n, most).
			Hinted("with %d they could", 2*n+1))
	}
}

func (b *builder) sizeAt(v strict.V[uint32]) *strict.Value {
	if v.Given() {
		return v.At()
	}
	return b.balancerAt()
}

// checkTunnels warns where flows of a backend come all from one address, and
// so end in one queue of its card.
func (b *builder) checkTunnels() {
	var source blocksYAML
	if b.lb.yaml.Source != nil {
		source = *b.lb.yaml.Source
	}
	for _, of := range []struct {
		family resource.Family
		given  bool
	}{{resource.IPv4, source.IPv4.Given()}, {resource.IPv6, source.IPv6.Given()}} {
		if b.lb.outer[of.family] && !of.given {
			b.report.Warn(b.balancerAt(), strict.Problemf("no-source", "tunnels over %s have no source-address, so all flows come to a backend from one address, and into one queue of its card", of.family).
				Hinted("lb: {source-address: {%s: PREFIX}}", of.family))
		}
	}
}
