package desired

import (
	"reconciler/internal/resource"
	"reconciler/internal/strict"
)

// probeYAML is a program that hangs on no interface, as written.
type probeYAML struct {
	strict.Here
	Program strict.V[string] `yaml:"program" required:"true" doc:"A name of programs:."`
	Attach  *attachYAML      `yaml:"attach" required:"true"`
}

type attachYAML struct {
	strict.Here
	Tracepoint strict.V[string] `yaml:"tracepoint" min:"1" max:"255" required:"true" doc:"group/name."`
}

// probes are accepted, and not applied by this version.
func (b *builder) probes() {
	for _, e := range b.doc.Probes {
		b.add(resource.Unsupported{Name: "probe " + e.Name}, declared(e.Key))
	}
}
