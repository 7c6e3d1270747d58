package plane

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"

	"reconciler/internal/driver/lb/bpf"
)

// ServiceCounters counts what came for one service, since it was reset.
type ServiceCounters struct {
	Packets, Bytes uint64 // of layer 3, before any tunnel
	Flows          uint64 // TCP connections begun
	NoBackend      uint64 // packets
	TooBig         uint64
	TableHits      uint64 // packets of moved slots whose flow was known
	TableInserts   uint64
	Previous       uint64 // packets of moved slots that went to the former owner
}

// BackendCounters counts what went to one backend, since it was reset.
type BackendCounters struct {
	Packets, Bytes uint64 // of layer 3, before any tunnel
	Flows          uint64 // TCP connections begun
	Failed         uint64 // packets that found its record not valid
}

// Reason is why a packet to a VIP ended otherwise than at a backend.
type Reason uint8

// Reasons, in the order of the program's.
const (
	Unclaimed Reason = iota // passed: the address is a VIP's, but nobody claims this
	Malformed
	Truncated
	Fragment  // of a protocol whose services only ports would tell apart
	Headers   // more extension headers than are walked
	NoOwner   // the service has no backend; dropped or passed
	NoWay     // the backend's record is not valid
	NoRoom    // no headroom for the outer header
	TooBig    // answered, unless the sender may not be told
	Echo      // answered
	Rejected  // answered, unless the sender may not be told
	ICMPError // sent on to the backend of the flow that it is about

	Reasons = int(bpf.LBReasonREASONS)
)

func (r Reason) String() string {
	names := [Reasons]string{"unclaimed", "malformed", "truncated", "fragment", "headers", "no-backend", "no-way", "no-room", "too-big", "echo", "rejected", "icmp-error"}
	if int(r) < len(names) {
		return names[r]
	}
	return fmt.Sprintf("Reason(%d)", uint8(r))
}

// ServiceCounters reads those of one, summed over processors.
func (p *Plane) ServiceCounters(i uint16) (ServiceCounters, error) {
	var each []bpf.LBServiceStats
	if err := p.maps[bpf.LBMapLbVipStats].Lookup(uint32(i), &each); err != nil {
		return ServiceCounters{}, fmt.Errorf("read the counters of service %d: %w", i, err)
	}
	return sumServices(each), nil
}

// BackendCounters reads those of one, summed over processors.
func (p *Plane) BackendCounters(i uint16) (BackendCounters, error) {
	var each []bpf.LBBackendStats
	if err := p.maps[bpf.LBMapLbBeStats].Lookup(uint32(i), &each); err != nil {
		return BackendCounters{}, fmt.Errorf("read the counters of backend %d: %w", i, err)
	}
	return sumBackends(each), nil
}

// AllServiceCounters reads those of all, by index.
func (p *Plane) AllServiceCounters() ([]ServiceCounters, error) {
	return readAll(p.maps[bpf.LBMapLbVipStats], sumServices)
}

// AllBackendCounters reads those of all, by index.
func (p *Plane) AllBackendCounters() ([]BackendCounters, error) {
	return readAll(p.maps[bpf.LBMapLbBeStats], sumBackends)
}

// ReasonCounters reads how many packets ended for each reason, by Reason.
func (p *Plane) ReasonCounters() ([Reasons]uint64, error) {
	var found [Reasons]uint64
	all, err := readAll(p.maps[bpf.LBMapLbReasons], func(each []uint64) (sum uint64) {
		for _, n := range each {
			sum += n
		}
		return sum
	})
	copy(found[:], all)
	return found, err
}

// ResetService sets the counters of an index to zero, for its next service.
func (p *Plane) ResetService(i uint16) error {
	return reset[bpf.LBServiceStats](p.maps[bpf.LBMapLbVipStats], i)
}

// ResetBackend sets the counters of an index to zero, for its next backend.
func (p *Plane) ResetBackend(i uint16) error {
	return reset[bpf.LBBackendStats](p.maps[bpf.LBMapLbBeStats], i)
}

func reset[T any](m *ebpf.Map, i uint16) error {
	n, err := ebpf.PossibleCPU()
	if err != nil {
		return err
	}
	if err := m.Put(uint32(i), make([]T, n)); err != nil {
		return fmt.Errorf("reset the counters of %d in %s: %w", i, m, err)
	}
	return nil
}

// readAll reads a per-CPU array, many elements a system call.
func readAll[T, S any](m *ebpf.Map, sum func([]T) S) ([]S, error) {
	cpus, err := ebpf.PossibleCPU()
	if err != nil {
		return nil, err
	}
	var (
		found  = make([]S, m.MaxEntries())
		size   = min(len(found), batch)
		keys   = make([]uint32, size)
		values = make([]T, size*cpus)
		cursor ebpf.MapBatchCursor
	)
	for {
		n, err := m.BatchLookup(&cursor, keys, values, nil)
		if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return nil, fmt.Errorf("read the counters in %s: %w", m, err)
		}
		for i, key := range keys[:n] {
			found[key] = sum(values[i*cpus : (i+1)*cpus])
		}
		if err != nil {
			return found, nil // that was the last
		}
	}
}

const batch = 4096 // elements a system call

func sumServices(each []bpf.LBServiceStats) (sum ServiceCounters) {
	for _, s := range each {
		sum.Packets += s.Packets
		sum.Bytes += s.Bytes
		sum.Flows += s.Flows
		sum.NoBackend += s.NoBackend
		sum.TooBig += s.TooBig
		sum.TableHits += s.TableHits
		sum.TableInserts += s.TableInserts
		sum.Previous += s.Previous
	}
	return sum
}

func sumBackends(each []bpf.LBBackendStats) (sum BackendCounters) {
	for _, s := range each {
		sum.Packets += s.Packets
		sum.Bytes += s.Bytes
		sum.Flows += s.Flows
		sum.Failed += s.Failed
	}
	return sum
}
