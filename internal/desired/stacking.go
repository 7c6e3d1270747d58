package desired

import (
	"cmp"
	"slices"

	"reconciler/internal/resource"
	"reconciler/internal/strict"
)

// Relations between links: pairs, masters and their ports, what stands on
// what.

// pairs finds the other end of every veth pair. Of two ends that name each
// other the first in the alphabet makes the pair.
func (b *builder) pairs() {
	for _, e := range b.doc.Interfaces {
		y := b.links[e.Name]
		if y.Kind.Val != "veth" || y.Veth == nil || !y.Veth.Peer.Ok() {
			continue
		}
		b.pair(e.Name, string(y.Veth.Peer.Val), y.Veth.Peer.At())
	}
}

func (b *builder) pair(name, peer string, at *strict.Value) {
	other, declared := b.links[peer]
	if first, taken := b.farEnds[peer]; taken {
		b.fault(at, "veth-peer", "%s is already the other end of %s", peer, first)
		return
	}
	if peer == name {
		b.fault(at, "veth-peer", "%s cannot be its own peer", name)
		return
	}
	if !declared {
		b.farEnds[peer] = name
		b.undeclaredPeer(name, peer, at)
		return
	}
	switch back := other.peer(); {
	case !other.Kind.Given():
		b.farEnds[peer] = name
	case back == name:
		if name < peer {
			b.farEnds[peer] = name
		}
	case other.Kind.Ok() && other.Kind.Val != "veth":
		b.fault(at, "veth-peer", "%s is a %s, not the other end of a veth pair", peer, other.Kind.Val).
			Hinted("give it kind: veth, or none")
	case back != "":
		b.fault(at, "veth-peer", "%s names %s as its peer, not %s", peer, back, name).
			Hinted("let both name each other, or only one of them")
	}
}

func (y *linkYAML) peer() string {
	if y.Veth == nil {
		return ""
	}
	return string(y.Veth.Peer.Val)
}

func (b *builder) undeclaredPeer(name, peer string, at *strict.Value) {
	if len(peer) > maxLinkName {
		b.fault(at, "bad-name", "%q has %d bytes, the name of an interface at most %d", peer, len(peer), maxLinkName)
	}
	b.add(resource.Link{
		Name: peer, Type: resource.Veth, Peer: name, Far: true, Group: resource.LinkGroup,
		State: resource.Up, Policy: resource.LinkPolicy{Optional: true},
	}, at)
}

// membership says whose port a link is.
type membership struct {
	master string
	at     *strict.Value
}

// ports gathers master: of the ports and ports: of the masters.
func (b *builder) ports() {
	for _, e := range b.doc.Interfaces {
		y := b.links[e.Name]
		if y.Master.Ok() {
			b.port(e.Name, string(y.Master.Val), y.Master.At())
		}
		first := map[linkName]*strict.Value{}
		for _, p := range y.ports() {
			switch other := first[p.Val]; {
			case !p.Ok():
			case other != nil:
				b.fault(p.At(), "port-twice", "%s is in the list already, at %s", p.Val, column(other.Pos)).Hinted("name it once")
			default:
				first[p.Val] = p.At()
				b.port(string(p.Val), e.Name, p.At())
			}
		}
	}
	for _, name := range sortedKeys(b.masters) {
		b.addPort(name, b.masters[name])
	}
}

// ports of a bridge, bond or vrf.
func (y *linkYAML) ports() []strict.V[linkName] {
	switch {
	case y.Bridge != nil:
		return y.Bridge.Ports
	case y.Bond != nil:
		return y.Bond.Ports
	case y.VRF != nil:
		return y.VRF.Ports
	}
	return nil
}

func (b *builder) port(name, master string, at *strict.Value) {
	first, ok := b.masters[name]
	if ok && first.master != master {
		b.fault(at, "two-masters", "%s is already a port of %s, at %s", name, first.master, first.at.Pos).
			Hinted("name it in one place")
		return
	}
	if !ok {
		b.masters[name] = membership{master, at}
	}
}

func (b *builder) addPort(name string, m membership) {
	kind := ""
	if y, ok := b.links[m.master]; ok {
		kind = y.Kind.Val
		if y.Kind.Ok() && !slices.Contains([]string{"bridge", "bond", "vrf"}, kind) {
			b.fault(m.at, "bad-master", "%s is a %s, which has no ports", m.master, kind).Hinted("name a bridge")
			return
		}
	}
	if y, ok := b.links[name]; ok && y.Kind.Val == "bridge" && kind == "bridge" {
		b.fault(m.at, "bridge-port", "%s is a bridge, and a bridge cannot be the port of one", name).
			Hinted("join two bridges by a veth pair, an end in each")
		return
	}
	if kind == "bond" || kind == "vrf" {
		b.add(resource.Unsupported{Name: "master " + m.master + " of " + name, Link: name}, m.at)
		return
	}
	b.add(resource.Port{Link: name, Master: m.master}, m.at)
}

// stacking reports links that stand on themselves. A link stands on its
// parent, and a master on its ports.
func (b *builder) stacking() {
	below := make(map[string][]edge)
	for _, e := range b.doc.Interfaces {
		if y := b.links[e.Name]; y.Parent.Ok() {
			below[e.Name] = append(below[e.Name], edge{string(y.Parent.Val), y.Parent.At()})
		}
	}
	for _, port := range sortedKeys(b.masters) {
		m := b.masters[port]
		below[m.master] = append(below[m.master], edge{port, m.at})
	}
	for _, cycle := range cycles(below) {
		at := slices.MinFunc(cycle, func(a, b edge) int { return comparePos(a.at.Pos, b.at.Pos) })
		names := cycle[len(cycle)-1].to
		for _, e := range cycle {
			names += " -> " + e.to
		}
		b.fault(at.at, "cycle", "these links stand on each other: %s", names)
	}
}

// edge leads to what a link stands on.
type edge struct {
	to string
	at *strict.Value
}

func comparePos(a, b strict.Pos) int {
	return cmp.Or(cmp.Compare(a.File.Name, b.File.Name), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
}

// cycles finds the cycles of a graph, each once, by depth-first search.
func cycles(below map[string][]edge) [][]edge {
	var found [][]edge
	const open, closed = 1, 2
	state := make(map[string]int)
	var trail []edge
	var visit func(string)
	visit = func(name string) {
		state[name] = open
		for _, e := range below[name] {
			trail = append(trail, e)
			switch state[e.to] {
			case 0:
				visit(e.to)
			case open:
				start := slices.IndexFunc(trail, func(t edge) bool { return t.to == e.to })
				if start == len(trail)-1 { // entered at the root of the search
					start = -1
				}
				found = append(found, slices.Clone(trail[start+1:]))
			}
			trail = trail[:len(trail)-1]
		}
		state[name] = closed
	}
	for _, name := range sortedKeys(below) {
		if state[name] == 0 {
			visit(name)
		}
	}
	return found
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
