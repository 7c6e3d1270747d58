package lb

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"reconciler/internal/driver/lb/plane"
	"reconciler/internal/maglev"
	"reconciler/internal/resource"
)

// ahead is what a plan has asked for so far beside what there is, so that what
// there is no room for is refused before anything is touched.
type ahead struct {
	ready     bool
	room      resource.Capacities
	have      *view // nil where there is nothing
	backends  map[string]bool
	vips      map[string]bool
	addresses map[netip.Addr]bool // all of them
	rings     map[recipe]bool     // to be built
	used      int                 // rings
}

// expect begins with what there is.
func (d *Driver) expect() error {
	if d.ahead.ready {
		return nil
	}
	d.ahead = ahead{ready: true, have: &view{}, backends: map[string]bool{}, vips: map[string]bool{}, rings: map[recipe]bool{}}
	p, err := d.opened()
	if err != nil || p == nil {
		return err
	}
	v, err := d.current(p)
	if err != nil {
		return err
	}
	d.ahead.have, d.ahead.room = v, capacitiesOf(v.Capacity())
	for _, n := range v.pool.uses {
		if n > 0 {
			d.ahead.used++
		}
	}
	return nil
}

func (d *Driver) prepareBalancer(to resource.Balancer) error {
	if err := maglev.CheckSize(int(to.RingSize)); err != nil {
		return err
	}
	if err := capacityOf(to.Capacities).Check(); err != nil {
		return err
	}
	var abi *plane.ABIError
	if err := d.expect(); err != nil && !errors.As(err, &abi) { // of tables of another version nothing stays
		return err
	}
	d.ahead.room = to.Capacities
	if p, err := d.opened(); err == nil && p != nil && capacitiesOf(p.Capacity()) == to.Capacities {
		return nil
	}
	return d.prepareTables(to.Capacities)
}

func (d *Driver) prepareBackend(to resource.Backend) error {
	if err := d.expect(); err != nil {
		return err
	}
	a := &d.ahead
	if _, known := a.have.indexes[to.Key().Name]; !known {
		a.backends[to.Key().Name] = true
	}
	return fits(len(a.have.indexes)+len(a.backends), a.room.Backends, "backends", "max-backends")
}

func (d *Driver) prepareVIP(from resource.Resource, to resource.VIP) error {
	if err := d.expect(); err != nil {
		return err
	}
	a := &d.ahead
	if _, known := a.have.vips[to.Key().Name]; !known {
		a.vips[to.Key().Name] = true
	}
	if was, ok := from.(resource.VIP); !ok || !slices.Equal(was.Addresses, to.Addresses) {
		a.address(to.Addresses)
	}
	r := recipeOf(a.room.RingSize, to.Shares)
	if len(to.Shares) > 0 {
		a.rings[r] = true
	}
	if _, err := d.builder.build(r, to.Shares); err != nil {
		return err
	}
	for _, err := range []error{
		fits(len(a.have.vips)+len(a.vips), a.room.VIPs, "VIPs", "max-vips"),
		fits(len(a.addresses), a.room.VIPs, "addresses of VIPs", "max-vips"),
		fits(a.used+len(a.rings), a.room.Rings, "rings at a time", "max-rings"),
	} {
		if err != nil {
			return err
		}
	}
	return nil
}

// fits refuses more than there is room for.
func fits(n int, room uint32, what, field string) error {
	if n > int(room) {
		return fmt.Errorf("%d %s, and %s makes room for %d", n, what, field, room)
	}
	return nil
}

// address counts the addresses that a VIP has, where it is not known to have
// them.
func (a *ahead) address(all []netip.Addr) {
	if a.addresses == nil {
		a.addresses = make(map[netip.Addr]bool, len(a.have.claims))
		for _, c := range a.have.claims {
			a.addresses[c.Address] = true
		}
	}
	for _, addr := range all {
		a.addresses[addr] = true
	}
}
