package plane

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/cilium/ebpf"

	"reconciler/internal/driver/lb/bpf"
)

// FlowKey names a flow of a service.
type FlowKey struct {
	Service  uint16
	Protocol uint8
	Src, Dst netip.AddrPort // ports are 0 where there are none
}

// Flow is one of the table's: of a slot that moved. Flows of other slots are
// in no table.
type Flow struct {
	FlowKey
	Backend uint16
	Seen    time.Duration // CLOCK_MONOTONIC, of the last packet
}

func keyOf(k FlowKey) bpf.LBFlow {
	f := bpf.LBFlow{Service: k.Service, Protocol: k.Protocol, Ports: portsOf(k.Src.Port(), k.Dst.Port())}
	f.Src, f.Family = wordsOf(k.Src.Addr())
	f.Dst, _ = wordsOf(k.Dst.Addr())
	return f
}

func flowOf(f *bpf.LBFlow, s *bpf.LBFlowState) Flow {
	var b [4]byte
	native.PutUint32(b[:], f.Ports)
	return Flow{
		FlowKey: FlowKey{
			Service: f.Service, Protocol: f.Protocol,
			Src: netip.AddrPortFrom(addressOf(f.Src, f.Family), uint16(b[0])<<8|uint16(b[1])),
			Dst: netip.AddrPortFrom(addressOf(f.Dst, f.Family), uint16(b[2])<<8|uint16(b[3])),
		},
		Backend: s.Backend, Seen: time.Duration(s.Seen),
	}
}

// Flow finds a flow in the table.
func (p *Plane) Flow(k FlowKey) (Flow, bool, error) {
	key, state := keyOf(k), bpf.LBFlowState{}
	err := p.maps[bpf.LBMapLbFlows].Lookup(&key, &state)
	if errors.Is(err, ebpf.ErrKeyNotExist) {
		return Flow{}, false, nil
	}
	if err != nil {
		return Flow{}, false, fmt.Errorf("look for a flow: %w", err)
	}
	return flowOf(&key, &state), true, nil
}

// Flows calls f with each flow of the table, until f says false or ctx ends.
// What comes and goes meanwhile may be missed.
func (p *Plane) Flows(ctx context.Context, f func(Flow) bool) error {
	return p.flows(ctx, func(keys []bpf.LBFlow, states []bpf.LBFlowState) (bool, error) {
		for i := range keys {
			if !f(flowOf(&keys[i], &states[i])) {
				return false, nil
			}
		}
		return true, nil
	})
}

// CountFlows counts the table's flows that were seen at since or later, by the
// index of their backend.
func (p *Plane) CountFlows(ctx context.Context, since time.Duration) ([]int, error) {
	counts := make([]int, p.capacity.Backends)
	err := p.flows(ctx, func(keys []bpf.LBFlow, states []bpf.LBFlowState) (bool, error) {
		for i := range keys {
			if b := int(states[i].Backend); b < len(counts) && states[i].Seen >= uint64(since) {
				counts[b]++
			}
		}
		return true, nil
	})
	return counts, err
}

// FlushBackend forgets the flows of a backend, so that they go where the rings
// say. It returns how many they were.
func (p *Plane) FlushBackend(ctx context.Context, backend uint16) (int, error) {
	return p.flush(ctx, func(_ *bpf.LBFlow, s *bpf.LBFlowState) bool { return s.Backend == backend })
}

// FlushService forgets the flows of a service.
func (p *Plane) FlushService(ctx context.Context, service uint16) (int, error) {
	return p.flush(ctx, func(f *bpf.LBFlow, _ *bpf.LBFlowState) bool { return f.Service == service })
}

// FlushStale forgets the flows that were last seen before a time.
func (p *Plane) FlushStale(ctx context.Context, before time.Duration) (int, error) {
	return p.flush(ctx, func(_ *bpf.LBFlow, s *bpf.LBFlowState) bool { return s.Seen < uint64(before) })
}

func (p *Plane) flush(ctx context.Context, doomed func(*bpf.LBFlow, *bpf.LBFlowState) bool) (int, error) {
	n := 0
	err := p.flows(ctx, func(keys []bpf.LBFlow, states []bpf.LBFlowState) (bool, error) {
		for i := range keys {
			if !doomed(&keys[i], &states[i]) {
				continue
			}
			err := p.maps[bpf.LBMapLbFlows].Delete(&keys[i])
			if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
				return false, fmt.Errorf("forget a flow: %w", err)
			}
			n++
		}
		return true, nil
	})
	return n, err
}

// flows reads the table, many a system call.
func (p *Plane) flows(ctx context.Context, f func([]bpf.LBFlow, []bpf.LBFlowState) (bool, error)) error {
	m := p.maps[bpf.LBMapLbFlows]
	keys, states := make([]bpf.LBFlow, batch), make([]bpf.LBFlowState, batch)
	var cursor ebpf.MapBatchCursor
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := m.BatchLookup(&cursor, keys, states, nil)
		if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return fmt.Errorf("read the flows: %w", err)
		}
		last := err != nil
		more, err := f(keys[:n], states[:n])
		if err != nil || last || !more {
			return err
		}
	}
}
