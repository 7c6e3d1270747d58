package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cilium/ebpf"
)

// Targets of the balancer.
const (
	perEncapsulation = 3.5 // times a bare encapsulation
	perFlows         = 1.2 // times the same with one flow
	perPass          = 1.3 // times a program that parses as far and passes
)

// balanced is what one subject sends through a program.
type balanced struct {
	name    string
	packet  string // of frameOf
	service int    // of the plane's; the VIP that the packet is for
	flows   int    // a power of two
	program string // "" for the balancer, else one of balancer.o
	tunnel  bool   // the frame grows, and is put back
}

// balancer measures what a packet costs in the load balancer, net of the
// wrapper that makes each packet a fresh one.
func (b *bench) balancer(ctx context.Context) error {
	lb, err := newBalancing()
	if err != nil {
		return err
	}
	cases := balancerCases(b.most())
	subjects := make([]subject, len(cases))
	for i, c := range cases {
		run, err := lb.run(c)
		if err == nil {
			err = warm(run, c)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, firstOf(err, lb.close()))
		}
		subjects[i] = subject{c.name, func() (time.Duration, error) { return spinFresh(run, b.repeats()) }}
	}
	times, err := compare(b.spins(), subjects...)
	if err == nil {
		b.balancerRows(cases, times)
	}
	return firstOf(err, lb.close(), ctx.Err())
}

// most is how many flows there are at the most.
func (b *bench) most() int {
	if b.quick {
		return 1 << 16
	}
	return 1 << 20
}

const ( // XDP_PASS, XDP_TX
	passes = 2
	sends  = 3
)

// warm has each flow come once, and wants of the last what is meant.
func warm(p *ebpf.Program, c balanced) error {
	code, err := p.Run(&ebpf.RunOptions{Data: make([]byte, frameSize), Repeat: uint32(max(c.flows, 1000))})
	if err != nil {
		return err
	}
	want := uint32(passes)
	if c.tunnel {
		want = sends
	}
	if code != want {
		return fmt.Errorf("returns %d, and not %d", code, want)
	}
	return nil
}

// spinFresh is the time of packets through a wrapper, of which the last of the
// run before left the flow where it was.
func spinFresh(p *ebpf.Program, packets int) (time.Duration, error) {
	before := cpuTime()
	_, err := p.Run(&ebpf.RunOptions{Data: make([]byte, frameSize), Repeat: uint32(packets)})
	return cpuTime() - before, err
}

// What the cost of a packet is net of, and held against.
const (
	wrapperAlone  = "wrapper"
	wrapperFlows  = "wrapper, many flows"
	wrapperResize = "wrapper, resized there and back"
)

// balancerCases are all that one run measures.
func balancerCases(most int) []balanced {
	cases := []balanced{
		{name: wrapperAlone, packet: "tcp4", flows: 1, program: "nothing"},
		{name: wrapperFlows, packet: "tcp4", flows: most, program: "nothing"},
		{name: wrapperResize, packet: "tcp4", flows: 1, program: "nothing"},
		{name: "floor tunnel4", packet: "tcp4", flows: 1, program: "encap4", tunnel: true},
		{name: "floor tunnel6", packet: "tcp6", flows: 1, program: "encap6", tunnel: true},
		{name: "floor other4", packet: "other4", flows: 1, program: "parse"},
		{name: "floor other6", packet: "other6", flows: 1, program: "parse"},
		{name: "floor arp", packet: "arp", flows: 1, program: "parse"},
		{name: "non-VIP, IPv4", packet: "other4", flows: 1},
		{name: "non-VIP, IPv6", packet: "other6", flows: 1},
		{name: "ARP", packet: "arp", flows: 1},
	}
	for _, kind := range balancedKinds() {
		for service, backends := range append(backendCounts(), 100) {
			if kind.packet != "tcp4" && backends != 100 {
				continue // what the number of backends does, one kind tells
			}
			state := fmt.Sprintf("%d backends", backends)
			if service == movedService {
				state += ", 1 % moved"
			}
			for _, flows := range []int{1, most / 16, most} {
				if kind.packet != "tcp4" && flows == most/16 {
					continue // likewise
				}
				cases = append(cases, balanced{name: fmt.Sprintf("%s, %s, %d flows", kind.name, state, flows), packet: kind.packet, service: service, flows: flows, tunnel: true})
			}
		}
	}
	return append(cases, balanced{name: fmt.Sprintf("SYN, IPIP, all moved, %d flows, table full", most), packet: "syn4", service: allMovedService, flows: most, tunnel: true})
}

// balancedKind is a kind of packet that goes to backends.
type balancedKind struct{ name, packet, floor string }

func balancedKinds() []balancedKind {
	return []balancedKind{
		{"TCP, IPIP", "tcp4", "floor tunnel4"}, {"TCP, IP6IP6", "tcp6", "floor tunnel6"}, {"UDP, IPIP", "udp4", "floor tunnel4"},
		{"SYN, IPIP", "syn4", "floor tunnel4"}, {"TCP, 4in6", "tcp46", "floor tunnel6"}, {"TCP, tagged, IPIP", "tagged4", "floor tunnel4"},
	}
}

func floorOf(c balanced) string {
	for _, k := range balancedKinds() {
		if k.packet == c.packet {
			return k.floor
		}
	}
	return "floor " + c.packet
}

// balancerRows prints, of each case, what it costs net and against its floor,
// and of each kind what the number of flows does.
func (b *bench) balancerRows(cases []balanced, times [][]time.Duration) {
	net := netOf(cases, times)
	for _, c := range cases {
		if c.program != "" {
			continue
		}
		limit := perPass
		if c.tunnel {
			limit = perEncapsulation
		}
		if c.service == allMovedService {
			limit = 0
		}
		b.netRow(c.name, "a packet / its floor", net[c.name], net[floorOf(c)], limit)
	}
	for _, c := range cases {
		one := strings.Replace(c.name, fmt.Sprintf("%d flows", b.most()), "1 flows", 1)
		if c.program == "" && c.flows == b.most() && net[one] != nil {
			b.netRow(c.name, "a packet / of one flow", net[c.name], net[one], perFlows)
		}
	}
}

// netOf is, by name and round, what a case costs beyond the wrapper.
func netOf(cases []balanced, times [][]time.Duration) map[string][]float64 {
	at := func(name string) []time.Duration {
		return times[slices.IndexFunc(cases, func(c balanced) bool { return c.name == name })]
	}
	alone, flows, resized := at(wrapperAlone), at(wrapperFlows), at(wrapperResize)
	net := make(map[string][]float64, len(cases))
	for i, c := range cases {
		all := make([]float64, len(alone))
		for round := range all {
			wrapper := alone[round]
			if c.flows > 1 {
				wrapper = flows[round]
			}
			if c.tunnel { // whose header the wrapper took off
				wrapper += (resized[round] - alone[round]) / 2
			}
			all[round] = float64(times[i][round] - wrapper)
		}
		net[c.name] = all
	}
	return net
}

// netRow prints two costs of a packet and their ratio; limit 0 is no target. The
// ratio is one of medians: a floor of a few nanoseconds is too small to divide by
// round by round.
func (b *bench) netRow(load, measure string, ours, other []float64, limit float64) {
	ratio := median(ours) / median(other)
	r := row{
		load: load, measure: measure,
		ours: fmt.Sprintf("%.1f ns", median(ours)/float64(b.repeats())), other: fmt.Sprintf("%.1f ns", median(other)/float64(b.repeats())),
		value: fmt.Sprintf("%.2f (%.2f–%.2f)", ratio, quantile(ours, 0.25)/median(other), quantile(ours, 0.75)/median(other)),
	}
	if limit > 0 {
		r.target, r.met = fmt.Sprintf("≤ %g", limit), ratio <= limit
	}
	b.row(r)
}
