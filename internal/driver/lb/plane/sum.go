package plane

import (
	"context"
	"hash/crc32"
	"hash/maphash"
	"net/netip"
	"slices"
	"sync/atomic"
	"unsafe"

	"reconciler/internal/driver/lb/bpf"
)

// Sum tells whether anything in the maps changed but rings, flows and counters:
// it is another number then, in one process.
func (p *Plane) Sum(seed maphash.Seed) uint64 {
	var h maphash.Hash
	h.SetSeed(seed)
	head := unsafe.Slice((*byte)(unsafe.Pointer(p.shared)), unsafe.Offsetof(p.shared.Backends))
	add(&h, head)
	add(&h, p.shared.Backends[:p.capacity.Backends])
	add(&h, p.shared.Services[:p.capacity.Services])
	add(&h, p.shared.Tables[p.live()&1:][:1])
	add(&h, p.names)
	add(&h, p.hosts)
	return h.Sum64()
}

func add[T any](h *maphash.Hash, a []T) {
	_, _ = h.Write(bytesOf(a)) // it never fails
}

func bytesOf[T any](a []T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(a))), len(a)*sizeOf[T]())
}

// RingSum is a sum of what a buffer holds, weights included.
func (p *Plane) RingSum(i uint16) uint32 {
	return ringSum(p.rings.at(int(i)).Slots[:p.capacity.RingSize], p.weightsOf(i))
}

// RingSumOf is what RingSum is of a buffer that holds these.
func RingSumOf(slots []uint16, weights []uint8) uint32 { return ringSum(slots, weights) }

func ringSum(slots []uint16, weights []uint8) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	return crc32.Update(crc32.Update(0, table, bytesOf(slots)), table, weights)
}

// Seal notes in a buffer, behind the slots, the sum of what it is to hold.
func (p *Plane) Seal(i uint16, sum uint32) {
	spare := p.rings.at(int(i)).Slots[MaxRingSize:]
	spare[0], spare[1] = uint16(sum), uint16(sum>>16)
}

// Sealed is the sum that Seal noted.
func (p *Plane) Sealed(i uint16) uint32 {
	spare := p.rings.at(int(i)).Slots[MaxRingSize:]
	return uint32(spare[0]) | uint32(spare[1])<<16
}

// Named reads a backend by what is noted of it, whatever its record says: that
// is neither valid nor has a next hop.
func (p *Plane) Named(i uint16) Backend {
	return backendOf(&bpf.LBBackend{}, p.hosts.at(int(i)))
}

// Holds reports that a record is, to the byte, what SetBackend would make it.
func (p *Plane) Holds(i uint16, b Backend) bool {
	record, host, err := b.records()
	return err == nil && p.shared.Backends[i] == record && *p.hosts.at(int(i)) == host
}

// Lost are the claims that the program would not find.
func (p *Plane) Lost(claims []Claim) (lost []Claim) {
	for _, c := range claims {
		k := Packet{Protocol: c.Protocol, Dst: netip.AddrPortFrom(c.Address, c.Port)}
		if found, _ := p.claimed(k); found != c.Service {
			lost = append(lost, c)
		}
	}
	return lost
}

// Forget removes the flows of some services and backends from the table.
func (p *Plane) Forget(ctx context.Context, doomed func(service, backend uint16) bool) error {
	_, err := p.flush(ctx, func(f *bpf.LBFlow, s *bpf.LBFlowState) bool { return doomed(f.Service, s.Backend) })
	return err
}

// RingsOf are the buffers that a service uses: in force, and of before.
func (p *Plane) RingsOf(service uint16) (now, previous uint16) {
	s := serviceOf(atomic.LoadUint64(&p.shared.Services[service].Word))
	return s.Ring, s.Previous
}

// HoldsRing reports that a buffer holds these slots and weights.
func (p *Plane) HoldsRing(i uint16, slots []uint16, weights []uint8) bool {
	return slices.Equal(p.rings.at(int(i)).Slots[:p.capacity.RingSize], slots) && slices.Equal(p.weightsOf(i), weights)
}

// Check refuses what maps cannot be made for.
func (c Capacity) Check() error { return c.whole().check() }

// CopyFlows puts the flows of other maps into the table.
func (p *Plane) CopyFlows(from *Plane) error {
	return from.flows(context.Background(), func(keys []bpf.LBFlow, states []bpf.LBFlowState) (bool, error) {
		if len(keys) == 0 {
			return true, nil
		}
		_, err := p.maps[bpf.LBMapLbFlows].BatchUpdate(keys, states, nil)
		return err == nil, err
	})
}

// Ring is what a buffer holds, and from which weights it was built: the
// kernel's memory, which is not to be written to.
func (p *Plane) Ring(i uint16) (slots []uint16, weights []uint8) {
	return p.rings.at(int(i)).Slots[:p.capacity.RingSize:p.capacity.RingSize], p.weightsOf(i)
}
