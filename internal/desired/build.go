package desired

import (
	"net/netip"

	"reconciler/internal/resource"
	"reconciler/internal/strict"
)

// builder turns a document into resources and checks it against itself.
type builder struct {
	report *strict.Report
	doc    *document
	want   *resource.Set
	at     map[resource.Key]*strict.Value // where each resource is declared

	tables  map[string]uint32
	links   map[string]*linkYAML
	linkAt  map[string]strict.Child // the entry of each link
	farEnds map[string]string       // the other end of a veth pair, to the end that makes it
	masters map[string]membership   // by port
	onLinks map[netip.Addr]declaredAddress

	around   *surroundings
	programs map[string]*program
	metrics  map[string][]published         // by their name
	claims   map[resource.Key]*strict.Value // the hooks of interfaces that have a chain

	lb balancing

	daemons map[string]*daemon
	roots   map[string]*strict.Value // of upgrades
}

// build returns what is wanted, and where each of it is declared.
func build(doc *document, report *strict.Report, around *surroundings) (*resource.Set, map[resource.Key]*strict.Value) {
	n := len(doc.Interfaces) + len(doc.Routes) + len(doc.Rules)
	b := &builder{
		report: report, doc: doc, want: resource.NewSet(n), at: make(map[resource.Key]*strict.Value, n),
		tables: make(map[string]uint32), links: make(map[string]*linkYAML), linkAt: make(map[string]strict.Child),
		farEnds: make(map[string]string), masters: make(map[string]membership),
		around: around, programs: make(map[string]*program), metrics: make(map[string][]published),
		claims: make(map[resource.Key]*strict.Value), daemons: make(map[string]*daemon), roots: make(map[string]*strict.Value),
	}
	for _, e := range doc.Tables {
		b.tables[e.Name] = e.Val.Val // 0 where it is at fault itself
	}
	for i := range doc.Interfaces {
		e := &doc.Interfaces[i]
		b.links[e.Name], b.linkAt[e.Name] = &e.Val, e.Key
	}
	b.pairs()
	b.ports()
	for i := range doc.Interfaces {
		b.link(doc.Interfaces[i].Name, &doc.Interfaces[i].Val)
	}
	b.linksOverall()
	b.stacking()
	b.addressesOverall()
	for i := range doc.Routes {
		b.route(&doc.Routes[i])
	}
	for i := range doc.Rules {
		b.rule(&doc.Rules[i])
	}
	b.hostSysctls()
	b.readBalancer()
	b.readPrograms()
	for i := range doc.Chains {
		e := &doc.Chains[i]
		b.chain(e.Name, e.Key, &e.Val)
	}
	b.addPrograms()
	b.balance()
	b.probes()
	b.readDaemons()
	b.readUpgrades()
	b.addDaemons()
	return b.want, b.at
}

// fault reports an error at a value.
func (b *builder) fault(at *strict.Value, code, format string, args ...any) *strict.Problem {
	p := strict.Problemf(code, format, args...)
	b.report.At(at, p)
	return p
}

// faultKey reports an error at the key of an entry.
func (b *builder) faultKey(c strict.Child, code, format string, args ...any) *strict.Problem {
	p := strict.Problemf(code, format, args...)
	b.report.AtKey(c, p)
	return p
}

// add puts a resource into the wanted set.
func (b *builder) add(r resource.Resource, at *strict.Value) {
	k := r.Key()
	if first, ok := b.at[k]; ok {
		b.report.At(at, strict.Problemf("declared-twice", "%s %s is also declared at %s", k.Kind, k.Name, first.Pos))
		return
	}
	b.at[k] = at
	b.want.Put(resource.Object{Resource: r, Origin: at.Pos.String()})
}

// unsupported notes what is accepted and not applied.
func (b *builder) unsupported(what, link string, at *strict.Value) {
	b.add(resource.Unsupported{Name: what + " of " + link, Link: link}, at)
}

// table resolves a reference to a routing table.
func (b *builder) table(t strict.V[tableRef], otherwise uint32) uint32 {
	if !t.Ok() {
		return otherwise
	}
	if t.Val.name == "" {
		return t.Val.number
	}
	if n, ok := wellKnownTables(t.Val.name); ok {
		return n
	}
	if n, ok := b.tables[t.Val.name]; ok {
		return n
	}
	p := strict.Problemf("unknown-table", "no table is named %s", t.Val.name).
		Hinted("name it under tables:, or give its number")
	if near := strict.Nearest(t.Val.name, sortedKeys(b.tables)); near != "" {
		p.Hinted("did you mean %s?", near)
	}
	b.report.At(t.At(), p)
	return otherwise
}

// wellKnownTables are the names that iproute2 gives in its rt_tables.
func wellKnownTables(name string) (uint32, bool) {
	switch name {
	case "main":
		return resource.MainTable, true
	case "local":
		return 255, true
	case "default":
		return 253, true
	}
	return 0, false
}
