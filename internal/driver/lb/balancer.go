package lb

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
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
	if op.Verb == diff.Replace || err == nil && p == nil {
		return c.d.replace(to)
	}
	if err != nil {
		return fmt.Errorf("open the tables: %w", err)
	}
	c.rewrite = true
	if err := p.SetSettings(settingsOf(to)); err != nil || len(damage) == 0 {
		return err
	}
	dir := c.d.tables.dir
	return errors.Join(c.d.pinAgain(), enforce(dir), c.d.removeTables(dir))
}

// prepareTables makes tables that are not there: a program that is prepared
// looks for them.
func (d *Driver) prepareTables(c resource.Capacities) error {
	if err := d.root.Ready(); err != nil {
		return err
	}
	dir := d.dir(c)
	p, err := plane.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		if err := bpffs.RemoveTree(dir); err != nil {
			return err
		}
		p, err = plane.Create(dir, capacityOf(c))
	}
	if err != nil {
		return err
	}
	return p.Close()
}

// pinAgain pins what others unpinned, as long as it is open here.
func (d *Driver) pinAgain() error {
	now, err := pinsIn(d.tables.dir)
	if err != nil {
		return err
	}
	for _, p := range d.tables.pins {
		if slices.ContainsFunc(now, func(n pin) bool { return n.name == p.name }) {
			continue
		}
		if err := d.tables.Repin(d.tables.dir, p.name); err != nil {
			return err
		}
	}
	return nil
}

// removeBalancer removes all that is ours.
func (c *change) removeBalancer(diff.Op) error {
	within := filepath.Join(c.d.root.Dir(), shared)
	return errors.Join(c.d.release(c.ctx, nil), c.d.removeTables(""), bpffs.RemoveEmpty(within), c.d.root.Tidy())
}

// replace puts tables in force that Prepare made, with what is in the ones
// before. The program goes on with those until it is loaded anew: what flows it
// remembers meanwhile is not copied.
func (d *Driver) replace(to resource.Balancer) error {
	old, _, err := d.open()
	var abi *plane.ABIError
	if err != nil && !errors.As(err, &abi) {
		return fmt.Errorf("open the tables: %w", err)
	}
	if err := d.prepareTables(to.Capacities); err != nil {
		return err
	}
	dir := d.dir(to.Capacities)
	next, err := plane.Open(dir)
	if err != nil {
		return err
	}
	defer next.Close()
	if err := next.SetSettings(settingsOf(to)); err != nil {
		return err
	}
	if old != nil && d.tables.dir != dir {
		if err := d.copyTables(old, next); err != nil {
			return fmt.Errorf("copy the tables: %w", err)
		}
	}
	return errors.Join(enforce(dir), d.removeTables(dir))
}
