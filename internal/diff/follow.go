package diff

import "reconciler/internal/resource"

// ground wants those links down that the kernel takes down with their lower
// one, and tells why: it refuses to take them up again.
func (c *comparison) ground() {
	c.want = c.declared
	c.declared.Each(func(k resource.Key, o resource.Object) bool {
		l, ok := o.Resource.(resource.Link)
		if !ok || l.State != resource.Up {
			return true
		}
		if below := c.groundedBy(l); below != "" {
			if c.want == c.declared {
				c.want = c.declared.Clone()
			}
			l.State = resource.Down
			o.Resource = l
			c.want.Put(o)
			c.note(Absent, o, "interface "+below+" is to be down, and the kernel takes a vlan above it down, too")
		}
		return true
	})
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
