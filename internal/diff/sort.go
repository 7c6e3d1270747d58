package diff

import (
	"container/heap"
	"fmt"
	"slices"
	"strings"
)

// node is an operation on its way into the plan.
type node struct {
	op    *Op
	rank  int
	place int // among all, by key
	depth int // the longest chain of operations of its rank before it
	hard  int // hard rules it still waits for
	soft  int // soft rules it still waits for
	next  []follower
	at    int // its index in the plan; -1 before it is there
}

type follower struct {
	node *node
	hard bool
}

func (n *node) less(o *node) bool {
	if n.rank != o.rank {
		return n.rank < o.rank
	}
	if n.depth != o.depth {
		return n.depth < o.depth
	}
	return n.place < o.place
}

// byKey orders operations by key, and a removal before what takes its place.
func byKey(a, b *Op) int {
	if c := a.Key.Compare(b.Key); c != 0 || a.Verb == b.Verb {
		return c
	}
	if a.Verb == Delete {
		return -1
	}
	return 1
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

// sorted is a topological sort that prefers rank, depth and key. Where soft
// rules contradict the hard ones they give way.
func sorted(c *comparison) ([]Op, error) {
	s := &sorter{c: c, all: make(map[*Op]*node, len(c.ops)), out: make([]Op, 0, len(c.ops))}
	// Keys are compared here once: of 100,000 operations each is compared with
	// seventeen others on its way through the heap.
	ops := slices.SortedStableFunc(slices.Values(c.ops), byKey)
	for i, op := range ops {
		s.all[op] = &node{op: op, rank: rank(op), place: i, at: -1}
	}
	if err := s.connect(); err != nil {
		return nil, err
	}
	for _, op := range ops {
		if n := s.all[op]; n.hard+n.soft == 0 {
			s.ready = append(s.ready, n)
		}
	}
	heap.Init(&s.ready)
	for len(s.out) < len(c.ops) {
		if s.ready.Len() == 0 && !s.yield() {
			return nil, s.cycle()
		}
		s.place(heap.Pop(&s.ready).(*node))
	}
	return s.out, nil
}

type sorter struct {
	c     *comparison
	all   map[*Op]*node
	ready nodes
	out   []Op
}

func (s *sorter) connect() error {
	for op, edges := range s.c.before {
		n := s.all[op]
		for _, e := range edges {
			first := s.all[e.op]
			if n == nil || first == nil {
				return fmt.Errorf("order plan: %s is bound to an operation that is not in it", op.Key)
			}
			first.next = append(first.next, follower{n, e.hard})
			if e.hard {
				n.hard++
			} else {
				n.soft++
			}
		}
	}
	return nil
}

// place puts a node into the plan and frees those that waited for it.
func (s *sorter) place(n *node) {
	n.at = len(s.out)
	op := *n.op
	for _, e := range s.c.before[n.op] {
		if e.hard {
			op.After = insert(op.After, s.all[e.op].at)
		}
	}
	s.out = append(s.out, op)
	for _, f := range n.next {
		if f.hard {
			f.node.hard--
		} else {
			f.node.soft--
		}
		if f.node.rank == n.rank {
			f.node.depth = max(f.node.depth, n.depth+1)
		}
		if f.node.at < 0 && f.node.hard+f.node.soft == 0 {
			heap.Push(&s.ready, f.node)
		}
	}
}

// yield frees the first node that waits for soft rules only.
func (s *sorter) yield() bool {
	var first *node
	for _, n := range s.all {
		if n.at < 0 && n.hard == 0 && (first == nil || n.less(first)) {
			first = n
		}
	}
	if first == nil {
		return false
	}
	first.soft = 0
	s.ready = append(s.ready, first)
	return true
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

// cycle names operations that wait for each other: a defect of the rules.
func (s *sorter) cycle() error {
	var at *Op
	for _, op := range s.c.ops {
		if s.all[op].at < 0 {
			at = op
			break
		}
	}
	var path []string
	for seen := map[*Op]bool{}; !seen[at]; {
		seen[at] = true
		path = append(path, at.Verb.String()+" "+at.Key.String())
		for _, e := range s.c.before[at] {
			if e.hard && s.all[e.op].at < 0 {
				at = e.op
				break
			}
		}
	}
	return fmt.Errorf("order plan: operations wait for each other: %s", strings.Join(path, " after "))
}
