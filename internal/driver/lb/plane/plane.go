// Package plane is the load balancer's maps as Go sees them: it makes, pins and
// opens them, writes and reads the table of VIPs, services, rings, backends,
// counters and flows, and looks a packet up as the program does.
//
// It owns the layout that it shares with the C in driver/lb/bpf, and knows no
// resources, no netlink and no programs: who loads the object gives it these
// maps. Reads may come from any goroutine, writes from one at a time.
package plane

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"reconciler/internal/driver/lb/bpf"
)

const (
	magic = 0x31424c52
	abi   = 1
)

// Program is the name of the object's program.
const Program = bpf.LBProgLb

// Plane is an open set of maps.
type Plane struct {
	maps     map[string]*ebpf.Map
	mapped   [][]byte
	capacity Capacity
	shared   *bpf.LBPlane // what the program asks
	names    array[bpf.LBServiceName]
	rings    array[bpf.LBRing]
	weights  []byte
	hosts    array[bpf.LBBackendName]
	rested   rest
}

// ABIError is a set of maps of another version of the program.
type ABIError struct{ Found, Wanted uint32 }

func (e *ABIError) Error() string {
	return fmt.Sprintf("the load balancer's maps have ABI %d; this program wants ABI %d", e.Found, e.Wanted)
}

// ErrIncomplete is what a Create left that did not come to its end. It is an
// fs.ErrNotExist too: Create replaces it.
var ErrIncomplete = fmt.Errorf("the load balancer's maps are incomplete: %w", fs.ErrNotExist)

// Create makes the maps and pins them in dir, which it makes too, in the place
// of what is not whole. Where whole ones stand it fails with fs.ErrExist, and
// where Open fails otherwise than with fs.ErrNotExist, as that does.
func Create(dir string, c Capacity) (*Plane, error) {
	c = c.whole()
	if err := c.check(); err != nil {
		return nil, err
	}
	switch there, err := Open(dir); {
	case err == nil:
		return nil, errors.Join(fmt.Errorf("create the load balancer's maps in %s: %w", dir, fs.ErrExist), there.Close())
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	if err := Remove(dir); err != nil {
		return nil, err
	}
	p, err := build(c)
	if err != nil {
		return nil, fmt.Errorf("create the load balancer's maps: %w", err)
	}
	if err := p.pin(dir); err != nil {
		return nil, errors.Join(err, Remove(dir), p.Close())
	}
	return p, nil
}

// build makes the maps, empty.
func build(c Capacity) (*Plane, error) {
	specs, err := Specs(c)
	if err != nil {
		return nil, err
	}
	p := &Plane{maps: make(map[string]*ebpf.Map, len(specs))}
	for name, spec := range specs {
		m, err := ebpf.NewMap(spec)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("make map %s: %w", name, err), p.Close())
		}
		p.maps[name] = m
	}
	if err := errors.Join(mapOne(p, bpf.LBMapLbPlane, &p.shared), p.mmap()); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	p.capacity = c
	c.write(p.shared)
	for i := range p.shared.Services {
		p.shared.Services[i].Word = Service{Ring: NoRing, Previous: NoRing}.word()
	}
	return p, nil
}

// pin pins the program's own map last: where it is, all are.
func (p *Plane) pin(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the directory of pins: %w", err)
	}
	names := slices.DeleteFunc(slices.Sorted(maps.Keys(p.maps)), func(n string) bool { return n == bpf.LBMapLbPlane })
	for _, name := range append(names, bpf.LBMapLbPlane) {
		if err := p.maps[name].Pin(PinPath(dir, name)); err != nil {
			return fmt.Errorf("pin map %s: %w", name, err)
		}
	}
	return nil
}

// Open opens what Create pinned in dir. It fails with fs.ErrNotExist if there
// is nothing, or nothing whole, and with an *ABIError for maps of another ABI.
func Open(dir string) (*Plane, error) {
	p := &Plane{maps: make(map[string]*ebpf.Map)}
	err := p.open(dir)
	if err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

func (p *Plane) open(dir string) error {
	if _, err := os.Lstat(PinPath(dir, bpf.LBMapLbPlane)); err != nil {
		if _, some := os.Lstat(dir); some == nil && errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("open %s: %w", dir, ErrIncomplete)
		}
		return fmt.Errorf("open the load balancer's maps: %w", err)
	}
	if err := p.openMap(dir, bpf.LBMapLbPlane); err != nil {
		return err
	}
	if err := p.openShared(); err != nil {
		return err
	}
	p.capacity = capacityOf(p.shared)
	specs, err := Specs(p.capacity)
	if err != nil {
		return err
	}
	for name, spec := range specs {
		if name != bpf.LBMapLbPlane {
			if err := p.openMap(dir, name); err != nil {
				return err
			}
		}
		if err := spec.Compatible(p.maps[name]); err != nil {
			return fmt.Errorf("map %s is another than its capacities say: %w", name, err)
		}
	}
	return p.mmap()
}

func (p *Plane) openMap(dir, name string) error {
	m, err := ebpf.LoadPinnedMap(PinPath(dir, name), nil)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("open map %s: %w", name, ErrIncomplete)
	}
	if err != nil {
		return fmt.Errorf("open map %s: %w", name, err)
	}
	p.maps[name] = m
	return nil
}

// Close lets go of the maps, which stay where they are pinned.
func (p *Plane) Close() error {
	var errs []error
	for _, mem := range p.mapped {
		errs = append(errs, unix.Munmap(mem))
	}
	for _, m := range p.maps {
		errs = append(errs, m.Close())
	}
	p.mapped, p.maps = nil, nil
	return errors.Join(errs...)
}

// Remove unpins all maps in dir, that of the program first, and removes it. It is
// no error if there is nothing.
func Remove(dir string) error {
	names := append([]string{bpf.LBMapLbPlane}, mapNames()...)
	for _, name := range names {
		if err := os.Remove(PinPath(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("unpin map %s: %w", name, err)
		}
	}
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the directory of pins: %w", err)
	}
	return nil
}

// Capacity is what the maps were made for.
func (p *Plane) Capacity() Capacity { return p.capacity }

// Map is one of the maps, by its name in the object; nil if it has none such.
func (p *Plane) Map(name string) *ebpf.Map { return p.maps[name] }

// PinPath is where a map of the object is pinned.
func PinPath(dir, name string) string { return filepath.Join(dir, name) }

// Object is the object that holds the program, as it was compiled.
func Object() []byte { return bpf.Object() }
