package plane

import "fmt"

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
