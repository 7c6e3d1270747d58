package desired

import (
	"maps"
	"slices"
	"strings"

	"reconciler/internal/resource"
	"reconciler/internal/strict"
)

// programYAML is a program as written.
type programYAML struct {
	strict.Here
	Object       *objectYAML              `yaml:"object" required:"true" doc:"Where its bytes come from."`
	Version      strict.V[programVersion] `yaml:"version" doc:"A word for people, and for {version} in the object's url and path."`
	Entry        strict.V[string]         `yaml:"entry" min:"1" max:"128" doc:"The function in the object; may be left out if there is one of the hook's type."`
	Constants    strict.Map[strict.Raw]   `yaml:"constants" names:"^[a-zA-Z_][a-zA-Z0-9_]*$" doc:"Constants of the program (.rodata)."`
	OnNewVersion strict.V[string]         `yaml:"on-new-version" enum:"reuse,copy,fresh" doc:"What becomes of the contents of its maps. Default: reuse where the layout is the same, else fresh."`
	Instances    strict.V[string]         `yaml:"instances" enum:"shared,per-interface" doc:"shared: one for all interfaces. Default per-interface."`
	Maps         strict.Map[mapYAML]      `yaml:"maps" names:"^[a-zA-Z_.][a-zA-Z0-9_.]*$" doc:"Maps by name: their contents, and how they are kept."`
	Metrics      []metricYAML             `yaml:"metrics" doc:"Values of maps that are published."`
}

// program is a declared program and what each of its instances is made of.
type program struct {
	at     *strict.Value
	one    resource.Program
	shared bool // one instance for all links
	maps   []declaredMap
	hooks  map[string][]resource.Hook // of the instances that run, by link
}

type declaredMap struct {
	resource.Map
	at strict.Child
}

// maxProgramName leaves room for the link and the digest in names of files.
const maxProgramName = 63 // bytes

// readPrograms checks the programs. What they make depends on the chains.
func (b *builder) readPrograms() {
	for i := range b.doc.Programs {
		e := &b.doc.Programs[i]
		if len(e.Name) > maxProgramName {
			b.report.AtKey(e.Key, strict.Problemf("bad-name", "%q has %d bytes, the name of a program at most %d",
				e.Name, len(e.Name), maxProgramName))
		}
		b.programs[e.Name] = b.program(e.Name, declared(e.Key), &e.Val)
	}
	b.pins()
}

func (b *builder) program(name string, at *strict.Value, y *programYAML) *program {
	p := &program{at: at, shared: y.Instances.Val == "shared", hooks: make(map[string][]resource.Hook)}
	p.one = resource.Program{
		Name: name, Version: string(y.Version.Val), Source: b.object(y), Entry: y.Entry.Val,
		OnNewVersion: resource.NewVersion(y.OnNewVersion.Val),
	}
	for _, e := range y.Constants {
		if v, ok := b.raw(e.Val); ok {
			p.one.Constants = append(p.one.Constants, resource.NamedValue{Name: e.Name, Value: v})
		}
	}
	// The order in which things are written makes no other program.
	slices.SortFunc(p.one.Constants, func(a, b resource.NamedValue) int { return strings.Compare(a.Name, b.Name) })
	for i := range y.Maps {
		e := &y.Maps[i]
		b.checkMap(&e.Val)
		if s, ok := e.Val.settings(e.Name); ok {
			p.one.Maps = append(p.one.Maps, s)
		}
		if m, ok := b.contents(name, e.Name, &e.Val); ok {
			m.Tree = p.one.Source.Tree
			p.maps = append(p.maps, declaredMap{m, e.Key})
		}
	}
	slices.SortFunc(p.one.Maps, func(a, b resource.MapSettings) int { return strings.Compare(a.Name, b.Name) })
	for i := range y.Metrics {
		if m, ok := b.metric(name, &y.Metrics[i]); ok {
			p.one.Metrics = append(p.one.Metrics, m)
		}
	}
	return p
}

// use notes that a program runs on a hook, and returns the link of the
// instance that does.
func (p *program) use(link string, hook resource.Hook) string {
	if p.shared {
		link = ""
	}
	if !slices.Contains(p.hooks[link], hook) {
		p.hooks[link] = append(p.hooks[link], hook)
	}
	return link
}

// addPrograms adds the instances that some chain runs.
func (b *builder) addPrograms() {
	for i := range b.doc.Programs {
		b.addProgram(b.programs[b.doc.Programs[i].Name])
	}
	if b.lb.program != nil {
		b.addProgram(b.lb.program)
	}
}

func (b *builder) addProgram(p *program) {
	for _, link := range slices.Sorted(maps.Keys(p.hooks)) {
		one := p.one
		one.Link, one.Hooks = link, slices.Sorted(slices.Values(p.hooks[link]))
		b.add(one, p.at)
		for _, m := range p.maps {
			m.Link = link
			b.add(m.Map, declared(m.at))
		}
	}
}
