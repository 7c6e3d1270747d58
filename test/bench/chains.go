package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/cilium/ebpf"

	"reconciler/internal/driver"
	"reconciler/internal/driver/chain"
	"reconciler/internal/driver/netlink"
	"reconciler/internal/engine"
	"reconciler/internal/resource"
	"reconciler/internal/state"
)

// chainSetup is what differs between drivers of chains.
type chainSetup struct {
	bypass []netip.Prefix // all frames and these
	noTCX  bool
}

const bpffs = "/sys/fs/bpf"

// openChains is the reconciler's own line with both drivers. Each has pins of
// its own, so that several can be at work in one namespace.
func (b *bench) openChains(s chainSetup) (*ours, error) {
	id, err := state.Namespace()
	if err != nil {
		return nil, err
	}
	b.opened++
	cfg := chain.Config{Namespace: fmt.Sprintf("bench-%s-%d-%d", id.Name, os.Getpid(), b.opened), Cookie: id.Cookie, NoTCX: s.noTCX}
	if len(s.bypass) > 0 {
		if cfg.Bypass, err = chain.NewBypass([]string{"arp", "nd", "lacp", "lldp", "bfd"}, s.bypass); err != nil {
			return nil, err
		}
	}
	links, err := netlink.Open(netlink.Config{})
	if err != nil {
		return nil, err
	}
	o := &ours{driver: links, pins: filepath.Join(bpffs, "reconciler", cfg.Namespace)}
	o.planner = engine.Planner{Drivers: []driver.Driver{links, chain.Open(cfg)}, AllowPrune: true}
	return o, nil
}

// make makes it so, and wants nothing left to do.
func (o *ours) make(ctx context.Context, want *resource.Set) error {
	p, err := o.plan(ctx, want)
	if err != nil {
		return err
	}
	return firstOf(o.apply(ctx, p), o.settled(ctx, want))
}

// dispatcher makes a chain and returns the program that is attached. Its pins
// go at once, and with them the attachment: the program stays as it is for as
// long as it is held.
func (b *bench) dispatcher(ctx context.Context, s chainSetup, c chained) (*ebpf.Program, func(), error) {
	o, err := b.openChains(s)
	if err != nil {
		return nil, nil, err
	}
	defer o.close()
	if err := o.make(ctx, chainsWanted(c)); err != nil {
		return nil, nil, err
	}
	dir := filepath.Join(o.pins, "chains", c.link, string(c.hook), "1")
	p, err := ebpf.LoadPinnedProgram(filepath.Join(dir, "dispatcher"), nil)
	if err != nil {
		return nil, nil, err
	}
	slots, err := ebpf.LoadPinnedMap(filepath.Join(dir, "slots"), nil) // emptied with its last reference
	if err != nil {
		return nil, nil, err
	}
	return p, func() { _, _ = p.Close(), slots.Close() }, nil
}

// onPairs runs f in a new namespace with n veth pairs, v0 and on, that are not
// ours.
func (b *bench) onPairs(n int, f func(*host) error) error {
	return onHost(func(h *host) error {
		err := h.do(func(b *batch) {
			for i := range n {
				b.addVeth(firstIndex+2*uint32(i), fmt.Sprintf("v%d", i), fmt.Sprintf("w%d", i), 0)
			}
		})
		if err != nil {
			return err
		}
		return f(h)
	})
}
