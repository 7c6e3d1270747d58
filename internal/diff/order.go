package diff

import (
	"net/netip"
	"slices"

	"reconciler/internal/resource"
)

// The rules of order. A hard rule is a dependency: when the first fails, the
// second is blocked. A soft one is courtesy to the traffic.
//
//	requires   hard  a thing is made after what it requires
//	lets-go    hard  what was required goes after its users are gone or have let go
//	name       hard  a link is made after the link that had its name, or its peer's, is gone
//	reach      hard  a route comes after the address that makes its gateway reachable, or is its source
//	busy       hard  a link is a bridge's port or carries a macvlan: one goes before the other comes
//	returns    hard  what a side effect takes comes back after it (effects.go)
//	lets-first soft  what a side effect would take, but is to change anyway, changes before it (effects.go)
//	mtu        soft  MTU grows lower links first and shrinks upper links first
//	kinds      soft  sysctl, links, ports, addresses, neighbours, routes, rules, programs,
//	                 contents of maps, chains, versions, processes are made in this order; removals come after, in the opposite order: make before break
//
// Within a kind the order is: what waits for nothing of its kind first, then by
// key, so that a plan is the same each time and batches are large.

// rank is the place of an operation by verb and kind.
func rank(op *Op) int {
	if op.Verb == Delete {
		return 100 - makeRank(op)
	}
	if to, ok := op.To.(resource.Link); ok && op.Verb == Update {
		if from := op.From.(resource.Link); from.State == resource.Up && to.State == resource.Down {
			return 50 // after all that may move away from it
		}
	}
	return makeRank(op)
}

func makeRank(op *Op) int {
	switch op.Key.Kind {
	case resource.KindSysctl:
		if len(requires(op)) > 0 {
			return 3
		}
		return 1
	case resource.KindLink:
		return 2
	case resource.KindPort:
		return 4
	case resource.KindAddress:
		return 5
	case resource.KindNeighbour:
		return 6
	case resource.KindRoute:
		if hasGateway(op) {
			return 8 // a gateway is reached through a route without one
		}
		return 7
	case resource.KindRule:
		return 9
	case resource.KindProgram, resource.KindBackend:
		return 11
	case resource.KindMap, resource.KindVIP, resource.KindDrain:
		return 12
	case resource.KindChain:
		return 13
	case resource.KindRelease, resource.KindJournal:
		return 14
	case resource.KindCurrent:
		return 15
	case resource.KindDaemon:
		return 16
	case resource.KindSelf:
		return 17 // once all else is as it should be
	}
	return 10
}

func requires(op *Op) []resource.Key {
	if op.To != nil {
		return op.To.Requires()
	}
	return op.From.Requires()
}

func hasGateway(op *Op) bool {
	r, ok := op.To.(resource.Route)
	if !ok {
		r, ok = op.From.(resource.Route)
	}
	if !ok {
		return false
	}
	for _, h := range r.Hops {
		if h.Via.IsValid() {
			return true
		}
	}
	return false
}

// order sorts the operations of a comparison by the rules above.
func order(c *comparison) ([]Op, error) {
	c.orderRequired()
	c.orderNames()
	c.orderBusy()
	c.orderReach()
	c.orderUsers()
	c.orderMTU()
	return sorted(c)
}

// orderRequired is the rule requires.
func (c *comparison) orderRequired() {
	for _, op := range c.ops {
		if op.To == nil {
			continue
		}
		for _, k := range op.To.Requires() {
			made := c.byKey[k]
			switch {
			case made == nil:
			case made.Verb != Update:
				c.after(op, made, true)
			case opens(made, op) && !c.waits(made, op):
				c.after(op, made, false)
			}
		}
	}
}

// minIPv6MTU is the least MTU that IPv6 works on (RFC 8200, section 5), in bytes.
const minIPv6MTU = 1280

// opens reports that a change of a link may be what lets another operation
// succeed: it comes up, its MTU suffices for IPv6, or for a link above it.
func opens(made, op *Op) bool {
	from, ok := made.From.(resource.Link)
	if !ok {
		return true
	}
	to := made.To.(resource.Link)
	upper, stacked := op.To.(resource.Link)
	return to.State == resource.Up && from.State != resource.Up || to.MTU > from.MTU && (from.MTU < minIPv6MTU || stacked && upper.Below == to.Name)
}

// orderUsers is the rule lets-go. A user that becomes what comes only after
// the removal goes with it, and is made again.
func (c *comparison) orderUsers() {
	for _, op := range c.ops {
		if op.From == nil {
			continue
		}
		for _, k := range op.From.Requires() {
			if gone := c.gone[k]; gone != nil && !c.follows(op, gone) {
				c.after(gone, op, true)
			}
		}
	}
}

// follows reports that an operation comes after another by hard rules.
func (c *comparison) follows(op, first *Op) bool {
	seen := map[*Op]bool{op: true}
	for todo := []*Op{op}; len(todo) > 0; todo = todo[1:] {
		for _, e := range c.before[todo[0]] {
			if e.op == first {
				return true
			}
			if e.hard && !seen[e.op] {
				seen[e.op] = true
				todo = append(todo, e.op)
			}
		}
	}
	return false
}

// orderNames is the rule name.
func (c *comparison) orderNames() {
	for _, op := range c.ops {
		to, ok := op.To.(resource.Link)
		if !ok || op.Verb == Update {
			continue
		}
		if gone := c.gone[op.Key]; gone != nil {
			c.after(op, gone, true)
		}
		if to.Peer != "" && !to.Far {
			c.after(op, c.gone[resource.LinkKey(to.Peer)], true)
		}
	}
}

// orderBusy is the rule busy: the kernel has one receive handler a link.
func (c *comparison) orderBusy() {
	freed := c.freed()
	for _, op := range c.ops {
		from, ok := op.From.(resource.Link)
		if ok && from.Type == resource.MACVLAN && op.Verb != Update {
			if port := c.byKey[resource.PortKey(from.Below)]; port != nil && !c.follows(op, port) {
				c.after(port, op, true)
			}
		}
		if to, ok := op.To.(resource.Link); ok && to.Type == resource.MACVLAN && op.Verb != Update {
			c.after(op, freed[resource.PortKey(to.Below)], true)
		}
	}
}

// freed tells which operation ends the relation of a port to its bridge.
func (c *comparison) freed() map[resource.Key]*Op {
	out := map[resource.Key]*Op{}
	for _, op := range c.ops {
		if op.Verb == Delete && op.Key.Kind == resource.KindPort {
			out[op.Key] = op
		}
		for _, k := range op.Takes {
			if k.Kind == resource.KindPort {
				out[k] = op
			}
		}
	}
	return out
}

// waits reports that an operation comes right after another.
func (c *comparison) waits(op, first *Op) bool {
	return slices.ContainsFunc(c.before[op], func(e edge) bool { return e.op == first })
}

// subnet is where an address makes gateways reachable.
type subnet struct {
	link   string
	prefix netip.Prefix
}

// orderReach is the rule reach.
func (c *comparison) orderReach() {
	bySubnet, byAddr := map[subnet]*Op{}, map[netip.Addr]*Op{}
	lengths := map[string]map[int]bool{}
	for _, op := range c.ops {
		a, ok := op.To.(resource.Address)
		if !ok || op.Verb == Update {
			continue
		}
		byAddr[a.Prefix.Addr()] = op
		at := subnet{a.Link, a.Network()}
		if bySubnet[at] == nil {
			bySubnet[at] = op
		}
		if lengths[a.Link] == nil {
			lengths[a.Link] = map[int]bool{}
		}
		lengths[a.Link][a.Prefix.Bits()] = true
	}
	if len(byAddr) == 0 {
		return
	}
	for _, op := range c.ops {
		r, ok := op.To.(resource.Route)
		if !ok {
			continue
		}
		if r.PrefSrc.IsValid() {
			c.after(op, byAddr[r.PrefSrc], true)
		}
		for _, h := range r.Hops {
			for bits := range lengths[h.Dev] {
				if p, err := h.Via.Prefix(bits); err == nil {
					c.after(op, bySubnet[subnet{h.Dev, p}], true)
				}
			}
		}
	}
}

// orderMTU is the rule mtu.
func (c *comparison) orderMTU() {
	for _, op := range c.ops {
		upper, ok := op.To.(resource.Link)
		if !ok || upper.Below == "" || op.Verb != Update {
			continue
		}
		lower := c.byKey[resource.LinkKey(upper.Below)]
		if lower == nil {
			continue
		}
		if upper.MTU < op.From.(resource.Link).MTU && !c.bound(op, lower) && !goesUpAfter(upper, lower) {
			c.before[op] = without(c.before[op], lower)
			c.after(lower, op, false)
		}
	}
}

// goesUpAfter reports a link that the kernel refuses to take up before its lower
// one, which is down yet. The latter makes its MTU smaller, too.
func goesUpAfter(upper resource.Link, lower *Op) bool {
	from, ok := lower.From.(resource.Link)
	return ok && upper.Follows() && upper.State == resource.Up && from.State != resource.Up
}

// bound reports a hard rule between two operations.
func (c *comparison) bound(op, first *Op) bool {
	return slices.Contains(c.before[op], edge{first, true})
}

func without(edges []edge, op *Op) []edge {
	var out []edge
	for _, e := range edges {
		if e.op != op {
			out = append(out, e)
		}
	}
	return out
}
