package desired

import (
	"slices"

	"reconciler/internal/resource"
	"reconciler/internal/strict"
)

// chainYAML is what runs on the hooks of interfaces, as written.
type chainYAML struct {
	strict.Here
	Interfaces []strict.V[linkName] `yaml:"interfaces" doc:"Left out: the interface that the chain is named for."`
	XDPIngress *hookYAML            `yaml:"xdp-ingress" doc:"Before the stack has seen the packet."`
	TCIngress  *hookYAML            `yaml:"tc-ingress" doc:"On the way into the stack."`
	TCEgress   *hookYAML            `yaml:"tc-egress" doc:"On the way out."`
}

// hookYAML is an ordered list of programs on one hook.
type hookYAML struct {
	strict.Here
	Mode     strict.V[string] `yaml:"mode" enum:"native,generic,auto" doc:"Of xdp-ingress. auto: native, else generic. Default native."`
	Takeover strict.V[bool]   `yaml:"takeover" doc:"Of xdp-ingress: evict a program of somebody else. Default false."`
	Programs []slotYAML       `yaml:"programs" doc:"In the order in which they run; 16 at most."`
}

// slotYAML is an item of that list.
type slotYAML struct {
	strict.Here
	Program   strict.V[string]    `yaml:"program" short:"true" doc:"A name of programs:."`
	ProceedOn []strict.V[verdict] `yaml:"proceed-on" doc:"After which return codes the next one runs. Default: xdp [pass], tc [unspec, ok, pipe]."`
	Enabled   strict.V[bool]      `yaml:"enabled" doc:"false: it stays in the list and is not run."`
	Builtin   strict.V[string]    `yaml:"builtin" enum:"lb" doc:"In place of program: the load balancer."`
}

// verdict names a return code; which there are depends on the hook.
type verdict string

func (n *verdict) ReadScalar(v *strict.Value) *strict.Problem {
	if v.Kind != strict.String {
		return strict.Problemf("wrong-type", "want the name of a return code, have %s: %s", v.Kind, v.Text)
	}
	*n = verdict(v.Text)
	return nil
}

func (*verdict) ScalarSchema() strict.Schema {
	var all []any
	for _, hook := range resource.Hooks() {
		for _, name := range hook.Verdicts() {
			if !slices.Contains(all, any(name)) {
				all = append(all, name)
			}
		}
	}
	return strict.Schema{"enum": all}
}

// place is one hook of a chain and where it is written.
type place struct {
	label string
	hook  resource.Hook
	yaml  *hookYAML
	at    *strict.Value
}

// hooks lists those that a chain speaks of.
func (y *chainYAML) hooks(label string) []place {
	var out []place
	for _, p := range []place{{hook: resource.XDPIngress, yaml: y.XDPIngress}, {hook: resource.TCIngress, yaml: y.TCIngress},
		{hook: resource.TCEgress, yaml: y.TCEgress}} {
		if p.yaml == nil {
			continue
		}
		for _, c := range y.At().Children {
			if c.Key == string(p.hook) {
				p.label, p.at = label, declared(c)
			}
		}
		out = append(out, p)
	}
	return out
}

// on is an interface of a chain and where it is named.
type on struct {
	link string
	at   *strict.Value
}

func (b *builder) chain(label string, key strict.Child, y *chainYAML) {
	links := b.chainLinks(label, key, y)
	for _, p := range y.hooks(label) {
		b.checkHook(p)
		slots := b.slots(p)
		if p.yaml.Programs == nil {
			continue // a layer may say no more than the mode
		}
		for _, o := range links {
			if b.claim(p, o) {
				b.addChain(p, o.link, slots)
			}
		}
	}
}

// chainLinks are the interfaces of a chain, each once.
func (b *builder) chainLinks(label string, key strict.Child, y *chainYAML) []on {
	if given := y.At().Get("interfaces"); given == nil || given.Kind == strict.Null {
		if _, declared := b.links[label]; !declared && len(label) > maxLinkName {
			b.report.AtKey(key, strict.Problemf("bad-name", "%q has %d bytes, the name of an interface at most %d", label, len(label), maxLinkName).
				Hinted("give interfaces, and the chain may be called so"))
		}
		return []on{{label, declared(key)}}
	}
	var links []on
	for _, v := range y.Interfaces {
		if !v.Ok() {
			continue
		}
		link := b.dev(v)
		if i := slices.IndexFunc(links, func(o on) bool { return o.link == link }); i >= 0 {
			b.fault(v.At(), "chain-twice", "%s is in the list already, at %s", link, column(links[i].at.Pos))
			continue
		}
		links = append(links, on{link, v.At()})
	}
	return links
}

func (b *builder) checkHook(p place) {
	if p.hook.IsXDP() {
		return
	}
	for _, v := range []*strict.Value{p.yaml.Mode.At(), p.yaml.Takeover.At()} {
		if v != nil {
			b.fault(v, "wrong-hook", "mode and takeover belong to %s", resource.XDPIngress)
		}
	}
}

// claim gives a hook of an interface to one chain.
func (b *builder) claim(p place, o on) bool {
	key := resource.ChainKey(o.link, p.hook)
	if other := b.claims[key]; other != nil {
		b.fault(p.at, "chain-twice", "%s of %s has a chain already, at %s", p.hook, o.link, other.Pos)
		return false
	}
	b.claims[key] = p.at
	return true
}

// addChain adds the chain of one interface, unless nothing runs in it.
func (b *builder) addChain(p place, link string, slots []slot) {
	c := resource.Chain{Link: link, Hook: p.hook, Label: p.label, Takeover: p.yaml.Takeover.Val}
	if p.hook.IsXDP() {
		c.Mode = resource.XDPMode(p.yaml.Mode.Or(string(resource.Native)))
	}
	for _, s := range slots {
		if s.builtin {
			b.runsBalancer(s.at)
		}
		if s.program == nil {
			b.unsupported("builtin lb", link, s.at)
			continue
		}
		c.Slots = append(c.Slots, resource.Slot{
			Program: s.program.one.Name, Link: s.program.use(link, p.hook), Version: s.program.one.Version, Proceed: s.proceed,
		})
	}
	if len(c.Slots) > 0 {
		b.add(c, p.at)
	}
}
