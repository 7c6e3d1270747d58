package plane

import (
	"fmt"
	"maps"
	"slices"

	"github.com/cilium/ebpf"

	"reconciler/internal/driver/lb/bpf"
)

// Capacity is what maps are made for; it cannot change afterwards.
type Capacity struct {
	RingSize  uint32 // slots
	Addresses uint32 // of VIPs
	Claims    uint32 // that name a port, or a protocol but TCP and UDP; 0: as many as can be
	Services  uint32
	Backends  uint32
	Rings     uint32 // buffers, those of open windows and an idle one included
	Flows     uint32
}

// Ceilings that the layout has. A table is full when half of its elements hold
// a key, so that a seed is soon found.
const (
	MaxRingSize  = 65537
	MaxAddresses = addressElements / 2
	MaxClaims    = claimElements / 2
	MaxServices  = 16384
	MaxBackends  = 16384
	MaxRings     = 0xffff
	MaxFlows     = 100_000_000

	addressBits = 14
	claimBits   = 16

	addressElements = 1 << addressBits
	claimElements   = 1 << claimBits
)

// whole fills in what may be left out.
func (c Capacity) whole() Capacity {
	if c.Claims == 0 {
		c.Claims = MaxClaims
	}
	return c
}

func (c Capacity) check() error {
	for _, f := range []struct {
		name      string
		value, to uint32
	}{
		{"ring size", c.RingSize, MaxRingSize}, {"addresses", c.Addresses, MaxAddresses}, {"claims", c.Claims, MaxClaims},
		{"services", c.Services, MaxServices}, {"backends", c.Backends, MaxBackends}, {"rings", c.Rings, MaxRings}, {"flows", c.Flows, MaxFlows},
	} {
		if f.value < 1 || f.value > f.to {
			return fmt.Errorf("capacity of %s is %d; it can be 1 to %d", f.name, f.value, f.to)
		}
	}
	return nil
}

func (c Capacity) write(to *bpf.LBPlane) {
	to.Magic, to.Abi, to.RingSize = magic, abi, c.RingSize
	to.CapServices, to.CapBackends, to.CapAddresses, to.CapClaims, to.CapRings, to.CapFlows = c.Services, c.Backends, c.Addresses, c.Claims, c.Rings, c.Flows
}

func capacityOf(p *bpf.LBPlane) Capacity {
	return Capacity{
		RingSize: p.RingSize,
		Services: p.CapServices, Backends: p.CapBackends, Addresses: p.CapAddresses, Claims: p.CapClaims, Rings: p.CapRings, Flows: p.CapFlows,
	}
}

// Specs are the maps as a capacity wants them, by their names.
func Specs(c Capacity) (map[string]*ebpf.MapSpec, error) {
	spec, err := bpf.LoadLB()
	if err != nil {
		return nil, fmt.Errorf("read the load balancer's object: %w", err)
	}
	sizes := map[string]uint32{
		bpf.LBMapLbPlane: 1, bpf.LBMapLbVipNames: c.Services, bpf.LBMapLbVipStats: c.Services, bpf.LBMapLbBeNames: c.Backends, bpf.LBMapLbBeStats: c.Backends,
		bpf.LBMapLbRings: c.Rings, bpf.LBMapLbWeights: c.Rings, bpf.LBMapLbFlows: c.Flows, bpf.LBMapLbReasons: uint32(bpf.LBReasonREASONS),
	}
	found := make(map[string]*ebpf.MapSpec, len(sizes))
	for name, n := range sizes {
		found[name] = spec.Maps[name]
		found[name].MaxEntries = n
	}
	weights := found[bpf.LBMapLbWeights]
	weights.ValueSize, weights.Value = weightsStride(c), nil
	return found, nil
}

// weightsStride is the size of one ring's weights: a byte a backend.
func weightsStride(c Capacity) uint32 { return (c.Backends + 7) &^ 7 }

func mapNames() []string {
	specs, err := Specs(Capacity{RingSize: 1, Addresses: 1, Services: 1, Backends: 1, Rings: 1, Flows: 1})
	if err != nil {
		panic("plane: " + err.Error()) // the object is compiled in
	}
	return slices.Sorted(maps.Keys(specs))
}
