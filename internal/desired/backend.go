package desired

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"reconciler/internal/resource"
	"reconciler/internal/strict"
)

// backendYAML is a backend as written.
type backendYAML struct {
	strict.Here
	Description strict.V[string]           `yaml:"description" max:"255" doc:"For people."`
	Address     strict.V[netip.Addr]       `yaml:"address" doc:"In place of addresses, if it has one."`
	Addresses   []backendAddressYAML       `yaml:"addresses" doc:"One of each family; the VIP's family picks."`
	Healthcheck strict.V[string]           `yaml:"healthcheck" doc:"A name of healthchecks:. Left out: it is always up."`
	Labels      strict.Map[strict.V[word]] `yaml:"labels" names:"^[a-zA-Z0-9][a-zA-Z0-9._-]*$" doc:"Words to select it by."`
	Enabled     strict.V[bool]             `yaml:"enabled" doc:"false: it gets no new flows, and established ones stay for drain. Default true."`
	Flush       strict.V[bool]             `yaml:"flush" doc:"While it is not enabled: cut its flows at once. Default false."`
	Encap       strict.V[string]           `yaml:"encap" enum:"ipip,gue,gre,l2dsr" doc:"Its own, over that of the VIP."`
	Table       strict.V[tableRef]         `yaml:"table" doc:"The routing table by which it is reached. Default: as rules say."`
	Drain       strict.V[time.Duration]    `yaml:"drain" max:"86400000" doc:"Its own, over that of the VIP."`
	SlowStart   strict.V[time.Duration]    `yaml:"slow-start" max:"86400000" doc:"Its own, over that of the VIP."`
}

// backendAddressYAML is an address of a backend as written.
type backendAddressYAML struct {
	strict.Here
	Address strict.V[netip.Addr] `yaml:"address" required:"true" short:"true"`
	Absent  strict.V[bool]       `yaml:"absent" doc:"Take the entry of a lower layer away."`
}

// backend is a declared backend. It becomes a record for each way in which a
// VIP uses it.
type backend struct {
	name       string
	yaml       *backendYAML
	at         strict.Child
	ipv4, ipv6 netip.Addr
	check      *healthcheck // nil for none
	table      uint32
	labels     []resource.Label
	drains     []resource.DrainOrder
	later      string         // what cannot be applied of it; empty for nothing
	records    map[way]string // names of their keys
}

// maxServiceName is what a record of the dataplane has room for.
const maxServiceName = 63 // bytes

func (b *builder) readBackends() {
	for i := range b.doc.Backends {
		e := &b.doc.Backends[i]
		b.serviceName("backend", e.Key)
		b.lb.backends[e.Name] = b.backend(e.Name, e.Key, &e.Val)
	}
}

// serviceName reports a name that is too long for the dataplane.
func (b *builder) serviceName(what string, at strict.Child) {
	if n := len(at.Key); n > maxServiceName {
		b.faultKey(at, "bad-name", "%q has %d bytes, the name of a %s at most %d", at.Key, n, what, maxServiceName)
	}
}

func (b *builder) backend(name string, at strict.Child, y *backendYAML) *backend {
	k := &backend{name: name, yaml: y, at: at, records: make(map[way]string)}
	if y.Address.Given() && y.At().Get("addresses") != nil && y.Addresses != nil {
		b.fault(y.Address.At(), "two-ways", "address stands in place of addresses, not beside them")
	}
	if !y.Address.Given() && len(y.Addresses) == 0 && y.At().Kind == strict.Mapping {
		b.faultKey(at, "missing-key", "the backend has no address").Hinted("add address: 192.0.2.1, or addresses")
	}
	k.take(b, y.Address)
	for _, a := range y.Addresses {
		k.take(b, a.Address)
	}
	if v, ok := y.Healthcheck.Get(); ok {
		if k.check = b.lb.checks[v]; k.check == nil {
			unknown(b.fault(y.Healthcheck.At(), "unknown-healthcheck", "no health check is named %s", v), v, sortedKeys(b.lb.checks), "healthchecks")
		}
	}
	for _, e := range y.Labels {
		k.labels = append(k.labels, resource.Label{Name: e.Name, Value: string(e.Val.Val)})
	}
	slices.SortFunc(k.labels, func(x, y resource.Label) int { return strings.Compare(x.Name, y.Name) })
	k.readTable(b, y.Table)
	return k
}

// readTable resolves the routing table of a backend. A file that is checked by
// itself may lack the tables of its tree.
func (k *backend) readTable(b *builder, v strict.V[tableRef]) {
	name := v.Val.name
	if _, known := wellKnownTables(name); v.Ok() && name != "" && !known && b.doc.Tables == nil {
		b.report.Warn(v.At(), strict.Problemf("unknown-table", "there are no tables here to look %s up in", name).Hinted("name it under tables:"))
		k.later = "table " + name
		return
	}
	k.table = b.table(v, 0)
}

// unknown adds to a problem what was meant, or where to declare it.
func unknown(p *strict.Problem, name string, known []string, section string) {
	p.Hinted("declare it under %s:", section)
	if near := strict.Nearest(name, known); near != "" {
		p.Hinted("did you mean %s?", near)
	}
}

// take notes an address of a backend.
func (k *backend) take(b *builder, v strict.V[netip.Addr]) {
	a, ok := v.Get()
	if !ok {
		return
	}
	if problem := noHost(a); problem != nil {
		b.report.At(v.At(), problem)
		return
	}
	if a.Is6() && a.IsLinkLocalUnicast() {
		b.fault(v.At(), "bad-address", "%s is of a link, and no route leads to it", a).Hinted("an address that is reached by a route")
		return
	}
	into := &k.ipv4
	if a.Is6() {
		into = &k.ipv6
	}
	*into = a
}

// serves is the address by which a backend gets the packets of a family; false
// if it has none. A tunnel carries IPv4 over IPv6 as well.
func (k *backend) serves(f resource.Family, encap string) (netip.Addr, bool) {
	switch {
	case f == resource.IPv6:
		return k.ipv6, k.ipv6.IsValid()
	case k.ipv4.IsValid() || encap == string(resource.L2DSR):
		return k.ipv4, k.ipv4.IsValid()
	}
	return k.ipv6, k.ipv6.IsValid()
}

// way is how a VIP gets to a backend.
type way struct {
	address netip.Addr
	encap   resource.Encap
}

// record adds a way in which a VIP uses a backend, and returns the name of its
// key.
func (b *builder) record(k *backend, w way) string {
	if name, ok := k.records[w]; ok {
		return name
	}
	y := k.yaml
	one := resource.Backend{
		Name: k.name, Address: w.address, Encap: w.encap, Table: k.table, Description: y.Description.Val, Labels: k.labels,
		Check: k.check.of(w.address), Disabled: !y.Enabled.Or(true), Flush: y.Flush.Val, Drains: k.drains,
	}
	if b.around.balancer != nil {
		b.add(one, declared(k.at))
	}
	b.lb.records++
	k.records[w] = one.Key().Name
	return k.records[w]
}
