package diff

import (
	"container/heap"
	"fmt"
	"net/netip"

	"reconciler/internal/resource"
)

// The rules of order. A hard rule is a dependency: when the first fails, the
// second is blocked. A soft one is courtesy to the traffic.
//
//	requires   hard  a thing is made after what it requires
//	lets-go    hard  what was required goes after its users are gone or have let go
//	name       hard  a link is made after the link that had its name, or its peer's, is gone
//	reach      hard  a route comes after the address that makes its gateway reachable, or is its source
//	returns    hard  what a side effect takes comes back after it (effects.go)
//	lets-first soft  what a side effect would take, but is to change anyway, changes before it (effects.go)
//	mtu        soft  MTU grows lower links first and shrinks upper links first
//	kinds      soft  sysctl, links, ports, addresses, neighbours, routes, rules are made in
//	                 this order; removals come after, in the opposite order: make before break
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
	c.orderReach()
	c.orderMTU()
	return sorted(c)
}

// orderRequired is the rules requires and lets-go.
func (c *comparison) orderRequired() {
	users := map[resource.Key][]*Op{}
	for _, op := range c.ops {
		if op.To != nil {
			for _, k := range op.To.Requires() {
				if made := c.byKey[k]; made != nil && made.Verb != Update {
					c.after(op, made, true)
				} else {
					c.after(op, made, false)
				}
			}
		}
		if op.From != nil {
			for _, k := range op.From.Requires() {
				users[k] = append(users[k], op)
			}
		}
	}
	for k, ops := range users {
		gone := c.gone[k]
		for _, user := range ops {
			if gone != nil && !c.waits(user, gone) {
				c.after(gone, user, true)
			}
		}
	}
}

// waits reports that an operation comes after another by a rule already.
func (c *comparison) waits(op, first *Op) bool {
	for _, e := range c.before[op] {
		if e.op == first {
			return true
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
		at := subnet{a.Link, a.Prefix.Masked()}
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
		if upper.MTU < op.From.(resource.Link).MTU {
			c.before[op] = without(c.before[op], lower)
			c.after(lower, op, false)
		}
	}
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

// node is an operation on its way into the plan.
type node struct {
	op      *Op
	rank    int
	depth   int // the longest chain of operations of its rank before it
	waiting int
	next    []*node
	at      int // its index in the plan
}

func (n *node) less(o *node) bool {
	if n.rank != o.rank {
		return n.rank < o.rank
	}
	if n.depth != o.depth {
		return n.depth < o.depth
	}
	if c := n.op.Key.Compare(o.op.Key); c != 0 {
		return c < 0
	}
	return n.op.Verb == Delete && o.op.Verb != Delete
}

type nodes []*node

func (h nodes) Len() int           { return len(h) }
func (h nodes) Less(i, j int) bool { return h[i].less(h[j]) }
func (h nodes) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *nodes) Push(x any)        { *h = append(*h, x.(*node)) }
func (h *nodes) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

// sorted is a topological sort that prefers rank, depth and key.
func sorted(c *comparison) ([]Op, error) {
	all := make(map[*Op]*node, len(c.ops))
	for _, op := range c.ops {
		all[op] = &node{op: op, rank: rank(op)}
	}
	for op, edges := range c.before {
		n := all[op]
		for _, e := range edges {
			first := all[e.op]
			if n == nil || first == nil {
				return nil, fmt.Errorf("order plan: %s is bound to an operation that is not in it", op.Key)
			}
			n.waiting++
			first.next = append(first.next, n)
		}
	}
	ready := make(nodes, 0, len(c.ops))
	for _, op := range c.ops {
		if n := all[op]; n.waiting == 0 {
			ready = append(ready, n)
		}
	}
	heap.Init(&ready)
	out := make([]Op, 0, len(c.ops))
	for ready.Len() > 0 {
		n := heap.Pop(&ready).(*node)
		n.at = len(out)
		op := *n.op
		for _, e := range c.before[n.op] {
			if e.hard {
				op.After = insert(op.After, all[e.op].at)
			}
		}
		out = append(out, op)
		for _, next := range n.next {
			if next.waiting--; next.rank == n.rank {
				next.depth = max(next.depth, n.depth+1)
			}
			if next.waiting == 0 {
				heap.Push(&ready, next)
			}
		}
	}
	if len(out) < len(c.ops) {
		return nil, cycle(all)
	}
	return out, nil
}

// insert keeps a short list sorted, each index once.
func insert(list []int, at int) []int {
	for i, v := range list {
		if v == at {
			return list
		}
		if v > at {
			return append(list[:i], append([]int{at}, list[i:]...)...)
		}
	}
	return append(list, at)
}

func cycle(all map[*Op]*node) error {
	var first *node
	for _, n := range all {
		if n.waiting > 0 && (first == nil || n.less(first)) {
			first = n
		}
	}
	return fmt.Errorf("order plan: %s %s waits for itself", first.op.Verb, first.op.Key)
}
