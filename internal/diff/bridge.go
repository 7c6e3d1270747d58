package diff

import "reconciler/internal/resource"

// bridgeEffects plans for what a bridge does when its ports change: it takes
// another MAC address, with which its neighbours go, permanent ones too, and
// its MTU becomes the least of its ports' until somebody has set it.
func (c *comparison) bridgeEffects() {
	for _, op := range c.ops {
		if from, ok := op.From.(resource.Port); ok {
			c.returnNeighbours(op, from.Master)
		}
		for _, k := range op.Takes {
			if o, ok := c.have.Objects.Get(k); ok && k.Kind == resource.KindPort {
				c.returnNeighbours(op, o.Resource.(resource.Port).Master)
			}
		}
		if to, ok := op.To.(resource.Port); ok {
			c.returnNeighbours(op, to.Master)
			c.holdMTU(op, to.Master)
		}
	}
}

// returnNeighbours makes the wanted neighbours of a bridge after a change of
// its ports.
func (c *comparison) returnNeighbours(op *Op, bridge string) {
	for k, w := range c.want.On(bridge) {
		if k.Kind != resource.KindNeighbour || c.held[k] != "" {
			continue
		}
		back := c.byKey[k]
		if back == nil {
			back = c.add(&Op{Verb: Create, Key: k, To: w.Resource, Origin: w.Origin, Restores: true, Owner: resource.Ours, Reason: "may go with " + op.Key.String()})
		}
		c.after(back, op, false)
	}
}

// holdMTU sets a declared MTU again after a port has come.
func (c *comparison) holdMTU(op *Op, bridge string) {
	key := resource.LinkKey(bridge)
	w, _ := c.want.Get(key)
	to, ok := w.Resource.(resource.Link)
	if !ok || to.MTU == 0 || to.Kept.MTU {
		return
	}
	h, there := c.have.Objects.Get(key)
	set := c.byKey[key]
	switch {
	case !there || set != nil && set.Verb != Update:
		return // made with this MTU, which holds
	case set == nil:
		set = c.add(&Op{Verb: Update, Key: key, To: to, From: h.Resource, Owner: h.Owner, Origin: w.Origin, Restores: true, Reason: "goes by its ports with " + op.Key.String()})
	}
	from := set.From.(resource.Link)
	from.MTU = 0 // not to be relied on
	set.From = from
	c.after(set, op, false)
}
