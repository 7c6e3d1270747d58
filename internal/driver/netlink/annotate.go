package netlink

import (
	"fmt"
	"slices"
	"strings"

	"reconciler/internal/diff"
	"reconciler/internal/observed"
	"reconciler/internal/resource"
)

// Annotate tells what the operations of a plan cost: in Disruption what the
// traffic feels, in Effects what else the kernel changes.
func (*Driver) Annotate(have observed.State, plan *diff.Plan) {
	resized := map[resource.Key]bool{}
	for _, op := range plan.Ops {
		resized[op.Key] = resized[op.Key] || slices.ContainsFunc(op.Fields, func(ch resource.Change) bool { return ch.Name == "mtu" })
	}
	for i := range plan.Ops {
		op := &plan.Ops[i]
		if op.Key.Driver == resource.Netlink {
			annotate(op, have.Objects)
			inheriting(op, have.Objects, resized)
		}
	}
}

// inheriting tells which links take MTU or MAC address over from a link that
// changes, but for those whose MTU the plan changes itself.
func inheriting(op *diff.Op, have *resource.Set, resized map[resource.Key]bool) {
	from, ok := op.From.(resource.Link)
	to, isLink := op.To.(resource.Link)
	if !ok || !isLink || op.Verb != diff.Update {
		return
	}
	var smaller, masked []string
	for _, h := range from.Heirs(to, have) {
		if h.From.MTU != h.To.MTU && !resized[h.From.Key()] {
			smaller = append(smaller, fmt.Sprintf("%s (%d)", h.From.Name, h.From.MTU))
		}
		if h.From.MAC != h.To.MAC {
			masked = append(masked, h.From.Name)
		}
	}
	for _, c := range []struct {
		names []string
		text  string
	}{
		{smaller, fmt.Sprintf("the kernel gives an mtu of %d to links above it, too", to.MTU)},
		{masked, "the kernel gives its new MAC address to links above it, too"},
	} {
		if len(c.names) > 0 {
			slices.Sort(c.names)
			op.Effects = append(op.Effects, c.text+": "+strings.Join(c.names, ", "))
		}
	}
}

func annotate(op *diff.Op, have *resource.Set) {
	switch from := op.From.(type) {
	case resource.Link:
		annotateLink(op, from, have)
	case resource.Address:
		annotateAddress(op, from, have)
	case resource.Port:
		if op.Verb == diff.Update {
			op.Disruption = "the port leaves " + from.Master + " and joins anew"
		}
	}
	if p, ok := op.To.(resource.Port); ok && op.Verb == diff.Create {
		annotateJoin(op, p, have)
	}
}

func annotateLink(op *diff.Op, from resource.Link, have *resource.Set) {
	to, _ := op.To.(resource.Link)
	switch {
	case op.Verb == diff.Replace:
		op.Disruption = "no traffic from its removal until all on it is back"
		standing(op, from, have)
		return
	case op.Verb == diff.Delete:
		standing(op, from, have)
		return
	}
	if from.State == resource.Up && to.State == resource.Down {
		op.Disruption = "no traffic through it"
		op.Effects = append(op.Effects, "the kernel drops its routes, neighbours and IPv6 addresses")
	}
	if from.State != to.State {
		following(op, from, to.State, have)
	}
	if from.MTU >= leastIPv6MTU && to.MTU < leastIPv6MTU {
		op.Effects = append(op.Effects, fmt.Sprintf("below an mtu of %d the kernel drops all IPv6 of the link", leastIPv6MTU))
	}
	if to.MAC != from.MAC {
		op.Disruption = "neighbours must learn the new MAC address"
		op.Effects = append(op.Effects, "the kernel drops its permanent neighbours")
	}
	if to.Bridge.VLANFiltering != from.Bridge.VLANFiltering && from.Type == resource.Bridge {
		op.Effects = append(op.Effects, "frames are sorted by VLAN from now on, or no longer")
	}
}

// following tells which links the kernel takes up or down with a link.
func following(op *diff.Op, from resource.Link, to resource.Admin, have *resource.Set) {
	var names []string
	for _, l := range from.Following(to, have) {
		names = append(names, l.Name)
	}
	if len(names) > 0 {
		slices.Sort(names)
		op.Effects = append(op.Effects, fmt.Sprintf("the kernel takes its vlans %s with it: %s", to, strings.Join(names, ", ")))
	}
}

const leastIPv6MTU = 1280 // RFC 8200, section 5

// standing tells how much goes with a link.
func standing(op *diff.Op, from resource.Link, have *resource.Set) {
	counts := map[resource.Kind]int{}
	for _, k := range from.Disturbs(nil, have) {
		counts[k.Kind]++
	}
	text := ""
	for _, c := range []struct {
		kind      resource.Kind
		one, many string
	}{
		{resource.KindLink, "link", "links"}, {resource.KindPort, "port", "ports"},
		{resource.KindAddress, "address", "addresses"}, {resource.KindRoute, "route", "routes"},
		{resource.KindNeighbour, "neighbour", "neighbours"}, {resource.KindSysctl, "parameter", "parameters"},
	} {
		word := c.many
		switch counts[c.kind] {
		case 0:
			continue
		case 1:
			word = c.one
		}
		if text != "" {
			text += ", "
		}
		text += fmt.Sprintf("%d %s", counts[c.kind], word)
	}
	if text != "" {
		op.Effects = append(op.Effects, "with it go "+text)
	}
}

func annotateAddress(op *diff.Op, from resource.Address, have *resource.Set) {
	if op.Verb != diff.Delete && op.Verb != diff.Replace {
		return
	}
	if op.Verb == diff.Replace {
		op.Disruption = "connections of this address stall until it is back"
	}
	if n := len(from.Disturbs(nil, have)); n > 0 {
		op.Effects = append(op.Effects, fmt.Sprintf("the kernel drops %d that hang on this address: its secondaries, or routes from it", n))
	}
}

// annotateJoin tells what a bridge takes over from a new port.
func annotateJoin(op *diff.Op, p resource.Port, have *resource.Set) {
	o, _ := have.Get(resource.LinkKey(p.Link))
	if link, ok := o.Resource.(resource.Link); ok && link.State == resource.Up {
		op.Effects = append(op.Effects, "addresses on "+p.Link+" no longer receive: its frames go to "+p.Master)
	}
}
