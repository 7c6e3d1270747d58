// Package chain is the driver of BPF programs, the contents of their maps, and
// the chains they run in on the hooks of interfaces.
//
// It owns the pins below its root, the dispatchers, and how they are attached:
// one file a kind, with its two halves, observe and write, side by side. A
// chain changes by building a new generation beside the old one and swapping
// the two in one step; all that is known of a chain is read back from the
// kernel. It never decides what should be, never evicts what is not its own
// unless told to, and imports artifact, driver, diff, observed, resource and
// state.
package chain

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/vishvananda/netlink"

	"reconciler/internal/artifact"
	"reconciler/internal/diff"
	"reconciler/internal/driver"
	"reconciler/internal/driver/bpffs"
	"reconciler/internal/observed"
	"reconciler/internal/resource"
)

// Objects brings the bytes of objects (see artifact.Store).
type Objects interface {
	// Fetch brings what is not there yet.
	Fetch(context.Context, artifact.Ref) error
	// Object returns an object that was fetched, with its digest.
	Object(artifact.Ref) ([]byte, string, error)
	// Keep forgets what none of the references needs.
	Keep([]artifact.Ref) error
}

// Config says where a driver works.
type Config struct {
	// BPFFS is where the BPF file system is mounted; /sys/fs/bpf where empty.
	BPFFS string
	// Namespace names the network namespace of the process, and Cookie proves
	// which one it is (see state.Identity).
	Namespace string
	Cookie    uint64
	// Records is the directory of what has no place for a mark; none where
	// empty.
	Records string
	Objects Objects
	// Bypass are the frames that no program may take away.
	Bypass Bypass
	// NoTCX attaches chains on TC as filters of clsact even where the kernel
	// has TCX.
	NoTCX bool
	// Log hears of what is odd and no error; nil for none.
	Log *slog.Logger
}

// Driver reads and writes the chains of the process's network namespace. It is
// a driver.Driver with all its abilities.
type Driver struct {
	cfg  Config
	pins pins

	parsed      parsed
	dispatchers dispatchers

	mu       sync.Mutex // the watch looks beside the engine
	encoded  map[resource.Key]*contents
	ready    map[resource.Key]closer   // made by Prepare and not yet used
	blind    error                     // why a pin could not be opened at the last look
	asked    []*resource.Set           // what Resolve saw, the latest last
	refused  map[resource.Key]bool     // programs that Prepare could not make
	places   map[resource.Key]string   // the directory of each chain at the last look
	outdated map[resource.Key][]string // directories of chains that are gone, by whose name they have
	seen     []resource.Chain          // the chains of ours at the last look
	known    known                     // what pins hold
	handle   *netlink.Handle           // nil before the first need
	family   uint16                    // of ethtool in generic netlink; 0 before the first need
	netdev   uint16                    // of netdev, likewise
	types    *btf.Cache                // of the kernel, for relocations, until the next look
	pinnable bool                      // since the last look (see pins.ready)
	metering metering
	tcx      *bool                  // whether the kernel has it; nil before the first need
	noLRO    map[int]ebpf.ProgramID // interfaces without, by index, as their chains were last found
	wanted   *resource.Set          // as it was named last
	last     struct {               // of the last plain look
		want  *resource.Set
		state observed.State
	}
	resolved struct {
		want, answer *resource.Set
		notes        []diff.Note
		from         map[resource.Key]string // digests of objects
	}
}

type closer interface{ close() }

var (
	_ driver.Driver    = (*Driver)(nil)
	_ observed.Upper   = (*Driver)(nil)
	_ driver.Preparer  = (*Driver)(nil)
	_ driver.Resolver  = (*Driver)(nil)
	_ driver.Fetcher   = (*Driver)(nil)
	_ driver.Annotator = (*Driver)(nil)
	_ driver.Watcher   = (*Driver)(nil)
	_ driver.Sampler   = (*Driver)(nil)
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
		cfg: cfg, pins: pins{bpffs.Root{Mount: cfg.BPFFS, Namespace: cfg.Namespace, Cookie: cfg.Cookie}}, dispatchers: newDispatchers(), types: btf.NewCache(),
		encoded: map[resource.Key]*contents{}, ready: map[resource.Key]closer{},
		places: map[resource.Key]string{}, outdated: map[resource.Key][]string{},
		refused: map[resource.Key]bool{}, metering: newMetering(), noLRO: map[int]ebpf.ProgramID{},
	}
}

// Name is the driver's name in keys.
func (d *Driver) Name() string { return resource.ChainDriver }

// StandsOnLinks lets Observe be asked by the kernel's names of interfaces.
func (*Driver) StandsOnLinks() {}

// Observe reads the chains, programs and declared maps of the namespace.
func (d *Driver) Observe(ctx context.Context, q observed.Query) (observed.State, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.drop()
	if q.Want != nil {
		d.wanted = q.Want
	}
	state, err := d.look(ctx, q)
	if err == nil && q.Want != nil && !q.All && len(q.Around) == 0 {
		if d.last.want == q.Want && state.Same(d.last.state) {
			return d.last.state, nil // the same set again, so that nothing is made of it anew
		}
		d.last.want, d.last.state = q.Want, state
		maps.DeleteFunc(d.encoded, func(k resource.Key, _ *contents) bool { return !q.Want.Has(k) })
	}
	return state, err
}

// Prepare does all of an operation that may fail before the first change:
// loads programs, encodes contents, builds dispatchers.
func (d *Driver) Prepare(ctx context.Context, op diff.Op) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if op.Verb == diff.Delete {
		return nil
	}
	err := d.prepare(ctx, op.To)
	if op.Key.Kind == resource.KindProgram {
		d.refused[op.Key] = err != nil
	}
	return err
}

func (d *Driver) prepare(ctx context.Context, r resource.Resource) error {
	if !d.pinnable {
		if err := d.pins.Ready(); err != nil {
			return err
		}
		d.pinnable = true
	}
	switch to := r.(type) {
	case resource.Program:
		return d.prepareProgram(ctx, to)
	case resource.Map:
		return d.prepareMap(to)
	case resource.Chain:
		return d.prepareChain(to)
	}
	return fmt.Errorf("%s is not a kind of this driver", r.Key().Kind)
}

// Apply does operations one by one: each is a transaction of its own.
func (d *Driver) Apply(ctx context.Context, ops []diff.Op) []error {
	d.mu.Lock()
	defer d.mu.Unlock()
	errs := make([]error, len(ops))
	for i, op := range ops {
		if ctx.Err() != nil {
			errs[i] = context.Cause(ctx)
			continue
		}
		if err := d.apply(ctx, op); err != nil {
			errs[i] = fmt.Errorf("%s %s: %w", op.Verb, op.Key, err)
		}
	}
	d.last.want = nil // what was seen is no longer so
	return errs
}

func (d *Driver) apply(ctx context.Context, op diff.Op) error {
	if op.Verb == diff.Delete {
		return d.remove(op.From)
	}
	if d.ready[op.Key] == nil {
		// Applied without Prepare, or a second time.
		if err := d.prepare(ctx, op.To); err != nil {
			return err
		}
	}
	made := d.ready[op.Key]
	if made == nil {
		return errors.New("it cannot be prepared: what it stands on is not there")
	}
	delete(d.ready, op.Key)
	defer made.close()
	switch made := made.(type) {
	case *loading:
		return d.pinProgram(made)
	case *writing:
		return d.writeMap(made)
	case *generation:
		return d.swap(made, op)
	}
	return errors.New("nothing is prepared for it")
}

func (d *Driver) remove(r resource.Resource) error {
	var err error
	switch from := r.(type) {
	case resource.Program:
		err = d.removeProgram(from)
	case resource.Chain:
		err = d.removeChain(from)
	default:
		return nil // contents go with their map
	}
	d.pinnable = false
	return errors.Join(err, d.pins.tidy())
}

// drop gives back what was prepared and never applied, and what was found out
// for it.
func (d *Driver) drop() {
	for k, r := range d.ready {
		r.close()
		delete(d.ready, k)
	}
	clear(d.refused)
	d.pinnable, d.types = false, btf.NewCache()
}
