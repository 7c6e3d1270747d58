package chain

import (
	"io/fs"
	"path/filepath"

	"github.com/cilium/ebpf"

	"reconciler/internal/observed"
	"reconciler/internal/resource"
)

// observeStatistics fills in what only people read: how often chains ran, how
// old programs are, how full their maps, and where others find those.
func (d *Driver) observeStatistics(s *observed.State) {
	pinned := d.foundByOthers()
	for _, o := range s.Objects.All() {
		switch r := o.Resource.(type) {
		case resource.Program:
			o.Resource = d.programStatistics(r, pinned)
		case resource.Chain:
			o.Resource = chainStatistics(r)
		default:
			continue
		}
		s.Objects.Put(o)
	}
}

func chainStatistics(c resource.Chain) resource.Chain {
	p, err := ebpf.NewProgramFromID(ebpf.ProgramID(c.Seen.Dispatcher))
	if err != nil {
		return c // told as damage
	}
	defer p.Close()
	if stats, err := p.Stats(); err == nil {
		c.Seen.Runs, c.Seen.RunTime = stats.RunCount, stats.Runtime
	}
	return c
}

func (d *Driver) programStatistics(p resource.Program, pinned map[ebpf.MapID]string) resource.Program {
	p.Pins = d.pins.program(p.Name, p.Link, p.Digest)
	for i := range p.Layout {
		mapStatistics(&p.Layout[i], mapPin(p.Pins, p.Layout[i].Name), pinned)
	}
	for _, f := range p.Functions {
		prog, err := openProgram(functionPin(p.Pins, f))
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
	for _, c := range d.chainsSeen() {
		for _, s := range c.Slots {
			if p.Version == "" && s.Program == p.Name && s.Link == p.Link && s.Digest == p.Digest {
				p.Version = s.Version
			}
		}
	}
	return p
}

func mapStatistics(l *resource.MapLayout, pin string, pinned map[ebpf.MapID]string) {
	m, err := ebpf.LoadPinnedMap(pin, nil)
	if err != nil {
		return // told as damage
	}
	defer m.Close()
	if holdsEntries(m.Type()) && !isArray(m.Type()) {
		_ = each(m, func(_, _ []byte) { l.Entries++ }) // a count that stops short is still one
	}
	id, _ := mapID(m) // 0 where the kernel tells none
	l.ID, l.Pin = uint32(id), pinned[id]
}

// maxPins bounds how many pins are looked at.
const maxPins = 10_000

// foundByOthers are the pins of maps that are no program's of ours, by the map:
// those that YAML names, and what else is on the file system.
func (d *Driver) foundByOthers() map[ebpf.MapID]string {
	out := map[ebpf.MapID]string{}
	ours, looked := filepath.Join(d.cfg.BPFFS, "reconciler"), 0
	_ = filepath.WalkDir(d.cfg.BPFFS, func(path string, e fs.DirEntry, err error) error {
		if looked++; err != nil || looked > maxPins {
			return fs.SkipAll // some are better than none
		}
		if e.IsDir() {
			if path == d.pins.programs() || path == d.pins.chains() || filepath.Dir(path) == ours && path != d.pins.Dir() {
				return fs.SkipDir
			}
			return nil
		}
		m, err := ebpf.LoadPinnedMap(path, &ebpf.LoadPinOptions{ReadOnly: true})
		if err != nil {
			return nil // something else
		}
		if id, err := mapID(m); err == nil && out[id] == "" {
			out[id] = path
		}
		m.Close()
		return nil
	})
	return out
}
