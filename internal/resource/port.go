package resource

// KindPort is the relation of a link to its master.
const KindPort Kind = "port"

// Port says that a link is a port of a bridge. It is ours if either end is:
// the kernel has no mark for a relation.
type Port struct {
	Link   string `json:"link"`
	Master string `json:"master"`
}

// PortKey identifies the relation by the port: a link has one master.
func PortKey(link string) Key { return Key{Netlink, KindPort, link} }

// Key identifies the relation.
func (p Port) Key() Key { return PortKey(p.Link) }

// Requires both links.
func (p Port) Requires() []Key { return []Key{LinkKey(p.Link), LinkKey(p.Master)} }

// Parent is the port.
func (p Port) Parent() string { return p.Link }

// Parents are both links: the relation goes with either.
func (p Port) Parents() []string { return []string{p.Link, p.Master} }

// Equal compares the masters.
func (p Port) Equal(o Resource) bool { return Resource(p) == o }

// Disturbs lists the neighbours of a bridge that takes another MAC address when
// the port leaves whose address it has.
func (p Port) Disturbs(to Resource, have View) []Key {
	if next, ok := to.(Port); ok && next.Master == p.Master {
		return nil
	}
	port, _ := have.Get(LinkKey(p.Link))
	master, _ := have.Get(LinkKey(p.Master))
	from, ok := master.Resource.(Link)
	if l, isLink := port.Resource.(Link); !ok || !isLink || l.MAC != from.MAC {
		return nil
	}
	next := from
	next.MAC = MAC{}
	return from.Disturbs(next, have)
}

// Rename passes the names of the links on.
func (p Port) Rename(to func(string) string) Resource {
	return Port{Link: to(p.Link), Master: to(p.Master)}
}

// Fields lists the master.
func (p Port) Fields() []Field { return []Field{{"master", p.Master}} }
