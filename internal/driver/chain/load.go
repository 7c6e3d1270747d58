package chain

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"reconciler/internal/driver/bpffs"
	"reconciler/internal/driver/chain/value"
	"reconciler/internal/resource"
)

// load gives an object to the kernel: only the functions that run, and the
// maps that they use.
func (d *Driver) load(p resource.Program, obj *object) (*loading, error) {
	spec := obj.narrow(p.Functions)
	for _, s := range spec.Programs {
		fit(s, p.Frags)
	}
	if err := settle(spec, p); err != nil {
		return nil, err
	}
	spec.Variables = nil // all in their sections
	kept, copied, err := d.keepMaps(spec, p)
	defer closeMaps(kept)
	defer closeMaps(copied)
	if err != nil {
		return nil, err
	}
	coll, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{MapReplacements: kept, Cache: d.types})
	if err != nil {
		return nil, d.loadError(p, err)
	}
	l := &loading{program: p, functions: map[string]*ebpf.Program{}, maps: coll.Maps, shared: sharedPins(d.pins, p), made: map[string]bool{}}
	for name := range l.maps {
		l.made[name] = kept[name] == nil && copied[name] == nil
	}
	for name, prog := range coll.Programs {
		if slices.Contains(p.Functions, name) {
			l.functions[name] = prog
			continue
		}
		prog.Close() // held by the array that it is called through
	}
	if obj.asksKernel() {
		if err := l.mapsOfFunctions(obj); err != nil {
			l.close()
			return nil, err
		}
	}
	for name, from := range copied {
		if err := copyMap(from, l.maps[name]); err != nil {
			l.close()
			return nil, fmt.Errorf("copy map %s of the former version: %w", name, err)
		}
	}
	return l, nil
}

// fit gives programs of one chain what the kernel wants to be alike.
func fit(s *ebpf.ProgramSpec, frags bool) {
	s.Flags &^= bpfXDPHasFrags
	s.AttachType = ebpf.AttachNone
	if s.Type != ebpf.XDP {
		return
	}
	s.AttachType = ebpf.AttachXDP
	if frags {
		s.Flags |= bpfXDPHasFrags
	}
}

// keep drops what the functions do not reach: other entries, which may not
// even load here, and maps of theirs.
func keep(spec *ebpf.CollectionSpec, functions []string) {
	used := map[string]bool{}
	programs := map[string]bool{}
	for todo := slices.Clone(functions); len(todo) > 0; todo = todo[1:] {
		if programs[todo[0]] || spec.Programs[todo[0]] == nil {
			continue
		}
		programs[todo[0]] = true
		for _, name := range mapsIn(spec.Programs[todo[0]].Instructions) {
			if used[name] || spec.Maps[name] == nil {
				continue
			}
			used[name] = true
			for _, kv := range spec.Maps[name].Contents { // programs to call, maps within
				if ref, ok := kv.Value.(string); ok {
					used[ref] = used[ref] || spec.Maps[ref] != nil
					todo = append(todo, ref)
				}
			}
		}
	}
	maps.DeleteFunc(spec.Programs, func(name string, _ *ebpf.ProgramSpec) bool { return !programs[name] })
	maps.DeleteFunc(spec.Maps, func(name string, _ *ebpf.MapSpec) bool { return !used[name] })
	maps.DeleteFunc(spec.Variables, func(_ string, v *ebpf.VariableSpec) bool { return spec.Maps[v.SectionName] == nil })
}

func mapsIn(ins asm.Instructions) []string {
	var out []string
	for _, i := range ins {
		if i.IsLoadFromMap() && i.Reference() != "" {
			out = append(out, i.Reference())
		}
	}
	return out
}

// settle puts in what YAML says: constants, sizes and pins.
func settle(spec *ebpf.CollectionSpec, p resource.Program) error {
	for _, c := range p.Constants {
		v := spec.Variables[c.Name]
		if v == nil || !v.Constant() {
			return fmt.Errorf("constant %s: the program has %s", c.Name, orNone(constants(spec)))
		}
		raw, err := constant(v, c.Value)
		if err != nil {
			return fmt.Errorf("constant %s: %w", c.Name, err)
		}
		if err := setVariable(spec, v, raw); err != nil {
			return fmt.Errorf("constant %s: %w", c.Name, err)
		}
	}
	for _, m := range spec.Maps {
		m.Pinning = ebpf.PinNone // below the program's own folder, by us
		m.Extra = nil            // the same in iproute2's words, which the library refuses
	}
	for _, m := range p.Maps {
		s := spec.Maps[m.Name]
		if s == nil {
			return fmt.Errorf("map %s: the program uses %s", m.Name, orNone(mapNames(spec)))
		}
		if m.MaxEntries != 0 {
			s.MaxEntries = m.MaxEntries
		}
	}
	return nil
}

// setVariable writes a variable into its section. Left to the library it would
// be mapped into our memory when it is loaded, where nobody looks at it.
func setVariable(spec *ebpf.CollectionSpec, v *ebpf.VariableSpec, raw []byte) error {
	var section []byte
	m := spec.Maps[v.SectionName]
	if m != nil && len(m.Contents) == 1 {
		section, _ = m.Contents[0].Value.([]byte)
	}
	if len(raw) != int(v.Size()) || int(v.Offset)+len(raw) > len(section) {
		return fmt.Errorf("section %s has %d bytes, not room for %d at %d", v.SectionName, len(section), len(raw), v.Offset)
	}
	section = slices.Clone(section)
	copy(section[v.Offset:], raw)
	m.Contents = []ebpf.MapKV{{Key: m.Contents[0].Key, Value: section}}
	return nil
}

func constant(v *ebpf.VariableSpec, given resource.Value) ([]byte, error) {
	codec := value.Plain(int(v.Size()))
	if v.Type != nil {
		var err error
		if codec, err = value.Of(v.Type.Type, int(v.Size())); err != nil {
			return nil, err
		}
	}
	return codec.Encode(given)
}

func constants(spec *ebpf.CollectionSpec) []string {
	var out []string
	for name, v := range spec.Variables {
		if v.Constant() {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

func mapNames(spec *ebpf.CollectionSpec) []string {
	var out []string
	for name := range spec.Maps {
		if !strings.HasPrefix(name, ".") {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

func orNone(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// keepMaps finds the maps that the new instance shares with a former version
// or with others, and those whose contents it is to begin with.
func (d *Driver) keepMaps(spec *ebpf.CollectionSpec, p resource.Program) (kept, copied map[string]*ebpf.Map, err error) {
	kept, copied = map[string]*ebpf.Map{}, map[string]*ebpf.Map{}
	own, former, policy := d.pins.program(p.Name, p.Link, p.Digest), d.former(p), p.OnNewVersion
	if filepath.Base(former) == p.Digest {
		policy = "" // the same version under the former name of its interface
	}
	for name, s := range spec.Maps {
		settings := settingsOf(p, name)
		switch {
		case settings.Pin != "":
			err = d.keepPinned(kept, name, s, d.pins.shared(settings.Pin))
		case keepOwn(kept, name, s, mapPin(own, name)):
		case former == "" || !keepable(name, s):
		default:
			err = keepFormer(kept, copied, name, s, mapPin(former, name), policy)
		}
		if err != nil {
			return kept, copied, fmt.Errorf("map %s: %w", name, err)
		}
	}
	return kept, copied, nil
}

func settingsOf(p resource.Program, name string) resource.MapSettings {
	for _, m := range p.Maps {
		if m.Name == name {
			return m
		}
	}
	return resource.MapSettings{}
}

// keepable tells maps of the program's own from what belongs to its code:
// sections of variables, and programs to call.
func keepable(name string, s *ebpf.MapSpec) bool {
	return !strings.HasPrefix(name, ".") && s.Type != ebpf.ProgramArray
}

func (d *Driver) keepPinned(kept map[string]*ebpf.Map, name string, s *ebpf.MapSpec, path string) error {
	m, err := ebpf.LoadPinnedMap(path, nil)
	if errors.Is(err, os.ErrNotExist) {
		m, err = d.aboutToPin(path)
	}
	if m == nil && err == nil {
		return nil // made with the program
	}
	if err != nil {
		return fmt.Errorf("open its pin %s: %w", path, err)
	}
	kept[name] = m
	if err := s.Compatible(m); err != nil {
		return fmt.Errorf("what is pinned at %s does not fit: %w", path, err)
	}
	return nil
}

// aboutToPin finds the map of a program that is prepared, and pins it there as
// well; nil if there is none.
func (d *Driver) aboutToPin(path string) (*ebpf.Map, error) {
	for _, r := range d.ready {
		l, ok := r.(*loading)
		if !ok {
			continue
		}
		for name, at := range l.shared {
			if at == path && l.maps[name] != nil {
				return l.maps[name].Clone()
			}
		}
	}
	return nil, nil
}

// keepOwn finds a map of this very version: pinned by a run that was killed, or
// left when the pin of its function went.
func keepOwn(kept map[string]*ebpf.Map, name string, s *ebpf.MapSpec, path string) bool {
	if s.Type == ebpf.ProgramArray {
		return false
	}
	m, err := ebpf.LoadPinnedMap(path, nil)
	if err != nil {
		return false
	}
	if s.Compatible(m) != nil {
		m.Close()
		return false
	}
	kept[name] = m
	return true
}

func keepFormer(kept, copied map[string]*ebpf.Map, name string, s *ebpf.MapSpec, path string, policy resource.NewVersion) error {
	if policy == resource.Fresh {
		return nil
	}
	m, err := ebpf.LoadPinnedMap(path, nil)
	if errors.Is(err, os.ErrNotExist) {
		return nil // new with this version
	}
	if err != nil {
		return fmt.Errorf("open that of the former version: %w", err)
	}
	fits := s.Compatible(m)
	switch {
	case policy == resource.Copy && m.Type() == s.Type && m.KeySize() == s.KeySize && m.ValueSize() == s.ValueSize:
		copied[name] = m
		return nil
	case policy != resource.Copy && fits == nil:
		kept[name] = m
		return nil
	}
	m.Close()
	switch policy {
	case resource.Reuse:
		return fmt.Errorf("on-new-version: reuse, but its layout differs from that of the former version: %w", fits)
	case resource.Copy:
		return errors.New("on-new-version: copy, but key or value has another size than in the former version")
	}
	return nil
}

// former is the directory of the version of an instance that runs now, or else
// of the newest that is pinned; empty if there is none.
func (d *Driver) former(p resource.Program) string {
	dir := filepath.Dir(d.pins.program(p.Name, p.Link, p.Digest))
	for _, c := range d.chainsSeen() {
		for _, s := range c.Slots {
			if s.Program != p.Name || s.Link == p.Link && s.Digest == p.Digest {
				continue
			}
			// Of an interface that was renamed, it has the former name.
			renamed := s.Link != "" && c.Link == p.Link
			was := d.pins.program(s.Program, s.Link, s.Digest)
			if (s.Link == p.Link || renamed) && bpffs.Exists(was) {
				return was
			}
		}
	}
	digests, _ := bpffs.List(dir)
	newest, found := int64(0), ""
	for _, digest := range digests {
		info, err := os.Stat(filepath.Join(dir, digest))
		if err == nil && digest != p.Digest && info.ModTime().UnixNano() >= newest {
			newest, found = info.ModTime().UnixNano(), filepath.Join(dir, digest)
		}
	}
	return found
}

func closeMaps(maps map[string]*ebpf.Map) {
	for _, m := range maps {
		m.Close()
	}
}

// loadError says which program the kernel refused and why: the verifier's
// decisive line here, all of its log where it is asked for.
func (d *Driver) loadError(p resource.Program, err error) error {
	var ve *ebpf.VerifierError
	if !errors.As(err, &ve) {
		return fmt.Errorf("load program %s: %w", resource.Instance(p.Name, p.Link), err)
	}
	d.cfg.Log.Debug("verifier log", "program", p.Name, "log", fmt.Sprintf("%+v", ve))
	return &RefusedError{Program: p.Name, Functions: p.Functions, Line: decisive(ve.Log), Err: ve}
}

// RefusedError is a program that the verifier refused. It prints the decisive
// line of the log, and all of it with %+v.
type RefusedError struct {
	Program   string
	Functions []string
	Line      string
	Err       *ebpf.VerifierError
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("load program %s (entry %s): the verifier refuses it: %s", e.Program, strings.Join(e.Functions, ", "), e.Line)
}

// Format prints the whole log with %+v.
func (e *RefusedError) Format(f fmt.State, verb rune) {
	fmt.Fprint(f, e.Error())
	if verb == 'v' && f.Flag('+') {
		fmt.Fprintf(f, "\n%+v", e.Err)
	}
}

// Unwrap is the library's error.
func (e *RefusedError) Unwrap() error { return e.Err }

// decisive is what a log ends with, statistics aside: what was wrong, in a line
// or two after the last instruction.
func decisive(log []string) string {
	var found []string
	for _, line := range slices.Backward(log) {
		line = strings.TrimSpace(line)
		switch {
		case line == "" || strings.HasPrefix(line, "processed ") || strings.HasPrefix(line, "verification time") || strings.HasPrefix(line, "stack depth"):
			continue
		case len(found) > 0 && (len(found) == mostDecisive || isTrace(line)):
			return strings.Join(found, "; ")
		}
		found = slices.Insert(found, 0, line)
	}
	if len(found) > 0 {
		return strings.Join(found, "; ")
	}
	return "no reason given"
}

const mostDecisive = 2 // lines

// isTrace tells instructions, source lines and registers from what is said.
func isTrace(line string) bool {
	number, _, colon := strings.Cut(line, ":")
	_, err := strconv.Atoi(number)
	return colon && err == nil || strings.HasPrefix(line, ";") || strings.HasPrefix(line, "from ")
}
