package desired

import (
	"slices"

	"reconciler/internal/strict"
)

// document is one document as written: what is given and where, not yet
// checked against the rest. All files of a tree add up to one.
type document struct {
	strict.Here
	Version    strict.V[uint32]                  `yaml:"version" min:"1" max:"1" required:"true" doc:"The version of this language: 1."`
	Sysctl     strict.Map[strict.V[sysctlValue]] `yaml:"sysctl" names:"^net[./][a-zA-Z0-9@:._/-]+$" doc:"Kernel parameters of the host, below net."`
	Tables     strict.Map[strict.V[uint32]]      `yaml:"tables" names:"^[a-zA-Z0-9][a-zA-Z0-9._-]*$" min:"1" doc:"Names for routing tables."`
	Interfaces strict.Map[linkYAML]              `yaml:"interfaces" names:"^[a-zA-Z0-9][a-zA-Z0-9._-]*$" doc:"Interfaces by name: existing ones, and those to be made."`
	Routes     []routeYAML                       `yaml:"routes" doc:"Routes; identified by family, table, to and metric."`
	Rules      []ruleYAML                        `yaml:"rules" doc:"Routing policy rules; identified by family and priority."`
}

// laterSections are known to the language, but not to this version.
var laterSections = []string{
	"programs", "chains", "probes", "daemons", "lb", "healthchecks", "backends", "pools", "vips", "drains", "upgrades",
}

// treeKeys belong into reconciler.yaml.
var treeKeys = []string{"layers", "fleet", "min-version"}

// agentKeys belong into the agent's own file.
var agentKeys = []string{
	"source", "hostname", "labels", "mode", "resync", "confirm", "protect", "bypass", "guards", "allow", "rescue", "rollout",
	"state-dir", "socket", "metrics",
}

// UnknownKey explains sections of later versions and of other files.
func (*document) UnknownKey(key string) *strict.Problem {
	switch {
	case slices.Contains(laterSections, key):
		return strict.Problemf("unknown-section", "this version does not know %s yet", key).
			Hinted("it knows version, sysctl, tables, interfaces, routes and rules")
	case slices.Contains(treeKeys, key):
		return strict.Problemf("unknown-key", "%s: belongs into reconciler.yaml at the root of the tree", key)
	case slices.Contains(agentKeys, key):
		return strict.Problemf("unknown-key", "%s: belongs into the agent's own file, on the host", key)
	}
	return nil
}
