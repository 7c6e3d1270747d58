package desired

import (
	"time"

	"reconciler/internal/resource"
	"reconciler/internal/strict"
)

// What follows is accepted, and not applied by this version.

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

// daemonYAML is a helper in user space, as written.
type daemonYAML struct {
	strict.Here
	For       strict.V[string]             `yaml:"for" min:"1" max:"255" doc:"chains/NAME: one for each of its interfaces."`
	Command   []strict.V[string]           `yaml:"command" required:"true" doc:"The program and its arguments."`
	RestartOn []strict.V[string]           `yaml:"restart-on" doc:"What its restart follows: programs/NAME."`
	User      strict.V[string]             `yaml:"user" min:"1" max:"32" doc:"Default: an unprivileged user."`
	Env       strict.Map[strict.V[string]] `yaml:"env" names:"^[a-zA-Z_][a-zA-Z0-9_]*$" doc:"Environment."`
	Files     strict.Map[strict.V[string]] `yaml:"files" doc:"Files beside it, by name, with their contents."`
	Reload    *reloadYAML                  `yaml:"reload" doc:"For a change of files alone."`
	Limits    *limitsYAML                  `yaml:"limits" doc:"Of its cgroup."`
	Restart   *restartYAML                 `yaml:"restart"`
}

type reloadYAML struct {
	strict.Here
	Signal strict.V[string] `yaml:"signal" enum:"HUP,USR1,USR2"`
}

type limitsYAML struct {
	strict.Here
	Memory strict.V[string] `yaml:"memory" min:"1" max:"32" doc:"64MiB."`
	CPU    strict.V[string] `yaml:"cpu" min:"1" max:"32" doc:"50%."`
}

type restartYAML struct {
	strict.Here
	Policy strict.V[string]        `yaml:"policy" enum:"always,on-failure,never"`
	Max    strict.V[uint32]        `yaml:"max"`
	Window strict.V[time.Duration] `yaml:"window"`
}

func (b *builder) laterSections() {
	for _, e := range b.doc.Probes {
		b.add(resource.Unsupported{Name: "probe " + e.Name}, declared(e.Key))
	}
	for _, e := range b.doc.Daemons {
		b.add(resource.Unsupported{Name: "daemon " + e.Name}, declared(e.Key))
	}
}
