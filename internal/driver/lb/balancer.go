package lb

import (
	"errors"
	"fmt"
	"slices"

	"reconciler/internal/diff"
	"reconciler/internal/driver/bpffs"
	"reconciler/internal/driver/lb/plane"
	"reconciler/internal/resource"
)

// balancer reads what all VIPs share.
func (l *reading) balancer(damage []string) resource.Balancer {
	s := l.Settings()
	if l.ghosts > 0 {
		damage = append(damage, fmt.Sprintf("%d entries of the VIP table lead to no VIP", l.ghosts))
	}
	return resource.Balancer{
		Capacities: capacitiesOf(l.Capacity()), Source4: s.Source4, Source6: s.Source6, UDPIdle: s.UDPIdle, Damage: damage,
	}
}

func capacitiesOf(c plane.Capacity) resource.Capacities {
	return resource.Capacities{RingSize: c.RingSize, VIPs: c.Addresses, Backends: c.Backends, Rings: c.Rings, Flows: c.Flows}
}

// capacityOf is what tables are made for: an address may have a VIP of its own,
// so there are as many services.
func capacityOf(c resource.Capacities) plane.Capacity {
	return plane.Capacity{
		RingSize: c.RingSize, Addresses: c.VIPs, Services: min(c.VIPs, plane.MaxServices), Backends: c.Backends, Rings: c.Rings, Flows: c.Flows,
	}
}

func settingsOf(b resource.Balancer) plane.Settings {
	return plane.Settings{Source4: b.Source4, Source6: b.Source6, UDPIdle: b.UDPIdle}
}

// putBalancer makes the tables, or changes what all VIPs share.
func (c *change) putBalancer(op diff.Op) error {
	to := op.To.(resource.Balancer)
	p, damage, err := c.d.open()
	switch {
	case op.Verb == diff.Replace:
		return c.d.replace(to)
	case err != nil:
		return fmt.Errorf("open the tables: %w", err)
	case p == nil:
		return c.d.create(to)
	}
	c.rewrite = true
	if err := p.SetSettings(settingsOf(to)); err != nil || len(damage) == 0 {
		return err
	}
	return c.d.pinAgain()
}

func (d *Driver) create(to resource.Balancer) error {
	if err := d.root.Ready(); err != nil {
		return err
	}
	p, err := plane.Create(d.Dir(), capacityOf(to.Capacities))
	if err != nil {
		return err
	}
	return errors.Join(p.SetSettings(settingsOf(to)), p.Close())
}

// pinAgain pins what others unpinned, as long as it is open here.
func (d *Driver) pinAgain() error {
	now, err := pinsIn(d.Dir())
	if err != nil {
		return err
	}
	for _, p := range d.tables.pins {
		if slices.ContainsFunc(now, func(n pin) bool { return n.name == p.name }) {
			continue
		}
		if err := d.tables.Map(p.name).Pin(plane.PinPath(d.Dir(), p.name)); err != nil {
			return fmt.Errorf("pin map %s again: %w", p.name, err)
		}
	}
	return d.tables.close()
}

// removeBalancer removes all that is ours.
func (c *change) removeBalancer(diff.Op) error {
	return errors.Join(c.d.release(c.ctx, nil), c.d.tables.close(), plane.Remove(c.d.Dir()), plane.Remove(c.d.spare()), c.d.root.Tidy())
}

// spare is where tables stand before they take the place of others.
func (d *Driver) spare() string { return d.Dir() + "-next" }

// replace makes tables of other capacities, with what is in the old ones, and
// swaps the two in one step. The program goes on with the old ones until it is
// loaded anew: what flows it remembers meanwhile is not copied.
func (d *Driver) replace(to resource.Balancer) error {
	if err := plane.Remove(d.spare()); err != nil {
		return err
	}
	next, err := plane.Create(d.spare(), capacityOf(to.Capacities))
	if err != nil {
		return err
	}
	defer next.Close()
	if err := next.SetSettings(settingsOf(to)); err != nil {
		return err
	}
	old, _, err := d.open()
	var abi *plane.ABIError
	if err != nil && !errors.As(err, &abi) {
		return fmt.Errorf("open the tables: %w", err)
	}
	if old != nil {
		if err := d.copyTables(old, next); err != nil {
			return errors.Join(fmt.Errorf("copy the tables: %w", err), plane.Remove(d.spare()))
		}
	}
	if err := bpffs.Exchange(d.spare(), d.Dir()); err != nil {
		return err
	}
	return errors.Join(d.tables.close(), plane.Remove(d.spare()))
}
