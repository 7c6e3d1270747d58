package chain

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/cilium/ebpf"

	"reconciler/internal/diff"
	"reconciler/internal/driver/bpffs"
	"reconciler/internal/driver/chain/bpf"
	"reconciler/internal/observed"
	"reconciler/internal/resource"
)

// observeChains reads every chain that has pins.
func (d *Driver) observeChains(s *observed.State) error {
	links, err := bpffs.List(d.pins.chains())
	if err != nil {
		return err
	}
	for _, link := range links {
		hooks, err := bpffs.List(filepath.Join(d.pins.chains(), link))
		if err != nil {
			return err
		}
		for _, hook := range hooks {
			dir := filepath.Join(d.pins.chains(), link, hook)
			d.found(s, dir, d.readChain(dir, linkOf(link), resource.Hook(hook)))
		}
	}
	return d.observeLeftOff(s)
}

// found notes a chain that was read. Where an interface was renamed, two
// directories may be of one chain: that which is attached counts, and the other
// goes with the next swap.
func (d *Driver) found(s *observed.State, dir string, c resource.Chain) {
	k := c.Key()
	if o, twice := s.Objects.Get(k); twice {
		had := o.Resource.(resource.Chain)
		if !had.Seen.Severed || c.Seen.Severed {
			c, dir, d.places[k] = had, d.places[k], dir
		}
		d.outdated[k] = append(d.outdated[k], d.places[k])
		c.Seen.Damage = append(c.Seen.Damage, "pins of an interface that had its name are left over")
	}
	d.places[k] = dir
	d.seen = append(d.seen, c)
	s.Objects.Put(resource.Object{Resource: c, Owner: resource.Ours})
}

// readChain reads a chain back. What is not as it was made is its damage.
func (d *Driver) readChain(dir, link string, hook resource.Hook) resource.Chain {
	c := resource.Chain{Link: link, Hook: hook}
	a := d.attachedBy(dir, link, hook)
	c.Seen.Attach, c.Seen.Severed = a.how, a.severed
	c.Seen.Damage = append(c.Seen.Damage, a.damage...)
	c.Mode = a.mode
	if a.link != "" {
		c.Link = a.link
	}
	generations, err := bpffs.List(dir)
	if err != nil {
		c.Seen.Damage = append(c.Seen.Damage, err.Error())
	}
	live := ""
	for _, name := range generations {
		if _, err := strconv.ParseUint(name, 10, 32); err != nil {
			continue
		}
		if f, err := d.known.program(filepath.Join(dir, name, dispatcherPin)); err == nil && f.id != 0 && f.id == a.program {
			live = name
			continue
		}
		c.Seen.Damage = append(c.Seen.Damage, "generation "+name+" is left over")
	}
	if hook.IsXDP() && a.program != 0 && !a.severed && d.lroAgain(a) {
		c.Seen.Damage = append(c.Seen.Damage, "large-receive-offload is on")
	}
	if a.program != 0 {
		d.readDispatcher(&c, filepath.Join(dir, live), live != "", a.program)
	}
	return c
}

// readDispatcher fills in what the dispatcher that is attached says of itself,
// and holds its slots against that. Its pins are the way that needs no right
// to open what is not ours; where one is gone, ids are.
func (d *Driver) readDispatcher(c *resource.Chain, dir string, pinned bool, id ebpf.ProgramID) {
	damage := func(format string, args ...any) {
		c.Seen.Damage = append(c.Seen.Damage, fmt.Sprintf(format, args...))
	}
	c.Seen.Dispatcher = uint32(id)
	if !pinned {
		damage("the pins of its dispatcher are gone")
	}
	slots, s, err := d.openDispatcher(dir, pinned, id, damage)
	if err != nil {
		damage("%v", err)
		return
	}
	defer slots.Close()
	c.Seen.ABI, c.Seen.Generation = s.Abi, s.Generation
	if s.Abi != abi {
		return // of another version of ours: to be built anew
	}
	c.Seen.Auto = s.Flags&stateAuto != 0
	c.Label, c.Bypass, c.Frags = cString(s.Label[:]), bypassOf(s).String(), s.Flags&stateFrags != 0
	for i := range int(s.Count) {
		slot := slotOf(s, i)
		var now uint32
		switch err := slots.Lookup(uint32(i), &now); {
		case errors.Is(err, ebpf.ErrKeyNotExist):
			damage("slot %d (%s) is empty", i, slot.Program)
		case err != nil:
			damage("slot %d (%s): %v", i, slot.Program, err)
		case now != slot.ID:
			damage("slot %d (%s) holds another program", i, slot.Program)
		case d.reloaded(slot):
			damage("slot %d (%s) runs what was loaded before", i, slot.Program)
		}
		c.Slots = append(c.Slots, slot)
	}
}

// reloaded reports that the instance of a slot was loaded again since.
func (d *Driver) reloaded(s resource.Slot) bool {
	f, err := d.known.program(functionPin(d.pins.program(s.Program, s.Link, s.Digest), s.Function))
	return err == nil && uint32(f.id) != s.ID
}

// openDispatcher opens the slots of a dispatcher and reads its state.
func (d *Driver) openDispatcher(dir string, pinned bool, id ebpf.ProgramID, damage func(string, ...any)) (*ebpf.Map, *bpf.XDPChain, error) {
	if pinned {
		slots, err := ebpf.LoadPinnedMap(filepath.Join(dir, slotsPin), nil)
		if err == nil {
			s, err := d.known.stateOf(filepath.Join(dir, statePin))
			if err == nil {
				return slots, s, nil
			}
			slots.Close()
		}
		damage("a pin of its dispatcher is gone")
	}
	slots, state, err := mapsOfDispatcher(id)
	if err != nil {
		return nil, nil, err
	}
	defer state.Close()
	s, err := readState(state)
	if err != nil {
		slots.Close()
		return nil, nil, err
	}
	return slots, s, nil
}

func mapsOfDispatcher(id ebpf.ProgramID) (slots, state *ebpf.Map, err error) {
	p, err := ebpf.NewProgramFromID(id)
	if err != nil {
		return nil, nil, fmt.Errorf("open dispatcher %d: %w", id, err)
	}
	defer p.Close()
	_, ids, err := programMaps(p)
	if err != nil {
		return nil, nil, err
	}
	for _, id := range ids {
		m, err := ebpf.NewMapFromID(id)
		switch {
		case err != nil:
			continue
		case m.Type() == ebpf.ProgramArray && slots == nil:
			slots = m
		case m.Type() == ebpf.Array && state == nil:
			state = m
		default:
			m.Close()
		}
	}
	if slots == nil || state == nil {
		slots.Close()
		state.Close()
		return nil, nil, fmt.Errorf("program %d is no dispatcher", id)
	}
	return slots, state, nil
}

// observeForeign notes XDP programs of others where a chain of ours is wanted,
// also where they took the place of one.
func (d *Driver) observeForeign(s *observed.State, want *resource.Set) error {
	want.Each(func(k resource.Key, o resource.Object) bool {
		c, ok := o.Resource.(resource.Chain)
		if !ok || !c.Hook.IsXDP() {
			return true
		}
		had, exists := s.Objects.Get(k)
		ours, _ := had.Resource.(resource.Chain)
		seen := ours.Seen
		if exists && !seen.Severed {
			return true
		}
		l, err := d.linkByName(c.Link)
		if err != nil || l.xdp.program == 0 || uint32(l.xdp.program) == seen.Dispatcher {
			return true
		}
		s.Objects.Put(resource.Object{Owner: resource.Foreign, Resource: resource.Chain{
			Link: c.Link, Hook: c.Hook, Mode: l.xdp.mode,
			Seen: resource.ChainSeen{Dispatcher: uint32(l.xdp.program), Attach: l.xdp.how()},
		}})
		return true
	})
	return nil
}

// generation is a chain that is built and not attached yet.
type generation struct {
	chain      resource.Chain
	number     uint32
	ifindex    int
	dispatcher *dispatcher
}

func (g *generation) close() { g.dispatcher.close() }

// Flags of a dispatcher's state.
const (
	stateFrags = 1 << iota // packets in several buffers
	stateAuto              // the mode was to be found out
)

// prepareChain builds the next generation of a chain.
func (d *Driver) prepareChain(c resource.Chain) error {
	if slices.ContainsFunc(c.Slots, func(s resource.Slot) bool { return d.refused[keyOf(s)] }) {
		return nil // told of the program
	}
	l, err := d.linkByName(c.Link)
	if err != nil {
		// It may be made by this very plan: built when its turn comes.
		return nil
	}
	if err := d.checkMode(c, l.index); err != nil {
		return err
	}
	g, err := d.generation(c, l.index)
	if err != nil {
		return err
	}
	d.ready[c.Key()] = g
	return nil
}

func (d *Driver) generation(c resource.Chain, ifindex int) (*generation, error) {
	programs := make([]*ebpf.Program, 0, len(c.Slots))
	defer func() {
		for _, p := range programs {
			p.Close()
		}
	}()
	for _, s := range c.Slots {
		p, err := d.function(s)
		if err != nil {
			return nil, err
		}
		programs = append(programs, p)
	}
	state := bpf.XDPChain{
		Magic: magic, Abi: abi, Count: uint32(len(c.Slots)), Netns: d.cfg.Cookie, Ifindex: uint32(ifindex), Hook: hookNumber(c.Hook),
	}
	number, err := nextGeneration(d.place(c))
	if err != nil {
		return nil, err
	}
	state.Generation = number
	if c.Frags {
		state.Flags |= stateFrags
	}
	if c.Mode == resource.Auto {
		state.Flags |= stateAuto
	}
	if !putCString(state.Link[:], c.Link) {
		return nil, fmt.Errorf("the name of interface %s is too long", c.Link)
	}
	putCString(state.Label[:], c.Label[:min(len(c.Label), len(state.Label)-1)])
	d.cfg.Bypass.fill(&state)
	built, err := d.build(c, programs, state)
	if err != nil {
		return nil, err
	}
	return &generation{chain: c, number: number, ifindex: ifindex, dispatcher: built}, nil
}

// place is the directory of the pins of a chain. An interface that was renamed
// keeps its own, so that one which has its name now needs another.
func (d *Driver) place(c resource.Chain) string {
	if dir := d.places[c.Key()]; dir != "" {
		return dir
	}
	taken := map[string]bool{}
	for _, dir := range d.places {
		taken[dir] = true
	}
	dir := d.pins.chain(c.Link, c.Hook, 1)
	for n := 2; taken[dir]; n++ {
		dir = d.pins.chain(c.Link, c.Hook, n)
	}
	return dir
}

// nextGeneration is one more than the highest that has pins.
func nextGeneration(dir string) (uint32, error) {
	names, err := bpffs.List(dir)
	if err != nil {
		return 0, fmt.Errorf("read the generations of a chain: %w", err)
	}
	highest := uint64(0)
	for _, name := range names {
		if n, err := strconv.ParseUint(name, 10, 32); err == nil {
			highest = max(highest, n)
		}
	}
	return uint32(highest + 1), nil
}

// swap puts a generation in force: everything is pinned before the one step
// that changes what packets meet, and the former generation goes after it.
func (d *Driver) swap(g *generation, op diff.Op) error {
	l, err := d.linkByName(g.chain.Link)
	if err != nil {
		return err
	}
	if l.index != g.ifindex { // made again by this plan since
		if g, err = d.generation(g.chain, l.index); err != nil {
			return err
		}
		defer g.close()
	}
	dir := d.place(g.chain)
	own := filepath.Join(dir, strconv.FormatUint(uint64(g.number), 10))
	if err := pinGeneration(own, g.dispatcher); err != nil {
		return errors.Join(err, bpffs.RemoveTree(own))
	}
	if err := d.attach(dir, g, op); err != nil {
		if d.verify(dir, g) == nil {
			return err // in force all the same: without its pins its slots would be empty
		}
		return errors.Join(err, bpffs.RemoveTree(own))
	}
	if err := d.verify(dir, g); err != nil {
		return err
	}
	d.places[g.chain.Key()] = dir
	return errors.Join(collect(dir, g.number), d.dropOutdated(g.chain))
}

// dropOutdated removes the pins of a chain that had the name of another's
// interface.
func (d *Driver) dropOutdated(c resource.Chain) error {
	var errs []error
	for _, dir := range d.outdated[c.Key()] {
		errs = append(errs, bpffs.RemoveTree(dir), bpffs.RemoveEmpty(filepath.Dir(dir)))
	}
	delete(d.outdated, c.Key())
	return errors.Join(errs...)
}

func pinGeneration(dir string, made *dispatcher) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the directory of a generation: %w", err)
	}
	err := errors.Join(
		pin(made.slots.FD(), filepath.Join(dir, slotsPin)),
		pin(made.state.FD(), filepath.Join(dir, statePin)),
		pin(made.program.FD(), filepath.Join(dir, dispatcherPin)),
	)
	if err != nil {
		return fmt.Errorf("pin generation: %w", err)
	}
	return nil
}

// verify reads back that the generation is what is attached.
func (d *Driver) verify(dir string, g *generation) error {
	id, err := g.dispatcher.id()
	if err != nil {
		return err
	}
	if a := d.attachedBy(dir, g.chain.Link, g.chain.Hook); a.program != id || a.severed {
		return fmt.Errorf("read back: program %d is attached, not the new dispatcher %d", a.program, id)
	}
	return nil
}

// collect removes all generations but one.
func collect(dir string, keep uint32) error {
	names, err := bpffs.List(dir)
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range names {
		n, err := strconv.ParseUint(name, 10, 32)
		if err == nil && uint32(n) != keep {
			errs = append(errs, bpffs.RemoveTree(filepath.Join(dir, name)))
		}
	}
	return errors.Join(errs...)
}

// removeChain detaches a chain and removes its pins: first what lets packets
// in.
func (d *Driver) removeChain(c resource.Chain) error {
	dir := d.place(c)
	if err := d.detach(dir, c); err != nil {
		return err
	}
	if c.Hook.IsXDP() {
		if err := d.lroBack(c.Link); err != nil {
			// No reason to keep the pins of what is off already.
			d.cfg.Log.Warn("large receive offload stays off", "interface", c.Link, "err", err)
		}
	}
	if err := bpffs.RemoveTree(dir); err != nil {
		return err
	}
	delete(d.places, c.Key())
	return errors.Join(bpffs.RemoveEmpty(filepath.Dir(dir)), d.dropOutdated(c))
}
