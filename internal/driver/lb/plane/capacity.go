package plane

import (
	"fmt"
	"maps"
	"math/bits"
	"slices"

	"github.com/cilium/ebpf"

	"reconciler/internal/driver/lb/bpf"
)

// Capacity is what maps are made for; it cannot change afterwards.
type Capacity struct {
	RingSize  uint32 // slots, 1 to 65537
	Addresses uint32 // of VIPs, up to 65536
	Claims    uint32 // that name a port, or a protocol but TCP and UDP; 0: four an address
	Services  uint32 // up to 65534
	Backends  uint32 // up to 32767
	Rings     uint32 // buffers, those of open windows and an idle one included; up to 65535
	Flows     uint32
}

// Ceilings that the layout has.
const (
	MaxRingSize  = 65537
	MaxAddresses = 1 << 16
	MaxClaims    = 1 << 20
	MaxServices  = 0xfffe
	MaxBackends  = 0x7fff
	MaxRings     = 0xffff
	MaxFlows     = 1 << 26
)

// whole fills in what may be left out.
func (c Capacity) whole() Capacity {
	if c.Claims == 0 {
		c.Claims = min(4*c.Addresses, MaxClaims)
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

// elements is how many a table of so many keys has: at most half of them hold
// a key, so that a seed is soon found and most strangers end at an empty bucket.
func elements(keys uint32) uint32 { return 2 << bits.Len32(keys-1) }

func (c Capacity) control() bpf.LBControl {
	return bpf.LBControl{
		Magic: magic, Abi: abi, AddressMask: elements(c.Addresses) - 1, ClaimMask: elements(c.Claims) - 1,
		RingSize: c.RingSize, Services: c.Services, Backends: c.Backends, Rings: c.Rings, Flows: c.Flows, Addresses: c.Addresses, Claims: c.Claims,
	}
}

func capacityOf(c bpf.LBControl) Capacity {
	return Capacity{RingSize: c.RingSize, Services: c.Services, Backends: c.Backends, Rings: c.Rings, Flows: c.Flows, Addresses: c.Addresses, Claims: c.Claims}
}

// Specs are the maps as a capacity wants them, by their names.
func Specs(c Capacity) (map[string]*ebpf.MapSpec, error) {
	spec, err := bpf.LoadLB()
	if err != nil {
		return nil, fmt.Errorf("read the load balancer's object: %w", err)
	}
	c = c.whole()
	sizes := map[string]uint32{
		bpf.LBMapLbControl: 1, bpf.LBMapLbAddresses: 2 * elements(c.Addresses), bpf.LBMapLbClaims: 2 * elements(c.Claims),
		bpf.LBMapLbServices: c.Services, bpf.LBMapLbVipNames: c.Services, bpf.LBMapLbVipStats: c.Services,
		bpf.LBMapLbBackends: c.Backends, bpf.LBMapLbBeNames: c.Backends, bpf.LBMapLbBeStats: c.Backends,
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
