// Package lb is the driver of the XDP load balancer: its tables, the backends
// that packets go to, the VIPs that they come for, and the time in which flows
// stay where they were.
//
// It owns what stands below its directory of pins, and the entries of
// neighbours that the kernel keeps fresh for it: one file a kind, with its two
// halves, observe and write, side by side. All that is known of a VIP is read
// back from the maps. It never decides what should be, never loads nor attaches
// a program, never touches a neighbour that is another's, and imports clock,
// driver, driver/bpffs, driver/lb/plane, driver/netlink/wire, diff, maglev,
// observed and resource.
package lb

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"sync"

	"reconciler/internal/diff"
	"reconciler/internal/driver"
	"reconciler/internal/driver/bpffs"
	"reconciler/internal/driver/netlink/wire"
	"reconciler/internal/observed"
	"reconciler/internal/resource"
)

// Config says where a driver works.
type Config struct {
	// BPFFS is where the BPF file system is mounted; /sys/fs/bpf where empty.
	BPFFS string
	// Namespace names the network namespace of the process, and Cookie proves
	// which one it is (see state.Identity).
	Namespace string
	Cookie    uint64
	// Log hears of what is odd and no error; nil for none.
	Log *slog.Logger
}

// Driver reads and writes the balancer of the process's network namespace.
type Driver struct {
	cfg  Config
	root bpffs.Root
	seed maphash.Seed

	mu        sync.Mutex // the watch looks beside the engine
	tables    tables
	conn      *wire.Conn // nil before the first need
	batch     wire.Batch
	unmanaged bool // the kernel keeps no entry of a neighbour fresh
	builder   builder
	judged    map[judgement]verdict // of rings that were looked at
	ahead     ahead                 // what Prepare counted on
	view      *view                 // of the last look; nil where what is there may be other
	seen      []seenBackend         // the backends at the last look
	silent    map[neighbour]bool    // neighbours that have not answered since
	last      struct {              // of the last plain look
		sums  sums
		hops  map[way]hop
		state observed.State
	}
}

var (
	_ driver.Driver    = (*Driver)(nil)
	_ driver.Preparer  = (*Driver)(nil)
	_ driver.Annotator = (*Driver)(nil)
	_ driver.Watcher   = (*Driver)(nil)
	_ driver.Explainer = (*Driver)(nil)
)

// Open makes a driver. It touches nothing: the file system of pins is mounted
// when there is something to pin.
func Open(cfg Config) *Driver {
	if cfg.BPFFS == "" {
		cfg.BPFFS = bpffs.DefaultMount
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Driver{
		cfg: cfg, root: bpffs.Root{Mount: cfg.BPFFS, Namespace: cfg.Namespace, Cookie: cfg.Cookie},
		seed: maphash.MakeSeed(), judged: map[judgement]verdict{}, silent: map[neighbour]bool{},
	}
}

// Close gives sockets and maps back. What is pinned stays.
func (d *Driver) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	err := d.tables.close()
	if d.conn != nil {
		err = errors.Join(err, d.conn.Close())
		d.conn = nil
	}
	return err
}

// Name is the driver's name in keys.
func (*Driver) Name() string { return resource.LBDriver }

// Observe reads the balancer of the namespace. Counters, and how many flows a
// drain keeps, are read where all is asked for.
func (d *Driver) Observe(ctx context.Context, q observed.Query) (observed.State, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ahead = ahead{}
	d.builder.forget()
	return d.look(ctx, q)
}

// Prepare counts whether there is room, and builds rings.
func (d *Driver) Prepare(_ context.Context, op diff.Op) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if op.Verb == diff.Delete {
		return nil
	}
	switch to := op.To.(type) {
	case resource.Balancer:
		return d.prepareBalancer(to)
	case resource.Backend:
		return d.prepareBackend(to)
	case resource.VIP:
		return d.prepareVIP(op.From, to)
	case resource.Drain:
		return nil
	}
	return fmt.Errorf("%s is not a kind of this driver", op.Key.Kind)
}

// Apply does the operations in the order in which no packet meets what is not
// there yet: records, rings, services, the VIP table; and what goes the other
// way round. One that fails does not stop the others.
func (d *Driver) Apply(ctx context.Context, ops []diff.Op) []error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.forgetLook() // what was seen is no longer so
	c := &change{d: d, ctx: ctx, ops: ops, errs: make([]error, len(ops))}
	if ctx.Err() != nil {
		c.failAll(context.Cause(ctx))
		return c.errs
	}
	c.run()
	for i, err := range c.errs {
		if err != nil {
			d.view = nil // nobody knows how far it came
			c.errs[i] = fmt.Errorf("%s %s: %w", ops[i].Verb, ops[i].Key, err)
		}
	}
	return c.errs
}

func (d *Driver) forgetLook() {
	d.last.hops, d.last.state = nil, observed.State{}
}
