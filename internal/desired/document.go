package desired

import (
	"slices"

	"reconciler/internal/strict"
)

// document is one document as written: what is given and where, not yet
// checked against the rest. All files of a tree add up to one.
type document struct {
	strict.Here
	Version      strict.V[uint32]                  `yaml:"version" min:"1" max:"1" required:"true" doc:"The version of this language: 1."`
	Sysctl       strict.Map[strict.V[sysctlValue]] `yaml:"sysctl" names:"^net[./][a-zA-Z0-9@:._/-]+$" doc:"Kernel parameters of the host, below net."`
	Tables       strict.Map[strict.V[uint32]]      `yaml:"tables" names:"^[a-zA-Z0-9][a-zA-Z0-9._-]*$" min:"1" doc:"Names for routing tables."`
	Interfaces   strict.Map[linkYAML]              `yaml:"interfaces" names:"^[a-zA-Z0-9][a-zA-Z0-9._-]*$" doc:"Interfaces by name: existing ones, and those to be made."`
	Routes       []routeYAML                       `yaml:"routes" doc:"Routes; identified by family, table, to and metric."`
	Rules        []ruleYAML                        `yaml:"rules" doc:"Routing policy rules; identified by family and priority."`
	Programs     strict.Map[programYAML]           `yaml:"programs" names:"^[a-zA-Z0-9][a-zA-Z0-9._-]*$" doc:"BPF programs by name; loaded if a chain runs them."`
	Chains       strict.Map[chainYAML]             `yaml:"chains" names:"^[a-zA-Z0-9][a-zA-Z0-9._-]*$" doc:"Which programs run on which hooks of interfaces, in which order."`
	Probes       strict.Map[probeYAML]             `yaml:"probes" names:"^[a-zA-Z0-9][a-zA-Z0-9._-]*$" doc:"Programs that hang on no interface; not applied by this version."`
	LB           *balancerYAML                     `yaml:"lb" doc:"The load balancer: its capacities, and what all VIPs have in common."`
	Healthchecks strict.Map[checkYAML]             `yaml:"healthchecks" names:"^[a-zA-Z0-9][a-zA-Z0-9._-]*$" doc:"How backends are asked whether they are well."`
	Backends     strict.Map[backendYAML]           `yaml:"backends" names:"^[a-zA-Z0-9][a-zA-Z0-9._-]*$" doc:"Servers behind VIPs."`
	Pools        strict.Map[poolYAML]              `yaml:"pools" names:"^[a-zA-Z0-9][a-zA-Z0-9._-]*$" doc:"Backends that serve together, with their weights."`
	VIPs         strict.Map[vipYAML]               `yaml:"vips" names:"^[a-zA-Z0-9][a-zA-Z0-9._-]*$" doc:"Services: addresses and ports, and the pools behind them."`
	Drains       strict.Map[drainYAML]             `yaml:"drains" names:"^[a-zA-Z0-9][a-zA-Z0-9._-]*$" doc:"Orders to take backends out, by their labels."`
	Daemons      strict.Map[daemonYAML]            `yaml:"daemons" names:"^[a-zA-Z0-9][a-zA-Z0-9._-]*$" doc:"Processes that are kept running."`
	Upgrades     strict.Map[upgradeYAML]           `yaml:"upgrades" names:"^[a-zA-Z0-9][a-zA-Z0-9._-]*$" doc:"Versioned binaries, and how one takes the place of another."`
}

// sections are the keys of a document beside its version.
var sections = []string{"sysctl", "tables", "interfaces", "routes", "rules", "programs", "chains",
	"lb", "healthchecks", "backends", "pools", "vips", "drains", "probes", "daemons", "upgrades"}

// treeKeys belong into reconciler.yaml.
var treeKeys = []string{"layers", "fleet", "min-version"}

// agentKeys belong into the agent's own file.
var agentKeys = []string{
	"source", "hostname", "labels", "mode", "resync", "confirm", "protect", "bypass", "guards", "allow", "rescue", "rollout",
	"state-dir", "socket", "metrics",
}

// UnknownKey explains sections of other files.
func (*document) UnknownKey(key string) *strict.Problem {
	switch {
	case slices.Contains(treeKeys, key):
		return strict.Problemf("unknown-key", "%s: belongs into reconciler.yaml at the root of the tree", key)
	case slices.Contains(agentKeys, key):
		return strict.Problemf("unknown-key", "%s: belongs into the agent's own file, on the host", key).
			Hinted("/etc/reconciler/agent.yaml")
	}
	return nil
}
