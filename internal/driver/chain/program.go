package chain

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cilium/ebpf"

	"reconciler/internal/driver/bpffs"
	"reconciler/internal/observed"
	"reconciler/internal/resource"
)

// observePrograms lists what is loaded and pinned. want tells what an instance
// should hold. The layout of maps is read where it is asked for.
func (d *Driver) observePrograms(s *observed.State, want *resource.Set, layout bool) error {
	instances, err := bpffs.List(d.pins.programs())
	if err != nil {
		return err
	}
	for _, instance := range instances {
		dir := filepath.Join(d.pins.programs(), instance)
		digests, err := bpffs.List(dir)
		if err != nil {
			return err
		}
		for _, digest := range digests {
			p := d.readProgram(filepath.Join(dir, digest), bpffs.Unescape(instance), digest)
			if layout {
				p.Layout = layoutOf(filepath.Join(dir, digest))
			}
			if w, ok := want.Get(p.Key()); ok {
				p = d.completeness(p, w.Resource.(resource.Program))
			}
			s.Objects.Put(resource.Object{Resource: p, Owner: resource.Ours})
		}
	}
	return nil
}

// readProgram is what the pins of an instance tell.
func (d *Driver) readProgram(dir, instance, digest string) resource.Program {
	p := resource.Program{Digest: digest}
	p.Name, p.Link, _ = strings.Cut(instance, "@")
	names, err := bpffs.List(dir)
	if err != nil {
		p.Damage = []string{err.Error()}
		return p
	}
	maps := 0
	for _, n := range names {
		switch {
		case strings.HasPrefix(n, functionPrefix):
			p.Functions = append(p.Functions, bpffs.Unescape(strings.TrimPrefix(n, functionPrefix)))
		case strings.HasPrefix(n, mapPrefix):
			maps++
		}
	}
	slices.Sort(p.Functions)
	if need, err := d.mapsOf(dir, p.Functions); err != nil {
		p.Damage = append(p.Damage, err.Error())
	} else if maps < need {
		p.Damage = append(p.Damage, fmt.Sprintf("%d of %d maps are not pinned", need-maps, need))
	}
	return p
}

// mapsOf counts the maps that pinned functions use.
func (d *Driver) mapsOf(dir string, functions []string) (int, error) {
	ids := map[ebpf.MapID]bool{}
	for _, name := range functions {
		f, err := d.known.program(functionPin(dir, name))
		if err != nil {
			return 0, fmt.Errorf("function %s: %w", name, err)
		}
		for _, id := range f.maps {
			ids[id] = true
		}
	}
	return len(ids), nil
}

// completeness notes what of a wanted instance is missing, and takes from it
// what pins cannot show.
func (d *Driver) completeness(have, want resource.Program) resource.Program {
	for _, f := range want.Functions {
		if !slices.Contains(have.Functions, f) {
			have.Damage = append(have.Damage, "function "+f+" is not pinned")
		}
	}
	for _, m := range want.Maps {
		switch {
		case m.Pin == "":
		case !bpffs.Exists(d.pins.shared(m.Pin)):
			have.Damage = append(have.Damage, fmt.Sprintf("map %s is not pinned at %s", m.Name, m.Pin))
		case d.replaced(have, m):
			have.Damage = append(have.Damage, fmt.Sprintf("another map than its %s is pinned at %s", m.Name, m.Pin))
		}
	}
	want.Damage, want.Functions, want.Layout = have.Damage, have.Functions, have.Layout
	return want
}

// replaced reports that somebody pinned another map where an instance is to
// share one: it goes on with the one that nobody finds any more.
func (d *Driver) replaced(p resource.Program, m resource.MapSettings) bool {
	own := pinnedMapID(mapPin(d.pins.program(p.Name, p.Link, p.Digest), m.Name))
	shared := pinnedMapID(d.pins.shared(m.Pin))
	return own != 0 && shared != 0 && own != shared
}

// layoutOf reads what the pinned maps of an instance are like.
func layoutOf(dir string) []resource.MapLayout {
	names, err := bpffs.List(dir)
	if err != nil {
		return nil
	}
	var out []resource.MapLayout
	for _, n := range names {
		name, isMap := strings.CutPrefix(n, mapPrefix)
		if !isMap {
			continue
		}
		m, err := ebpf.LoadPinnedMap(filepath.Join(dir, n), nil)
		if err != nil {
			continue // told as damage
		}
		out = append(out, resource.MapLayout{
			Name: bpffs.Unescape(name), Type: m.Type().String(), KeySize: m.KeySize(), ValueSize: m.ValueSize(),
			MaxEntries: m.MaxEntries(), Flags: m.Flags(),
		})
		m.Close()
	}
	return out
}

// loading is an instance that was loaded, or found running, and is not pinned
// yet.
type loading struct {
	program   resource.Program
	functions map[string]*ebpf.Program
	maps      map[string]*ebpf.Map
	shared    map[string]string // pins of their own, by map
	made      map[string]bool   // maps that are new
}

func (l *loading) close() {
	for _, p := range l.functions {
		p.Close()
	}
	for _, m := range l.maps {
		m.Close()
	}
}

// prepareProgram finds an instance in a running chain, or else loads it.
func (d *Driver) prepareProgram(ctx context.Context, p resource.Program) error {
	obj, err := d.object(p)
	if err != nil {
		return err
	}
	l, err := d.salvage(p, obj)
	if err != nil {
		d.cfg.Log.Warn("a running program could not be taken up again", "program", p.Key().Name, "err", err)
	}
	if l == nil {
		l, err = d.load(p, obj)
	}
	if err != nil {
		return err
	}
	if err := d.fill(l); err != nil {
		l.close()
		return err
	}
	d.ready[p.Key()] = l
	return nil
}

// salvage takes an instance from where it runs, so that a pin that is gone
// costs nothing of what its maps hold; nil if it runs nowhere.
func (d *Driver) salvage(p resource.Program, obj *object) (*loading, error) {
	l := &loading{program: p, functions: map[string]*ebpf.Program{}, maps: map[string]*ebpf.Map{}, shared: sharedPins(d.pins, p)}
	dir := d.pins.program(p.Name, p.Link, p.Digest)
	if slices.ContainsFunc(p.Maps, func(m resource.MapSettings) bool { return m.Pin != "" && d.replaced(p, m) }) {
		return nil, nil // the map is one of the loaded program's for good
	}
	for _, f := range p.Functions {
		prog, err := openProgram(functionPin(dir, f))
		if err != nil {
			prog = d.running(p, f)
		}
		if prog == nil {
			l.close()
			return nil, nil
		}
		l.functions[f] = prog
	}
	if err := l.mapsOfFunctions(obj); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

// running is a function of an instance in the slot of a chain; nil if there is
// none.
func (d *Driver) running(p resource.Program, function string) *ebpf.Program {
	for _, o := range d.chainsSeen() {
		for _, s := range o.Slots {
			if s.Program != p.Name || s.Link != p.Link || s.Digest != p.Digest || s.Function != function || s.ID == 0 {
				continue
			}
			if prog, err := ebpf.NewProgramFromID(ebpf.ProgramID(s.ID)); err == nil {
				return prog
			}
		}
	}
	return nil
}

// mapsOfFunctions opens the maps that the functions use, under their names in
// the object. The kernel keeps 15 bytes of a name.
func (l *loading) mapsOfFunctions(obj *object) error {
	for function, prog := range l.functions {
		_, ids, err := programMaps(prog)
		if err != nil {
			return err
		}
		for _, id := range ids {
			m, err := ebpf.NewMapFromID(id)
			if err != nil {
				return fmt.Errorf("open map %d: %w", id, err)
			}
			mi, err := m.Info()
			if err != nil {
				m.Close()
				return err
			}
			name := fullName(mi.Name, m, obj)
			if obj.spec.Maps[name] == nil {
				name += ":" + function // made for it alone when it was loaded
			}
			if had := l.maps[name]; had != nil {
				had.Close()
			}
			l.maps[name] = m
		}
	}
	return nil
}

// fullName is the name in the object of a map that the kernel shows cut.
func fullName(short string, m *ebpf.Map, obj *object) string {
	if obj.spec.Maps[short] != nil {
		return short
	}
	for name, s := range obj.spec.Maps {
		if kernelName(name) == short && s.Type == m.Type() && s.KeySize == m.KeySize() {
			return name
		}
	}
	return short
}

// kernelName is how the kernel shows the name of a map.
func kernelName(name string) string { return name[:min(len(name), 15)] }

// sharedPins are the paths of maps that have one of their own.
func sharedPins(pins pins, p resource.Program) map[string]string {
	out := map[string]string{}
	for _, m := range p.Maps {
		if m.Pin != "" {
			out[m.Name] = pins.shared(m.Pin)
		}
	}
	return out
}

// pinProgram pins what was loaded: maps first, so that a function that is
// pinned has all it needs.
func (d *Driver) pinProgram(l *loading) error {
	dir := d.pins.program(l.program.Name, l.program.Link, l.program.Digest)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the directory of its pins: %w", err)
	}
	for name, m := range l.maps {
		if path := l.shared[name]; path != "" {
			if err := d.share(dir, name, path, settingsOf(l.program, name).External, m); err != nil {
				return fmt.Errorf("pin map %s: %w", name, err)
			}
		}
		if err := pin(m.FD(), mapPin(dir, name)); err != nil {
			return fmt.Errorf("pin map %s: %w", name, err)
		}
	}
	for name, p := range l.functions {
		if err := pin(p.FD(), functionPin(dir, name)); err != nil {
			return fmt.Errorf("pin function %s: %w", name, err)
		}
	}
	return nil
}

func (d *Driver) removeProgram(p resource.Program) error {
	d.lastWords(p)
	dir := d.pins.program(p.Name, p.Link, p.Digest)
	if err := errors.Join(d.unshare(dir), bpffs.RemoveTree(dir)); err != nil {
		return err
	}
	return bpffs.RemoveEmpty(filepath.Dir(dir))
}

// function opens a function of an instance, prepared or pinned.
func (d *Driver) function(s resource.Slot) (*ebpf.Program, error) {
	key := resource.ProgramKey(s.Program, s.Link, s.Digest)
	if l, ok := d.ready[key].(*loading); ok && l.functions[s.Function] != nil {
		return l.functions[s.Function].Clone()
	}
	p, err := openProgram(functionPin(d.pins.program(s.Program, s.Link, s.Digest), s.Function))
	if err != nil {
		return nil, fmt.Errorf("open program %s: %w", key.Name, err)
	}
	return p, nil
}

// openMap opens a map of an instance, prepared or pinned; the caller closes it.
func (d *Driver) openMap(m resource.Map) (*ebpf.Map, error) {
	key := resource.ProgramKey(m.Program, m.Link, m.Digest)
	if l, ok := d.ready[key].(*loading); ok {
		if open := l.maps[m.Name]; open != nil {
			return open.Clone()
		}
		return nil, fmt.Errorf("program %s has no map %s", m.Program, m.Name)
	}
	return ebpf.LoadPinnedMap(mapPin(d.pins.program(m.Program, m.Link, m.Digest), m.Name), nil)
}
