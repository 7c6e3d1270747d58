package lb

import (
	"errors"
	"fmt"
	"net/netip"

	"reconciler/internal/driver/lb/plane"
	"reconciler/internal/maglev"
	"reconciler/internal/resource"
)

// ahead is what a plan has asked for so far, so that what there is no room for
// is refused before anything is touched.
type ahead struct {
	ready     bool
	room      resource.Capacities
	backends  map[string]bool
	vips      map[string]bool
	addresses map[netip.Addr]bool
	rings     map[recipe]bool // to be built
	used      int             // rings
}

// expect begins with what there is.
func (d *Driver) expect() error {
	if d.ahead.ready {
		return nil
	}
	d.ahead = ahead{
		ready: true, backends: map[string]bool{}, vips: map[string]bool{}, addresses: map[netip.Addr]bool{}, rings: map[recipe]bool{},
	}
	p, _, err := d.open()
	if err != nil || p == nil {
		return err
	}
	v, err := viewOf(p)
	if err != nil {
		return err
	}
	d.ahead.room = capacitiesOf(v.Capacity())
	for name := range v.indexes {
		d.ahead.backends[name] = true
	}
	for name := range v.vips {
		d.ahead.vips[name] = true
	}
	for _, c := range v.claims {
		d.ahead.addresses[c.Address] = true
	}
	for _, n := range newPool(v).uses {
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
	if p, _, err := d.open(); err == nil && p != nil && capacitiesOf(p.Capacity()) == to.Capacities {
		return nil
	}
	return d.prepareTables(to.Capacities)
}

func (d *Driver) prepareBackend(to resource.Backend) error {
	if err := d.expect(); err != nil {
		return err
	}
	a := &d.ahead
	a.backends[to.Key().Name] = true
	return fits(len(a.backends), a.room.Backends, "backends", "max-backends")
}

func (d *Driver) prepareVIP(to resource.VIP) error {
	if err := d.expect(); err != nil {
		return err
	}
	a := &d.ahead
	a.vips[to.Key().Name] = true
	for _, addr := range to.Addresses {
		a.addresses[addr] = true
	}
	if r := recipeOf(a.room.RingSize, to.Shares); len(to.Shares) > 0 {
		a.rings[r] = true
	}
	if _, err := d.builder.build(a.room.RingSize, to.Shares); err != nil {
		return err
	}
	for _, err := range []error{
		fits(len(a.vips), a.room.VIPs, "VIPs", "max-vips"),
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
