package diff

import "reconciler/internal/resource"

// bridgeEffects plans for what a bridge does when its ports change: it takes
// another MAC address, with which its neighbours go, permanent ones too, and
// its MTU becomes the least of its ports' unless somebody has set it, which
// cannot be seen.
func (c *comparison) bridgeEffects() {
	for _, op := range c.ops {
		for bridge := range c.bridgesOf(op) {
			c.returnNeighbours(op, bridge)
			c.holdMTU(op, bridge)
		}
	}
}

// bridgesOf are the bridges whose ports an operation changes.
func (c *comparison) bridgesOf(op *Op) map[string]bool {
	out := map[string]bool{}
	collect := func(r resource.Resource) {
		if p, ok := r.(resource.Port); ok {
			out[p.Master] = true
		}
	}
	collect(op.From)
	collect(op.To)
	keys := op.Takes
	if to, ok := op.To.(resource.Link); ok && op.Verb == Update && passes(op.From.(resource.Link), to) {
		keys = append(keys[:len(keys):len(keys)], resource.PortKey(to.Name))
	}
	if from, ok := op.From.(resource.Link); ok && takes(op) > 0 { // also of ports that come back, of another bridge
		keys = append(keys[:len(keys):len(keys)], from.Disturbs(op.To, c.have.Objects)...)
	}
	for _, k := range keys {
		if h, ok := c.have.Objects.Get(k); ok {
			collect(h.Resource)
		}
	}
	return out
}

// passes reports a change of a port that its bridge may take over.
func passes(from, to resource.Link) bool { return from.MTU != to.MTU || from.MAC != to.MAC }

// returnNeighbours makes the wanted neighbours of a bridge after a change of
// its ports.
func (c *comparison) returnNeighbours(op *Op, bridge string) {
	for k, w := range c.want.On(bridge) {
		if k.Kind != resource.KindNeighbour || c.isHeld(k) {
			continue
		}
		back := c.byKey[k]
		if back == nil {
			back = c.add(&Op{Verb: Create, Key: k, To: w.Resource, Origin: w.Origin, Restores: true, Owner: resource.Ours, Reason: "may go with " + subject(op.Key)})
		}
		c.after(back, op, false)
	}
}

// holdMTU sets the declared MTU of a link again after an operation that may
// have made it smaller, and then of those above it.
func (c *comparison) holdMTU(op *Op, link string) {
	key := resource.LinkKey(link)
	w, _ := c.want.Get(key)
	to, ok := w.Resource.(resource.Link)
	if !ok || to.MTU == 0 || to.Kept.MTU || c.isHeld(key) {
		return
	}
	h, there := c.have.Objects.Get(key)
	was, _ := h.Resource.(resource.Link)
	if change := c.byKey[key]; !there || change != nil && (change.Verb != Update || was.MTU != to.MTU) {
		return // made or given this MTU by the plan, which holds
	}
	set := c.holding[key]
	if set == nil {
		was.MTU = 0 // not to be relied on
		set = &Op{Verb: Update, Key: key, To: to, From: was, Owner: h.Owner, Origin: w.Origin, Restores: true, Reason: "may go with " + subject(op.Key)}
		// Not in byKey: nothing waits for it.
		c.ops, c.holding[key] = append(c.ops, set), set
	}
	c.after(set, op, false)
	for _, above := range c.want.On(link) {
		if l, ok := above.Resource.(resource.Link); ok && l.LimitedBelow() {
			c.holdMTU(set, l.Name)
		}
	}
}
