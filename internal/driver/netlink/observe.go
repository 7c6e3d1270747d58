package netlink

import (
	"context"
	"fmt"

	"golang.org/x/sys/unix"

	"reconciler/internal/observed"
	"reconciler/internal/resource"
)

// Observe reads all links, addresses, rules, ports, permanent neighbours, our
// own routes and parameters, and whatever else the query names. Without the
// links nothing can be told; each other kind that cannot be read is blind.
func (d *Driver) Observe(ctx context.Context, q observed.Query) (observed.State, error) {
	if err := d.ns.alive(); err != nil {
		return observed.State{}, fmt.Errorf("read links: %w", err)
	}
	l := &look{d: d, ctx: ctx, q: q, objects: make([]resource.Object, 0, len(d.last.objects))}
	if err := l.links(); err != nil {
		return observed.State{}, fmt.Errorf("read links: %w", err)
	}
	for _, part := range []struct {
		kind resource.Kind
		read func() error
	}{
		{resource.KindAddress, l.addresses},
		{resource.KindRule, l.rules},
		{resource.KindNeighbour, l.neighbours},
		{resource.KindRoute, l.routes},
		{resource.KindSysctl, l.sysctls},
	} {
		err := part.read()
		if ctx.Err() != nil {
			return observed.State{}, fmt.Errorf("read %s objects: %w", part.kind, context.Cause(ctx))
		}
		if err != nil {
			l.blind(observed.Scope{Kind: part.kind}, err)
		}
	}
	out := l.state()
	l.remember(out.Objects)
	return out, nil
}

// look is one Observe at work.
type look struct {
	d   *Driver
	ctx context.Context
	q   observed.Query

	names   *names
	objects []resource.Object
	set     *resource.Set // of the first objects; see gather
	twins   map[resource.Key]uint32
	blinds  []observed.Blind
	hops    []resource.NextHop // memory for the next hops of many routes

	gathered int // how many objects are in the set

	last     *last // the look before, where this one read the same
	read     int   // how many objects recall compared
	missing  map[resource.Key]resource.Route
	declared []resource.Sysctl
}

func (l *look) add(r resource.Resource, owner resource.Owner, origin string) {
	l.objects = append(l.objects, resource.Object{Resource: r, Owner: owner, Origin: origin})
}

// mark returns what a Reset of a dump goes back to.
func (l *look) mark() func() {
	n := len(l.objects)
	return func() { l.objects = l.objects[:n] }
}

func (l *look) blind(s observed.Scope, err error) {
	s.Driver = resource.Netlink
	l.blinds = append(l.blinds, observed.Blind{Scope: s, Reason: err.Error()})
	l.d.cfg.Log.Warn("cannot read", "scope", s.String(), "error", err)
}

func (l *look) state() observed.State {
	s := observed.State{Objects: l.gather(), Blind: l.blinds}
	if l.q.All {
		s.Tallies = l.tallies()
	}
	return s
}

// tallies counts what is neither ours, nor the kernel's, nor declared.
func (l *look) tallies() []observed.Tally {
	type group struct {
		kind   resource.Kind
		origin string
	}
	counts := map[group]int{}
	for _, o := range l.objects {
		if k := o.Key(); o.Owner == resource.Foreign && !l.q.Want.Has(k) {
			counts[group{k.Kind, o.Origin}]++
		}
	}
	out := make([]observed.Tally, 0, len(counts))
	for g, n := range counts {
		out = append(out, observed.Tally{Kind: g.kind, Origin: g.origin, Count: n})
	}
	sortTallies(out)
	return out
}

// protocols are the names of routing protocols in linux/rtnetlink.h and in
// iproute2's rt_protos.
var protocols = map[uint8]string{
	unix.RTPROT_REDIRECT: "redirect", unix.RTPROT_KERNEL: "kernel", unix.RTPROT_BOOT: "boot", unix.RTPROT_STATIC: "static",
	unix.RTPROT_GATED: "gated", unix.RTPROT_RA: "ra", unix.RTPROT_MRT: "mrt", unix.RTPROT_ZEBRA: "zebra", unix.RTPROT_BIRD: "bird",
	unix.RTPROT_DNROUTED: "dnrouted", unix.RTPROT_XORP: "xorp", unix.RTPROT_NTK: "ntk", unix.RTPROT_DHCP: "dhcp",
	unix.RTPROT_MROUTED: "mrouted", unix.RTPROT_KEEPALIVED: "keepalived", unix.RTPROT_BABEL: "babel", unix.RTPROT_OPENR: "openr",
	unix.RTPROT_BGP: "bgp", unix.RTPROT_ISIS: "isis", unix.RTPROT_OSPF: "ospf", unix.RTPROT_RIP: "rip", unix.RTPROT_EIGRP: "eigrp",
}

// ownerOf reads the mark of a route, rule or neighbour.
func ownerOf(protocol uint8) (resource.Owner, string) {
	switch protocol {
	case resource.Protocol:
		return resource.Ours, ""
	case unix.RTPROT_KERNEL, unix.RTPROT_REDIRECT, unix.RTPROT_RA:
		return resource.Kernel, ""
	}
	return resource.Foreign, originOf(protocol)
}

func originOf(protocol uint8) string {
	if name, ok := protocols[protocol]; ok {
		return name
	}
	if protocol == 0 {
		return ""
	}
	return number(protocol)
}
