package plane

import (
	"fmt"

	"reconciler/internal/driver/lb/bpf"
)

// ABI is the version of what the maps hold.
const ABI = abi

// Repin pins an open map that others unpinned.
func (p *Plane) Repin(dir, name string) error {
	m, err := p.maps[name].Clone() // which is not pinned, as far as it knows
	if err != nil {
		return fmt.Errorf("pin map %s again: %w", name, err)
	}
	defer m.Close()
	if err := m.Pin(PinPath(dir, name)); err != nil {
		return fmt.Errorf("pin map %s again: %w", name, err)
	}
	return nil
}

// Sizes are the maps that the program itself uses, with as many elements as a
// capacity wants.
func Sizes(c Capacity) (map[string]uint32, error) {
	specs, err := Specs(c)
	if err != nil {
		return nil, err
	}
	object, err := bpf.LoadLB()
	if err != nil {
		return nil, fmt.Errorf("read the load balancer's object: %w", err)
	}
	sizes := map[string]uint32{}
	for _, ins := range object.Programs[Program].Instructions {
		if m := specs[ins.Reference()]; m != nil && ins.IsLoadFromMap() {
			sizes[ins.Reference()] = m.MaxEntries
		}
	}
	return sizes, nil
}
