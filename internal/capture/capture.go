// Package capture writes a live host in the language of the configuration, so
// that its plan is empty: the first contact with a host that others set up.
//
// It owns the choice of what is worth declaring: what people and scripts set,
// not what the kernel or a routing daemon does by itself. It reads an observed
// state and nothing else, and imports resource and observed.
package capture

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"reconciler/internal/observed"
	"reconciler/internal/resource"
)

// Options say what to write.
type Options struct {
	// All writes what daemons and protocols made, too.
	All bool
}

// YAML writes what was observed. The text is the same for the same state.
// Comments say what was left out, and why.
func YAML(have observed.State, o Options) []byte {
	w := &writer{have: have, options: o, skipped: map[tally]int{}, addrs: map[netip.Addr]string{}}
	w.collect()
	body := w.body()
	var b strings.Builder
	for _, line := range w.comments() {
		b.WriteString("# " + line + "\n")
	}
	b.WriteString("version: 1\n" + body)
	return []byte(b.String())
}

// writer collects what stands in each section.
type writer struct {
	have    observed.State
	options Options

	links   []resource.Link
	routes  []resource.Route
	rules   []resource.Rule
	ports   map[string][]string // by bridge
	on      map[string]*onLink
	addrs   map[netip.Addr]string // the link of each address
	served  map[netip.Addr]bool   // by VIPs
	skipped map[tally]int
	remarks []string
}

// onLink is what stands under a link.
type onLink struct {
	addresses  []resource.Address
	neighbours []resource.Neighbour
}

// tally counts what was left out.
type tally struct {
	kind   resource.Kind
	origin string
}

func (w *writer) collect() {
	w.ports, w.on, w.served = map[string][]string{}, map[string]*onLink{}, map[netip.Addr]bool{}
	for _, o := range w.have.Objects.All() {
		switch r := o.Resource.(type) {
		case resource.Link:
			w.link(r)
		case resource.VIP:
			for _, a := range r.Addresses {
				w.served[a] = true
			}
		}
	}
	for _, o := range w.have.Objects.All() {
		if w.leaves(o) || w.announced(o) {
			continue
		}
		switch r := o.Resource.(type) {
		case resource.Address:
			w.address(r)
		case resource.Neighbour:
			if on := w.on[r.Link]; on != nil {
				on.neighbours = append(on.neighbours, r)
			}
		case resource.Port:
			w.port(r)
		case resource.Route:
			w.route(r)
		case resource.Rule:
			w.rule(r)
		case resource.Chain:
			w.chain(r)
		case resource.VIP:
			w.vip(r)
		}
	}
}

// leaves reports that an object is not worth declaring: the kernel made it, or
// a daemon did, which would make it again.
func (w *writer) leaves(o resource.Object) bool {
	if o.Owner == resource.Kernel {
		return true
	}
	if o.Owner == resource.Ours || w.options.All || o.Key().Kind == resource.KindLink || byHand(o.Origin) {
		return false
	}
	w.skipped[tally{o.Key().Kind, o.Origin}]++
	return true
}

// byHand tells what people, scripts and ifupdown make from what routing
// daemons and protocols do.
func byHand(origin string) bool {
	return slices.Contains([]string{"", "unspec", "boot", "static", "0"}, origin)
}

// chain tells of a chain that it is there: of its programs the kernel knows the
// code, not where it came from.
func (w *writer) chain(c resource.Chain) {
	var programs []string
	for _, s := range c.Slots {
		programs = append(programs, strings.TrimSpace(s.Program+" "+s.Version))
	}
	w.remark("chain %s (%s): where its programs came from is not known here; undeclared, it is removed", c.Key().Name, strings.Join(programs, ", "))
}

// vip tells of a service that it is there: of its pools and checks the kernel
// knows nothing.
func (w *writer) vip(v resource.VIP) {
	w.remark("vip %s: which pools and checks are behind it is not known here; undeclared, it is removed", v.Key().Name)
}

// announced reports an address that is on its link for a VIP, which puts it there.
func (w *writer) announced(o resource.Object) bool {
	a, ok := o.Resource.(resource.Address)
	return ok && o.Owner == resource.Ours && a.Prefix.IsSingleIP() && w.served[a.Prefix.Addr()]
}

// name is what a link may be called in the configuration.
var name = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._-]*$`)

func (w *writer) link(l resource.Link) {
	if !name.MatchString(l.Name) {
		w.remark("interface %q: its name cannot be written here", l.Name)
		return
	}
	w.links = append(w.links, l)
	w.on[l.Name] = &onLink{}
}

func (w *writer) address(a resource.Address) {
	on := w.on[a.Link]
	if on == nil {
		return
	}
	if w.wordless(a, addressBeyond(a)) {
		return
	}
	ip := a.Prefix.Addr()
	if other, taken := w.addrs[ip]; taken && other != a.Link && !ip.IsLinkLocalUnicast() && !a.Peer.IsValid() {
		w.remark("address %s of %s: it is on %s as well", a.Prefix, a.Link, other)
		return
	}
	if !a.Peer.IsValid() {
		w.addrs[ip] = a.Link
	}
	if a.Other != "" {
		w.remark("%s of address %s", a.Other, a.Key().Name)
	}
	on.addresses = append(on.addresses, a)
}

func (w *writer) port(p resource.Port) {
	o, _ := w.have.Objects.Get(resource.LinkKey(p.Master))
	master, _ := o.Resource.(resource.Link)
	switch {
	case w.on[p.Link] == nil || w.on[p.Master] == nil:
	case master.Type != resource.Bridge:
		w.remark("%s is a port of %s, whose kind this version does not make", p.Link, p.Master)
	default:
		w.ports[p.Master] = append(w.ports[p.Master], p.Link)
	}
}

// wordless reports, and remarks, what the configuration has no word for.
func (w *writer) wordless(r resource.Resource, what string) bool {
	if what != "" {
		w.remark("%s %s: it has %s", r.Key().Kind, r.Key().Name, what)
	}
	return what != ""
}

func (w *writer) rule(r resource.Rule) {
	if !w.wordless(r, ruleBeyond(r)) {
		w.rules = append(w.rules, r)
	}
}

func (w *writer) route(r resource.Route) {
	if w.wordless(r, routeBeyond(r)) {
		return
	}
	for _, dev := range r.Parents() {
		if w.on[dev] == nil {
			w.remark("route %s: it leads to interface %q", r.Key().Name, dev)
			return
		}
	}
	for _, h := range r.Hops {
		if h.Via.IsValid() && h.Via.Is4() != r.To.Addr().Is4() {
			w.remark("route %s: its gateway %s is of the other family", r.Key().Name, h.Via)
			return
		}
	}
	w.routes = append(w.routes, r)
}

func (w *writer) remark(format string, args ...any) {
	w.remarks = append(w.remarks, fmt.Sprintf(format, args...))
}

// comments are the lines at the top: what is not in the text.
func (w *writer) comments() []string {
	lines := []string{"What runs on this host. Only what stands here is managed; delete what should not be."}
	var left []string
	for t, n := range w.skipped {
		left = append(left, fmt.Sprintf("%d of kind %s made by %s", n, t.kind, t.origin))
	}
	slices.Sort(left)
	for _, l := range left {
		lines = append(lines, "Left out: "+l+" (--all has them).")
	}
	for _, r := range w.remarks {
		lines = append(lines, "Left out: "+r+".")
	}
	for _, b := range w.have.Blind {
		lines = append(lines, "Could not be read: "+b.Scope.String()+": "+strings.ReplaceAll(b.Reason, "\n", " ")+".")
	}
	return lines
}
