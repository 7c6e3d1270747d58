package chain

import (
	"github.com/cilium/ebpf"

	"reconciler/internal/observed"
	"reconciler/internal/resource"
)

// observeStatistics fills in what only people read: how often programs ran, how
// old they are, how full their maps.
func (d *Driver) observeStatistics(s *observed.State) {
	for _, o := range s.Objects.All() {
		switch r := o.Resource.(type) {
		case resource.Program:
			o.Resource = d.programStatistics(r)
		case resource.Chain:
			o.Resource = slotStatistics(r)
		default:
			continue
		}
		s.Objects.Put(o)
	}
}

func slotStatistics(c resource.Chain) resource.Chain {
	for i := range c.Slots {
		s := &c.Slots[i]
		p, err := ebpf.NewProgramFromID(ebpf.ProgramID(s.ID))
		if err != nil {
			continue // told as damage
		}
		if stats, err := p.Stats(); err == nil {
			s.Runs, s.RunTime = stats.RunCount, stats.Runtime
		}
		p.Close()
	}
	return c
}

func (d *Driver) programStatistics(p resource.Program) resource.Program {
	dir := d.pins.program(p.Name, p.Link, p.Digest)
	for i := range p.Layout {
		m, err := ebpf.LoadPinnedMap(mapPin(dir, p.Layout[i].Name), nil)
		if err != nil {
			continue
		}
		if holdsEntries(m.Type()) && !isArray(m.Type()) {
			_ = each(m, func(_, _ []byte) { p.Layout[i].Entries++ }) // a count that stops short is still one
		}
		m.Close()
	}
	for _, f := range p.Functions {
		prog, err := openProgram(functionPin(dir, f))
		if err != nil {
			continue
		}
		if info, err := prog.Info(); err == nil {
			if at, ok := info.LoadTime(); ok {
				p.Loaded = at
			}
		}
		prog.Close()
	}
	return p
}
