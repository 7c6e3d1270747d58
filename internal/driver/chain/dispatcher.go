package chain

import (
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"unsafe"

	"github.com/cilium/ebpf"

	"reconciler/internal/driver/chain/bpf"
	"reconciler/internal/resource"
)

const (
	magic = 0x52434831 // MAGIC of bpf/state.h
	abi   = resource.ChainABI
)

// hookNumber is how a dispatcher's state names its hook.
func hookNumber(h resource.Hook) uint32 {
	for i, hook := range resource.Hooks() {
		if hook == h {
			return uint32(i + 1)
		}
	}
	panic("chain: unknown hook " + string(h))
}

// dispatcher is a loaded dispatcher with its slots filled.
type dispatcher struct {
	program *ebpf.Program
	slots   *ebpf.Map
	state   *ebpf.Map
}

func (d *dispatcher) close() {
	for _, c := range []interface{ Close() error }{d.program, d.slots, d.state} {
		c.Close()
	}
}

// id is the kernel's id of the program.
func (d *dispatcher) id() (ebpf.ProgramID, error) { return programID(d.program) }

// build loads a dispatcher for a chain. Its slots are filled first: a program
// put into an array whose calls are compiled already has the kernel rewrite
// them, which costs as much as loading.
func (d *Driver) build(c resource.Chain, programs []*ebpf.Program, state bpf.XDPChain) (*dispatcher, error) {
	object, entry, err := d.dispatchers.of(c.Hook)
	if err != nil {
		return nil, err
	}
	spec := object.narrow([]string{entry})
	slots, err := fillSlots(spec.Maps["slots"], c, programs)
	if err != nil {
		return nil, err
	}
	defer slots.Close()
	for i, s := range c.Slots {
		var id uint32
		if err := slots.Lookup(uint32(i), &id); err != nil {
			return nil, fmt.Errorf("read slot %d: %w", i, err)
		}
		if err := fillSlot(&state, i, s, id); err != nil {
			return nil, err
		}
	}
	if err := setVariable(spec, spec.Variables["state"], stateBytes(&state)); err != nil {
		return nil, fmt.Errorf("write state: %w", err)
	}
	spec.Variables = nil
	fit(spec.Programs[entry], c.Frags)
	coll, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{MapReplacements: map[string]*ebpf.Map{"slots": slots}})
	if err != nil {
		return nil, fmt.Errorf("load dispatcher: %w", err)
	}
	defer coll.Close()
	return &dispatcher{program: coll.DetachProgram(entry), slots: coll.DetachMap("slots"), state: coll.DetachMap(".rodata")}, nil
}

// fillSlots makes the array of a dispatcher with its programs in.
func fillSlots(spec *ebpf.MapSpec, c resource.Chain, programs []*ebpf.Program) (*ebpf.Map, error) {
	slots, err := ebpf.NewMap(spec)
	if err != nil {
		return nil, fmt.Errorf("make slots: %w", err)
	}
	for i, p := range programs {
		if err := slots.Put(uint32(i), p); err != nil {
			slots.Close()
			return nil, fmt.Errorf("put program %s into slot %d: %w", c.Slots[i].Program, i, err)
		}
	}
	return slots, nil
}

// dispatchers are the objects of dispatchers, parsed once and when they are needed.
type dispatchers struct{ xdp, tc func() (*object, error) }

func newDispatchers() dispatchers {
	return dispatchers{
		xdp: sync.OnceValues(func() (*object, error) { return readDispatcher(bpf.LoadXDP) }),
		tc:  sync.OnceValues(func() (*object, error) { return readDispatcher(bpf.LoadTC) }),
	}
}

func readDispatcher(read func() (*ebpf.CollectionSpec, error)) (*object, error) {
	spec, err := read()
	if err != nil {
		return nil, fmt.Errorf("read dispatcher: %w", err)
	}
	for _, p := range spec.Programs {
		forgetLines(p)
	}
	return &object{spec: spec}, nil
}

// of is the dispatcher of a hook, with the name of its function.
func (d dispatchers) of(h resource.Hook) (o *object, entry string, err error) {
	if h.IsXDP() {
		o, err = d.xdp()
		return o, "dispatch_xdp", err
	}
	o, err = d.tc()
	return o, "dispatch_tc", err
}

// forgetLines drops the lines of C from a program that is known to load: the
// kernel would check and keep them, which takes a fifth of the time.
func forgetLines(p *ebpf.ProgramSpec) {
	for i := range p.Instructions {
		p.Instructions[i] = p.Instructions[i].WithSource(nil)
	}
}

func fillSlot(state *bpf.XDPChain, i int, s resource.Slot, id uint32) error {
	e := &state.Slots[i]
	e.Id, e.Proceed = id, uint32(s.Proceed)
	digest, err := hex.DecodeString(s.Digest)
	if err != nil || len(digest) != len(e.Digest) {
		return fmt.Errorf("digest of program %s: %q is no SHA-256", s.Program, s.Digest)
	}
	copy(e.Digest[:], digest)
	if !putCString(e.Program[:], s.Program) || !putCString(e.Link[:], s.Link) || !putCString(e.Function[:], s.Function) {
		return fmt.Errorf("program %s: a name is longer than %d bytes", s.Program, len(e.Program)-1)
	}
	version := s.Version[:min(len(s.Version), len(e.Version)-1)] // a word for people
	putCString(e.Version[:], version)
	return nil
}

// slotOf reads a slot back.
func slotOf(state *bpf.XDPChain, i int) resource.Slot {
	e := &state.Slots[i]
	return resource.Slot{
		Program: cString(e.Program[:]), Link: cString(e.Link[:]), Version: cString(e.Version[:]),
		Digest: hex.EncodeToString(e.Digest[:]), Function: cString(e.Function[:]),
		Proceed: resource.Proceed(e.Proceed), ID: e.Id,
	}
}

// stateBytes is a state as it lies in memory.
func stateBytes(s *bpf.XDPChain) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(s)), unsafe.Sizeof(*s))
}

// readState reads the state of a dispatcher. What has another size or mark was
// written by another version: only its magic and ABI count.
func readState(m *ebpf.Map) (*bpf.XDPChain, error) {
	raw, err := m.LookupBytes(uint32(0))
	if err != nil {
		return nil, fmt.Errorf("read the state of a dispatcher: %w", err)
	}
	s := new(bpf.XDPChain)
	copy(stateBytes(s), raw)
	if len(raw) < 8 || s.Magic != magic {
		return nil, errors.New("it carries no state of ours")
	}
	if s.Abi == abi && (len(raw) < len(stateBytes(s)) || s.Count > resource.MaxSlots) {
		return nil, errors.New("its state makes no sense")
	}
	return s, nil
}
