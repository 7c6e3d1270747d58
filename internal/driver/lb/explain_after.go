package lb

import (
	"maps"
	"slices"
	"time"

	"reconciler/internal/clock"
	"reconciler/internal/diff"
	"reconciler/internal/driver"
	"reconciler/internal/driver/lb/plane"
	"reconciler/internal/maglev"
	"reconciler/internal/resource"
)

// prospect is what operations will have made of the tables.
type prospect struct {
	*explaining
	ops  map[resource.Key]diff.Op
	size uint32 // of rings
}

// after is where a flow goes once operations are done; is where it goes now.
func (e *explaining) after(k plane.Packet, ops []diff.Op, is driver.Way) (driver.Way, error) {
	p := prospect{explaining: e, ops: map[resource.Key]diff.Op{}}
	for _, op := range ops {
		if op.Key.Driver == resource.LBDriver {
			p.ops[op.Key] = op
		}
	}
	if e.v != nil {
		p.size = e.v.Capacity().RingSize
	}
	switch b := p.ops[resource.BalancerKey()]; to := b.To.(type) {
	case resource.Balancer:
		p.size = to.RingSize
	default:
		if b.Verb == diff.Delete || e.v == nil {
			return nowhere(driver.NotVIP), nil
		}
	}
	name, why := p.claimant(k)
	if name == "" {
		return nowhere(why), nil
	}
	if is.VIP == name && !p.touches(name) {
		return is, nil
	}
	return p.way(name, k)
}

// touches reports that the ring of a VIP, or what keeps flows, will be another.
func (p prospect) touches(name string) bool {
	_, vip := p.ops[resource.VIPNamed(name)]
	_, drain := p.ops[resource.Drain{VIP: name}.Key()]
	return vip || drain || p.resized()
}

func (p prospect) resized() bool { return p.v == nil || p.size != p.v.Capacity().RingSize }

// claimant is the VIP that a packet will be for, or why there is none.
func (p prospect) claimant(k plane.Packet) (name string, why driver.Why) {
	why = driver.NotVIP
	best := 0
	for vip, claims := range p.claims() {
		for _, c := range claims {
			if c.Address != k.Dst.Addr() {
				continue
			}
			if name == "" {
				why = driver.NotClaimed
			}
			if r := rank(c, k); r > best {
				name, why, best = vip, "", r
			}
		}
	}
	return name, why
}

// rank is how specific a claim on a packet is; 0 for none.
func rank(c plane.Claim, k plane.Packet) int {
	switch {
	case c.Protocol == 0:
		return 1
	case c.Protocol != k.Protocol:
		return 0
	case c.Port == 0:
		return 2
	case c.Port == k.Dst.Port():
		return 3
	}
	return 0
}

// claims are those of all VIPs, by their names.
func (p prospect) claims() map[string][]plane.Claim {
	out := map[string][]plane.Claim{}
	if p.v != nil {
		for _, c := range p.v.claims {
			if int(c.Service) < len(p.v.services) {
				name := p.v.services[c.Service].Name
				out[name] = append(out[name], c)
			}
		}
	}
	for k, op := range p.ops {
		if k.Kind != resource.KindVIP {
			continue
		}
		delete(out, k.Name)
		if to, ok := op.To.(resource.VIP); ok {
			out[k.Name] = claimsOf(to, 0)
		}
	}
	return out
}

// way is where the flow goes of a VIP that changes.
func (p prospect) way(name string, k plane.Packet) (w driver.Way, err error) {
	c := &change{d: p.d, ctx: p.ctx, v: p.named()}
	s := plane.Service{Ring: plane.NoRing, Previous: plane.NoRing}
	if c.v != nil {
		c.pool = newPool(c.v)
		if err := p.nameBackends(c); err != nil {
			return w, err
		}
		if i, ok := c.v.vips[name]; ok {
			s = c.v.services[i]
		}
	}
	n, err := p.slot(c, name, s, k)
	if err != nil {
		return w, err
	}
	w = driver.Way{VIP: name, Slot: n.at, Moved: n.Moved, Sticky: n.sticky}
	idle, clock := p.idle(), clock.Monotonic()
	w.New, w.Known, err = both(k, func(k plane.Packet) (driver.Choice, error) {
		var known *plane.Flow
		if n.Asks(k) && n.remembers {
			if known, err = p.v.Known(p.v.vips[name], k); err != nil {
				return driver.Choice{}, err
			}
			if known != nil && n.cut(known.Backend) {
				known = nil
			}
		}
		owner, why := n.Choose(k, known, idle, clock)
		return p.chosen(n, owner, why), nil
	})
	return w, err
}

// named is the view with names that can be added to.
func (p prospect) named() *view {
	if p.v == nil {
		return nil
	}
	v := *p.v
	v.names, v.backends, v.indexes = slices.Clone(v.names), slices.Clone(v.backends), maps.Clone(v.indexes)
	return &v
}

// nameBackends gives indexes to the backends that are made.
func (p prospect) nameBackends(c *change) error {
	for _, k := range slices.SortedFunc(maps.Keys(p.ops), resource.Key.Compare) {
		if _, known := c.v.indexes[k.Name]; known || k.Kind != resource.KindBackend || p.ops[k].To == nil {
			continue
		}
		i, err := c.freeIndex()
		if err != nil {
			return err
		}
		c.v.names[i], c.v.indexes[k.Name], c.v.byName = k.Name, i, nil
	}
	return nil
}

// nextSlot is a slot of a VIP's ring as it will be.
type nextSlot struct {
	plane.Slot
	at        uint32
	sticky    bool
	names     func(uint16) string
	remembers bool // flows that are known stay known
	cut       func(backend uint16) bool
}

func (p prospect) slot(c *change, name string, s plane.Service, k plane.Packet) (nextSlot, error) {
	op := p.ops[resource.VIPNamed(name)]
	to, changes := op.To.(resource.VIP)
	sticky := s.Sticky
	if changes {
		sticky = to.Sticky
	}
	n := nextSlot{at: plane.SlotOf(k, sticky, p.size), sticky: sticky, cut: func(uint16) bool { return false }}
	before := s
	if sticky != s.Sticky {
		before = plane.Service{Ring: plane.NoRing, Previous: plane.NoRing}
	}
	if p.resized() {
		return n, p.fresh(&n, c, before, to)
	}
	n.names = func(i uint16) string { return c.v.names[i] }
	n.Slot, n.remembers = c.v.Slot(before, n.at), before.Open()
	ends := p.ops[resource.Drain{VIP: name}.Key()].Verb == diff.Delete
	if changes {
		moved, err := n.turn(c, before, to)
		if err != nil {
			return n, err
		}
		ends = ends && !moved
	}
	if ends {
		n.Moved, n.Former = false, plane.Nobody
	}
	return n, nil
}

// turn turns the ring. It reports that flows stay.
func (n *nextSlot) turn(c *change, before plane.Service, to resource.VIP) (moved bool, err error) {
	flushed := flushedBy(to)
	open := c.goesOn(before)
	h, _, t, err := c.turnOf(turning{
		recipe: recipeOf(c.v.Capacity().RingSize, to.Shares), now: before.Ring, was: before.Previous, open: open, damaged: true,
	}, to.Shares, flushed)
	if err != nil {
		return false, err
	}
	is := t.now.slots[n.at]
	n.Slot = plane.Slot{Owner: is & owner, Moved: is&plane.Moved != 0, Former: plane.Nobody, Opened: before.Opened}
	switch {
	case t.was.slots != nil:
		n.Former = t.was.slots[n.at] & owner
	case h.open():
		n.Former = h.was.slots[n.at] & owner
	case t.moved:
		n.Former = h.now.slots[n.at] & owner
	}
	if t.moved {
		n.Opened = clock.Monotonic()
	}
	n.remembers = open
	n.cut = func(b uint16) bool { return slices.Contains(flushed, n.names(b)) }
	return t.stays, nil
}

// fresh is the slot of rings that are made anew, of another size.
func (p prospect) fresh(n *nextSlot, c *change, before plane.Service, to resource.VIP) error {
	var held []resource.Share
	if c.v != nil && c.v.has(before.Ring) {
		held, _ = c.v.sharesOf(c.v.ring(before.Ring))
	}
	if to.Name == "" {
		to.Shares = held
	}
	was, err := p.owner(held, n.at)
	if err != nil {
		return err
	}
	is, err := p.owner(to.Shares, n.at)
	if err != nil {
		return err
	}
	n.Slot = plane.Slot{Owner: 0, Former: plane.Nobody}
	if is == "" {
		n.Owner = plane.Nobody
	}
	if was != "" && was != is && !slices.Contains(flushedBy(to), was) {
		n.Moved, n.Former, n.Opened = true, 1, clock.Monotonic()
	}
	n.names = func(i uint16) string { return []string{is, was}[i] }
	return nil
}

// owner is who has a slot of the ring of shares; empty for nobody.
func (p prospect) owner(shares []resource.Share, at uint32) (string, error) {
	built, err := p.d.builder.build(recipeOf(p.size, shares), shares)
	if err != nil || built[at] == maglev.None {
		return "", err
	}
	return shares[built[at]].Backend, nil
}

// chosen is a choice. How a backend will be reached that is new, or changes,
// its record tells then.
func (p prospect) chosen(n nextSlot, backend uint16, why plane.Why) driver.Choice {
	if backend == plane.Nobody {
		return driver.Choice{Why: driver.NoBackend}
	}
	name := n.names(backend)
	c := driver.Choice{Backend: name, Why: reasons[why]}
	_, changes := p.ops[resource.BackendNamed(name)]
	if p.v != nil && !changes {
		i, ok := p.v.indexes[name]
		is, err := p.v.Backend(i)
		c.Unreachable = !ok || err != nil || !is.Valid
	}
	return c
}

// idle is after which time a flow without an end is over.
func (p prospect) idle() (idle time.Duration) {
	if to, ok := p.ops[resource.BalancerKey()].To.(resource.Balancer); ok {
		return to.UDPIdle
	}
	return p.v.Settings().UDPIdle
}
