package diff

import (
	"fmt"

	"reconciler/internal/resource"
)

// ground wants of links only what the kernel lets them have above their lower
// ones, and tells why.
func (c *comparison) ground() {
	c.want = c.declared
	c.declared.Each(func(_ resource.Key, o resource.Object) bool {
		l, ok := o.Resource.(resource.Link)
		if !ok || l.Below == "" {
			return true
		}
		state, mtu := c.lawfulState(o, l), c.lawfulMTU(o, l)
		if state == l.State && mtu == l.MTU {
			return true
		}
		if c.want == c.declared {
			c.want = c.declared.Clone()
		}
		l.State, l.MTU = state, mtu
		o.Resource = l
		c.want.Put(o)
		return true
	})
}

// lawfulState is down for a link that the kernel takes down with its lower one:
// it refuses to take it up again.
func (c *comparison) lawfulState(o resource.Object, l resource.Link) resource.Admin {
	if l.State != resource.Up {
		return l.State
	}
	below := c.groundedBy(l)
	if below == "" {
		return l.State
	}
	c.note(Absent, o, "interface "+below+" is to be down, and the kernel takes a vlan above it down, too")
	return resource.Down
}

// lawfulMTU is no larger than that of any link below: the kernel makes it
// smaller with them, and refuses more.
func (c *comparison) lawfulMTU(o resource.Object, l resource.Link) uint32 {
	mtu := l.MTU
	for at := l; at.LimitedBelow(); {
		at = c.linkOf(at.Below)
		if at.MTU == 0 || at.MTU >= mtu {
			continue
		}
		mtu = at.MTU
		if !l.Kept.MTU {
			c.note(Conflict, o, fmt.Sprintf("interface %s is to have an mtu of %d, and the kernel allows no more above it", at.Name, at.MTU))
		}
	}
	return mtu
}

// groundedBy is the lower link, however far below, for which a link must be
// down.
func (c *comparison) groundedBy(l resource.Link) string {
	for l.Follows() {
		if c.stateOf(l.Below) == resource.Down {
			return l.Below
		}
		l = c.linkOf(l.Below)
	}
	return ""
}

// sink takes those links down again that the kernel takes up with their lower
// one and that are wanted down.
func (c *comparison) sink() {
	for _, op := range c.ops {
		from, ok := op.From.(resource.Link)
		to, isLink := op.To.(resource.Link)
		if !ok || !isLink || op.Verb != Update || from.State != resource.Down || to.State != resource.Up {
			continue
		}
		for _, upper := range from.Following(resource.Up, c.have.Objects) {
			c.sinkOne(op, upper)
		}
	}
}

func (c *comparison) sinkOne(up *Op, l resource.Link) {
	w, wanted := c.want.Get(l.Key())
	to, ok := w.Resource.(resource.Link)
	if !wanted || !ok || to.State != resource.Down || c.isHeld(l.Key()) {
		return
	}
	down := c.byKey[l.Key()]
	if down == nil {
		h, _ := c.have.Objects.Get(l.Key())
		down = c.add(&Op{Verb: Update, Key: l.Key(), To: to, Owner: h.Owner, Origin: w.Origin, Restores: true, Reason: "comes up with " + up.Key.Name})
	}
	if down.Verb == Update {
		l.State = resource.Up
		down.From, down.Fields = l, resource.Changes(l, to)
		c.after(down, up, true)
	}
}

// remask gives those links their own MAC address again that take over the new
// one of their lower link.
func (c *comparison) remask() {
	for _, op := range c.ops {
		from, ok := op.From.(resource.Link)
		to, isLink := op.To.(resource.Link)
		if !ok || !isLink || op.Verb != Update {
			continue
		}
		for _, h := range from.Heirs(to, c.have.Objects) {
			if h.From.MAC != h.To.MAC {
				c.remaskOne(op, h)
			}
		}
	}
}

func (c *comparison) remaskOne(lower *Op, h resource.Heir) {
	w, wanted := c.want.Get(h.From.Key())
	to, ok := w.Resource.(resource.Link)
	if !wanted || !ok || to.Kept.MAC || to.MAC == h.To.MAC || c.isHeld(h.From.Key()) {
		return
	}
	op := c.byKey[h.From.Key()]
	if op == nil {
		had, _ := c.have.Objects.Get(h.From.Key())
		op = c.add(&Op{Verb: Update, Key: h.From.Key(), From: h.From, To: to, Owner: had.Owner, Origin: w.Origin, Restores: true, Reason: "taken from " + lower.Key.Name})
	}
	if op.Verb == Update {
		was := op.From.(resource.Link)
		was.MAC = h.To.MAC
		op.From, op.Fields = was, resource.Changes(was, op.To)
		c.after(op, lower, true)
	}
}
