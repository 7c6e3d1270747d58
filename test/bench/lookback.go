package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/cilium/ebpf"

	"reconciler/internal/resource"
)

// lookback measures a cycle that finds nothing to do on chains: without the
// contents of maps, and what those add.
func (b *bench) lookback(ctx context.Context) error {
	err := b.onPairs(1, func(*host) error { return b.noopChains(ctx) })
	if err != nil {
		return err
	}
	return b.onPairs(1, func(*host) error { return b.noopMap(ctx, b.size(100_000)) })
}

func (b *bench) noopChains(ctx context.Context) error {
	o, err := b.openChains(chainSetup{})
	if err != nil {
		return err
	}
	defer o.close()
	want := chainsWanted(
		chained{link: "v0", hook: resource.XDPIngress, programs: 10, entry: "numbered"},
		chained{link: "v0", hook: resource.TCIngress, programs: 10, entry: "numbered"})
	if err := o.make(ctx, want); err != nil {
		return err
	}
	times, err := compare(201, subject{"reconcile", func() (time.Duration, error) {
		return clock(func() error { return o.settled(ctx, want) })
	}})
	if err != nil {
		return err
	}
	b.row(within("20 programs in two chains", "no-op reconcile", times[0], noopMost))
	return nil
}

// noopMap holds one chain with a map of n declared entries against the batch
// lookup that reading it cannot do without.
func (b *bench) noopMap(ctx context.Context, n int) error {
	o, err := b.openChains(chainSetup{})
	if err != nil {
		return err
	}
	defer o.close()
	c := chained{link: "v0", hook: resource.XDPIngress, programs: 1, entry: "table"}
	want := chainsWanted(c)
	contents := resource.Map{Program: c.name(0), Name: "table", Mode: resource.Exact}
	for i := range n {
		contents.Entries = append(contents.Entries, resource.MapEntry{
			Key: resource.Scalar(fmt.Sprint(i)), Value: resource.Scalar(fmt.Sprint(3 * i)),
		})
	}
	want.Put(resource.Object{Resource: contents, Origin: "bench.yaml:1"})
	if err := o.make(ctx, want); err != nil {
		return err
	}
	m, err := o.pinnedMap(c.name(0), "table")
	if err != nil {
		return err
	}
	defer m.Close()
	keys, values := make([]uint32, m.MaxEntries()), make([]uint64, m.MaxEntries())
	times, err := compare(41,
		subject{"raw", func() (time.Duration, error) {
			return clock(func() error { return readAll(m, keys, values, n) })
		}},
		subject{"reconcile", func() (time.Duration, error) {
			return clock(func() error { return o.settled(ctx, want) })
		}})
	if err != nil {
		return err
	}
	b.row(against("a map of "+count(n)+" entries", "no-op reconcile / raw batch lookup", times[1], times[0], 2))
	return nil
}

// pinnedMap opens a map of a program of which there is one version.
func (o *ours) pinnedMap(program, name string) (*ebpf.Map, error) {
	found, err := filepath.Glob(filepath.Join(o.pins, "programs", program, "*", "map:"+name))
	if err != nil || len(found) != 1 {
		return nil, fmt.Errorf("find map %s of %s: %v, %w", name, program, found, err)
	}
	return ebpf.LoadPinnedMap(found[0], nil)
}

// readAll reads a map of n entries in one system call.
func readAll(m *ebpf.Map, keys []uint32, values []uint64, n int) error {
	var cursor ebpf.MapBatchCursor
	got, err := m.BatchLookup(&cursor, keys, values, nil)
	if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return err
	}
	if got != n {
		return fmt.Errorf("read %d entries of %d", got, n)
	}
	return nil
}
