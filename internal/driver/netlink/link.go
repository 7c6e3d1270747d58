package netlink

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"reconciler/internal/diff"
	"reconciler/internal/driver/netlink/wire"
	"reconciler/internal/resource"
)

// skipStats (RTEXT_FILTER_SKIP_STATS) leaves counters out of a dump of links.
const skipStats = 1 << 3

// rawLink is a link before the indexes in it have names.
type rawLink struct {
	resource.Link
	lower, master int32
	elsewhere     bool // lower is an index of another namespace
}

// links reads all links and the ports among them. The other kinds need the
// names.
func (l *look) links() error {
	last := &l.d.lastLinks
	err := l.d.dump(l.ctx, wire.Query{
		Type:  unix.RTM_GETLINK,
		Head:  headLinks,
		Reset: func() { last.n = 0 },
		See:   last.see,
	})
	if err != nil {
		return err
	}
	asked := l.d.asking.of(l.q.Want)
	if same := last.end(l.d.forAll()); same && len(asked) == 0 {
		l.objects = append(l.objects, last.objects...)
	} else {
		l.makeLinks(last, asked)
	}
	l.names, l.d.names = last.names, last.names
	return nil
}

// makeLinks makes names and objects of what the kernel told.
func (l *look) makeLinks(last *lastLinks, asked []resource.Link) {
	raw := make([]rawLink, len(last.told))
	l.names = newNames(len(raw))
	for i := range raw {
		raw[i] = last.told[i].link
		raw[i].Seen.PromoteSecondaries = raw[i].Seen.PromoteSecondaries || last.all.promoteSecondaries
		raw[i].Seen.KeepAddrOnDown = raw[i].Seen.KeepAddrOnDown || last.all.keepAddrOnDown
		l.names.add(raw[i].Link)
	}
	l.drivers(raw, asked)
	for i := range raw {
		l.addLink(&raw[i])
	}
	// What ethtool says is not in the messages, and is asked for each time.
	last.names, last.objects, last.stale = l.names, slices.Clone(l.objects), len(asked) > 0
}

func headLinks(b *wire.Batch) {
	b.Link(unix.IfInfomsg{})
	b.U32(unix.IFLA_EXT_MASK, skipStats)
}

// addLink names what a link points to and adds it, and its relation to its
// master.
func (l *look) addLink(r *rawLink) {
	if lower := l.names.byIndex[r.lower]; lower != "" && !r.elsewhere {
		if r.Type == resource.Veth {
			r.Peer = lower
		} else {
			r.Below = lower
		}
	}
	master := l.names.byIndex[r.master]
	r.Seen.Master = master
	l.add(r.Link, linkOwner(r.Link), "")
	if master == "" {
		return
	}
	owner := resource.Foreign
	if l.names.ours(r.Seen.Index) || l.names.ours(r.master) {
		owner = resource.Ours
	}
	l.add(resource.Port{Link: r.Name, Master: master}, owner, "")
}

func linkOwner(r resource.Link) resource.Owner {
	switch {
	case ourGroup(r.Group):
		return resource.Ours
	case r.Type == "":
		return resource.Kernel // hardware and loopback
	}
	return resource.Foreign
}

// readLink reads an RTM_NEWLINK or RTM_DELLINK.
func readLink(m wire.Message) (rawLink, bool) {
	if len(m.Body) < unix.SizeofIfInfomsg || m.Type != unix.RTM_NEWLINK && m.Type != unix.RTM_DELLINK || m.Body[0] == unix.AF_BRIDGE {
		return rawLink{}, false
	}
	r := rawLink{}
	flags := wire.U32(m.Body[8:])
	r.Seen.Index = int32(wire.U32(m.Body[4:]))
	r.Seen.Loopback = flags&unix.IFF_LOOPBACK != 0
	r.Seen.Running = flags&unix.IFF_LOWER_UP != 0
	r.State = resource.Down
	if flags&unix.IFF_UP != 0 {
		r.State = resource.Up
	}
	r.Description = resource.Some("")
	for a := wire.After(m.Body, unix.SizeofIfInfomsg); a.Next(); {
		r.read(a.Type, a.Value)
	}
	return r, r.Name != ""
}

func (r *rawLink) read(kind uint16, v []byte) {
	switch kind {
	case unix.IFLA_IFNAME:
		r.Name = wire.Text(v)
	case unix.IFLA_MTU:
		r.MTU = wire.U32(v)
	case unix.IFLA_ADDRESS:
		r.MAC = mac(v)
	case unix.IFLA_PERM_ADDRESS:
		r.Seen.PermanentMAC = mac(v)
	case unix.IFLA_TXQLEN:
		r.TxQueueLen = resource.Some(wire.U32(v))
	case unix.IFLA_IFALIAS:
		r.Description = resource.Some(wire.Text(v))
	case unix.IFLA_GROUP:
		r.Group = wire.U32(v)
	case unix.IFLA_MASTER:
		r.master = int32(wire.U32(v))
	case unix.IFLA_LINK:
		r.lower = int32(wire.U32(v))
	case unix.IFLA_LINK_NETNSID:
		r.elsewhere = true
	case unix.IFLA_LINKINFO:
		r.readInfo(v)
	case unix.IFLA_AF_SPEC:
		r.readFamilies(v)
	case unix.IFLA_PROP_LIST:
		for a := wire.Attributes(v); a.Next(); {
			if a.Type == unix.IFLA_ALT_IFNAME {
				r.Seen.AltNames = append(r.Seen.AltNames, wire.Text(a.Value))
			}
		}
	}
}

func mac(v []byte) (m resource.MAC) {
	if len(v) == len(m) {
		copy(m[:], v)
	}
	return m
}

func (r *rawLink) readInfo(v []byte) {
	var data []byte
	for a := wire.Attributes(v); a.Next(); {
		switch a.Type {
		case unix.IFLA_INFO_KIND:
			r.Type = linkType(a.Value)
		case unix.IFLA_INFO_DATA:
			data = a.Value
		}
	}
	r.readData(data)
}

// linkType is the kind as a constant where it is one of ours, to spare memory.
func linkType(v []byte) resource.LinkType {
	switch string(trimZero(v)) {
	case string(resource.Veth):
		return resource.Veth
	case string(resource.Bridge):
		return resource.Bridge
	}
	return resource.LinkType(wire.Text(v))
}

func trimZero(v []byte) []byte {
	if len(v) > 0 && v[len(v)-1] == 0 {
		return v[:len(v)-1]
	}
	return v
}

// Places in the arrays of settings that a link carries for IPv4 and IPv6, from
// linux/ip.h (which counts from one) and linux/ipv6.h.
const (
	promoteSecondaries = 20 - 1
	keepAddrOnDown     = 42
)

func (r *rawLink) readFamilies(v []byte) {
	for f := wire.Attributes(v); f.Next(); {
		for a := wire.Attributes(f.Value); a.Next(); {
			switch {
			case f.Type == unix.AF_INET && a.Type == unix.IFLA_INET_CONF:
				r.Seen.PromoteSecondaries = setting(a.Value, promoteSecondaries) > 0
			case f.Type == unix.AF_INET6 && a.Type == unix.IFLA_INET6_CONF:
				r.Seen.KeepAddrOnDown = setting(a.Value, keepAddrOnDown) > 0
			}
		}
	}
}

func setting(v []byte, i int) int32 {
	if len(v) < 4*i+4 {
		return 0
	}
	return int32(wire.U32(v[4*i:]))
}

func (d *Driver) forAll() forAll {
	return forAll{
		promoteSecondaries: d.isSet("net/ipv4/conf/all/promote_secondaries"),
		keepAddrOnDown:     d.isSet("net/ipv6/conf/all/keep_addr_on_down"),
	}
}

// writeLink writes the requests of a round and returns how many rounds there
// are.
func (w *writer) writeLink(b *wire.Batch, op *diff.Op, round int) (int, error) {
	switch op.Verb {
	case diff.Create:
		to := op.To.(resource.Link)
		if to.Far {
			return 1, w.setLink(b, resource.Link{Name: to.Name, Type: to.Type}, to)
		}
		return w.makeLink(b, to, round)
	case diff.Update:
		return 1, w.setLink(b, op.From.(resource.Link), op.To.(resource.Link))
	case diff.Replace:
		if round == 0 {
			w.deleteLink(b, op.From.(resource.Link))
			return 2, nil
		}
		rounds, err := w.makeLink(b, op.To.(resource.Link), round-1)
		return rounds + 1, err
	case diff.Delete:
		w.deleteLink(b, op.From.(resource.Link))
	}
	return 1, nil
}

// makeLink creates a link, and then gives it what the kernel ignores in a
// creation: the alias, and the MTU of a bridge, which holds against the MTU of
// its ports only if it was changed, not made so.
func (w *writer) makeLink(b *wire.Batch, to resource.Link, round int) (int, error) {
	made := to
	made.Description, made.Seen = resource.Some(""), resource.Seen{}
	if to.Type == resource.Bridge && to.MTU != 0 {
		made.MTU = bridgeMTU(to.MTU)
	}
	rounds := 1
	if made.MTU != to.MTU || to.Description.Or("") != "" {
		rounds = 2
	}
	if round == 1 {
		return rounds, w.setLink(b, made, to)
	}
	b.Begin(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL)
	b.Link(unix.IfInfomsg{Flags: flagsOf(to.State), Change: flagsOf(to.State)})
	b.String(unix.IFLA_IFNAME, to.Name)
	below := int32(0)
	if to.Below != "" {
		var err error
		if below, err = w.index(to.Below); err != nil {
			b.Drop()
			return 0, err
		}
		b.U32(unix.IFLA_LINK, uint32(below))
	}
	writeCommon(b, resource.Link{}, made)
	writeInfo(b, to, func() {
		writeData(b, resource.Link{}, to)
		if to.Type == resource.VXLAN && below != 0 {
			b.U32(unix.IFLA_VXLAN_LINK, uint32(below))
		}
	})
	b.End()
	return rounds, nil
}

// bridgeMTU is an MTU to make a bridge with that differs from the wanted one.
func bridgeMTU(wanted uint32) uint32 {
	const usual = 1500
	if wanted == usual {
		return usual - 1
	}
	return usual
}

func flagsOf(s resource.Admin) uint32 {
	if s == resource.Up {
		return unix.IFF_UP
	}
	return 0
}

// writeCommon writes the attributes that differ and that all kinds have, but
// for the alias.
func writeCommon(b *wire.Batch, from, to resource.Link) {
	if to.MAC != from.MAC && to.MAC != (resource.MAC{}) {
		b.Bytes(unix.IFLA_ADDRESS, to.MAC[:])
	}
	if to.MTU != from.MTU && to.MTU != 0 {
		b.U32(unix.IFLA_MTU, to.MTU)
	}
	if to.Group != from.Group {
		b.U32(unix.IFLA_GROUP, to.Group)
	}
	if v, ok := to.TxQueueLen.Get(); ok && to.TxQueueLen != from.TxQueueLen {
		b.U32(unix.IFLA_TXQLEN, v)
	}
}

func writeInfo(b *wire.Batch, to resource.Link, data func()) {
	info := b.Nest(unix.IFLA_LINKINFO)
	b.String(unix.IFLA_INFO_KIND, string(to.Type))
	nest := b.Nest(unix.IFLA_INFO_DATA)
	data()
	b.Close(nest)
	b.Close(info)
}

// setLink changes what differs on a link that exists.
func (w *writer) setLink(b *wire.Batch, from, to resource.Link) error {
	b.Begin(unix.RTM_NEWLINK, 0)
	head := unix.IfInfomsg{Index: from.Seen.Index}
	if to.State != from.State && to.State != "" {
		head.Flags, head.Change = flagsOf(to.State), unix.IFF_UP
	}
	b.Link(head)
	if head.Index == 0 {
		b.String(unix.IFLA_IFNAME, to.Name)
	}
	writeCommon(b, from, to)
	if alias, ok := to.Description.Get(); ok && alias != from.Description.Or("") {
		b.Bytes(unix.IFLA_IFALIAS, []byte(alias))
	}
	if dataDiffers(from, to) {
		writeInfo(b, to, func() { writeData(b, from, to) })
	}
	b.End()
	return nil
}

func (w *writer) deleteLink(b *wire.Batch, from resource.Link) {
	b.Begin(unix.RTM_DELLINK, 0)
	b.Link(unix.IfInfomsg{Index: from.Seen.Index})
	if from.Seen.Index == 0 {
		b.String(unix.IFLA_IFNAME, from.Name)
	}
	b.End()
}

// explainLink adds what was asked for to a refusal in which the kernel does not
// say what it refuses.
func explainLink(op *diff.Op, err error) error {
	var refusal *wire.Refusal
	if op.To == nil || !errors.As(err, &refusal) || refusal.Text != "" || !wire.Is(err, unix.EOPNOTSUPP, unix.EINVAL, unix.ERANGE) {
		return err
	}
	var asked []string
	for _, c := range resource.Changes(op.From, op.To) {
		if c.To != "" {
			asked = append(asked, c.Name+" "+c.To)
		}
	}
	return fmt.Errorf("one of %s: %w", strings.Join(asked, ", "), err)
}
