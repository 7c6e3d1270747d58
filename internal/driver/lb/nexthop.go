package lb

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"reconciler/internal/driver/netlink/wire"
	"reconciler/internal/resource"
)

// way is what a backend's packets go by.
type way struct {
	to    netip.Addr
	table uint32 // of routes; 0: as rules say
	encap resource.Encap
}

func wayOf(b resource.Backend) way { return way{b.Address, b.Table, b.Encap} }

// hop is the next hop of a way: what a record of the dataplane is made of.
type hop struct {
	next   neighbour // whom frames are sent to
	link   string    // that they leave by, with no VLAN device in between
	index  uint32    // of that link
	vlan   uint16    // 0: untagged
	src    resource.MAC
	dst    resource.MAC // zero unless it answers
	mtu    uint32       // of the way out
	source netip.Addr   // of outer headers
	state  uint16       // NUD_* of the neighbour; 0: it has no entry
	// managed is set where the kernel keeps the entry fresh, or where the entry
	// needs no care.
	managed bool
	// silent is set where the neighbour has not answered and is asked again.
	silent bool
	// why there is no way; nil where there is one.
	why error
}

// answers reports that the neighbour's address is known.
func (h hop) answers() bool { return h.why == nil && h.dst != resource.MAC{} }

// failed reports that the neighbour was asked and did not answer.
func (h hop) failed() bool { return h.why == nil && (h.silent || h.state&unix.NUD_FAILED != 0) }

// hops looks up the next hops of ways. What the kernel has learned of a path's
// MTU counts.
func (d *Driver) hops(ctx context.Context, ways []way) (map[way]hop, error) {
	conn, err := d.socket()
	if err != nil {
		return nil, err
	}
	l := &lookup{ctx: ctx, conn: conn, links: map[int32]*link{}, sources: map[source]netip.Addr{}, silent: d.silent}
	routes, err := l.routes(ways)
	if err != nil {
		return nil, fmt.Errorf("look up routes: %w", err)
	}
	if err := l.readLinks(routes); err != nil {
		return nil, fmt.Errorf("read links: %w", err)
	}
	out := make(map[way]hop, len(ways))
	for _, w := range ways {
		out[w] = l.hop(w, routes[w])
	}
	if err := l.meet(out); err != nil {
		return nil, fmt.Errorf("read neighbours: %w", err)
	}
	return out, nil
}

// lookup is one look at the ways of backends.
type lookup struct {
	ctx     context.Context
	conn    *wire.Conn
	batch   wire.Batch
	links   map[int32]*link
	sources map[source]netip.Addr
	silent  map[neighbour]bool
}

// ask sends what is in the batch, and empties it. Refusals are by index.
func (l *lookup) ask(see func(int, wire.Message)) ([]error, error) {
	errs, _, err := l.conn.Ask(l.ctx, &l.batch, see)
	if errs == nil {
		errs = make([]error, l.batch.Len())
	}
	l.batch.Reset()
	return errs, err
}

// hop makes the next hop of a route; of the neighbour it knows no more than
// who it is.
func (l *lookup) hop(w way, r route) hop {
	if r.err != nil {
		return hop{why: r.err}
	}
	if w.encap == resource.L2DSR && r.gateway.IsValid() {
		return hop{why: fmt.Errorf("l2dsr wants %s on a link of this host, and the route leads through %s", w.to, r.gateway)}
	}
	to := r.gateway
	if !to.IsValid() {
		to = w.to
	}
	h := hop{next: neighbour{r.link, to}}
	if h.why = l.leave(&h, r); h.why != nil || w.encap == resource.L2DSR {
		return h // a frame as it is has no outer source
	}
	if h.source = r.source; !h.source.IsValid() {
		h.source, h.why = l.source(source{r.link, w.to.Is4()})
	}
	return h
}

// leave finds the link that frames leave by: below a VLAN device it is the one
// that it stands on, and the frames are tagged.
func (l *lookup) leave(h *hop, r route) error {
	over := l.links[r.link]
	if over == nil {
		return fmt.Errorf("link %d is gone", r.link)
	}
	h.mtu, h.src = over.mtu, over.mac
	if r.mtu != 0 && r.mtu < h.mtu {
		h.mtu = r.mtu
	}
	if !over.up {
		return fmt.Errorf("link %s is down", over.name)
	}
	if !over.ethernet {
		return fmt.Errorf("link %s is not Ethernet", over.name)
	}
	h.link, h.index = over.name, uint32(r.link)
	if over.below == 0 {
		return nil
	}
	below := l.links[over.below]
	switch {
	case below == nil:
		return fmt.Errorf("the link below %s is gone, or in another namespace", over.name)
	case below.below != 0:
		return fmt.Errorf("%s is a VLAN in the VLAN %s: one tag is all that can be written", over.name, below.name)
	case over.qinq:
		return fmt.Errorf("%s has a tag of 802.1ad: only those of 802.1Q can be written", over.name)
	}
	h.link, h.index, h.vlan = below.name, uint32(over.below), over.vlan
	return nil
}

// link is what is needed of one.
type link struct {
	name         string
	mac          resource.MAC
	mtu          uint32
	up, ethernet bool
	below        int32 // of a VLAN device, the link it stands on; 0 for any other
	vlan         uint16
	qinq         bool
}

// skipStatistics is RTEXT_FILTER_SKIP_STATS.
const skipStatistics = 1 << 3

// readLinks reads the links of routes, and what is below them.
func (l *lookup) readLinks(routes map[way]route) error {
	var todo []int32
	want := func(index int32) {
		if _, known := l.links[index]; !known && index != 0 {
			l.links[index] = nil
			todo = append(todo, index)
		}
	}
	for _, r := range routes {
		want(r.link)
	}
	for len(todo) > 0 {
		for _, index := range todo {
			l.batch.Begin(unix.RTM_GETLINK, 0)
			l.batch.Link(unix.IfInfomsg{Index: index})
			l.batch.U32(unix.IFLA_EXT_MASK, skipStatistics)
			l.batch.End()
		}
		asked := todo
		todo = nil
		errs, err := l.ask(func(i int, m wire.Message) {
			read := readLink(m)
			l.links[asked[i]] = &read
		})
		if err != nil {
			return err
		}
		if err := refused(errs, unix.ENODEV); err != nil {
			return err
		}
		for _, index := range asked {
			if read := l.links[index]; read != nil {
				want(read.below)
			}
		}
	}
	return nil
}

// refused joins what is no mere absence.
func refused(errs []error, absent ...unix.Errno) error {
	var out []error
	for _, err := range errs {
		if err != nil && !wire.Is(err, absent...) {
			out = append(out, err)
		}
	}
	return errors.Join(out...)
}

func readLink(m wire.Message) (out link) {
	if len(m.Body) < unix.SizeofIfInfomsg {
		return out
	}
	out.ethernet = wire.U16(m.Body[2:]) == unix.ARPHRD_ETHER
	out.up = wire.U32(m.Body[8:])&unix.IFF_UP != 0
	var below int32
	for a := wire.After(m.Body, unix.SizeofIfInfomsg); a.Next(); {
		switch a.Type {
		case unix.IFLA_IFNAME:
			out.name = wire.Text(a.Value)
		case unix.IFLA_ADDRESS:
			copy(out.mac[:], a.Value)
		case unix.IFLA_MTU:
			out.mtu = wire.U32(a.Value)
		case unix.IFLA_LINK:
			below = int32(wire.U32(a.Value))
		case unix.IFLA_LINKINFO:
			if out.readVLAN(a.Value) {
				out.below = -1
			}
		}
	}
	if out.below != 0 {
		out.below = below
	}
	return out
}

// readVLAN reads the kind of a link. It reports a VLAN device.
func (l *link) readVLAN(info []byte) bool {
	vlan := false
	for a := wire.Attributes(info); a.Next(); {
		switch a.Type {
		case unix.IFLA_INFO_KIND:
			vlan = wire.Text(a.Value) == "vlan"
		case unix.IFLA_INFO_DATA:
			if !vlan {
				continue
			}
			for data := wire.Attributes(a.Value); data.Next(); {
				switch data.Type {
				case unix.IFLA_VLAN_ID:
					l.vlan = wire.U16(data.Value)
				case unix.IFLA_VLAN_PROTOCOL:
					l.qinq = wire.BE16(data.Value) != unix.ETH_P_8021Q
				}
			}
		}
	}
	return vlan
}

// source is where an outer source address is looked for.
type source struct {
	link int32
	v4   bool
}

// source is the first address of a link that is good beyond it, as the kernel
// takes it where a route names none.
func (l *lookup) source(s source) (netip.Addr, error) {
	if a, ok := l.sources[s]; ok && a.IsValid() {
		return a, nil
	}
	var found netip.Addr
	family := familyOf(s.v4)
	err := l.conn.Dump(l.ctx, wire.Query{
		Type:  unix.RTM_GETADDR,
		Head:  func(b *wire.Batch) { b.Address(unix.IfAddrmsg{Family: family, Index: uint32(s.link)}) },
		Reset: func() { found = netip.Addr{} },
		See: func(m wire.Message) {
			if len(m.Body) < unix.SizeofIfAddrmsg || m.Body[3] != unix.RT_SCOPE_UNIVERSE || found.IsValid() {
				return
			}
			const unfit = unix.IFA_F_TENTATIVE | unix.IFA_F_DADFAILED | unix.IFA_F_DEPRECATED
			if m.Body[2]&unfit == 0 {
				found = localAddress(m)
			}
		},
	})
	if err == nil && !found.IsValid() {
		err = fmt.Errorf("link %s has no address that tunnels could have as their source", l.links[s.link].name)
	}
	l.sources[s] = found
	return found, err
}

func localAddress(m wire.Message) (a netip.Addr) {
	for at := wire.After(m.Body, unix.SizeofIfAddrmsg); at.Next(); {
		switch {
		case at.Type == unix.IFA_LOCAL, at.Type == unix.IFA_ADDRESS && !a.IsValid():
			a = wire.IP(at.Value)
		}
	}
	return a
}

func familyOf(v4 bool) uint8 {
	if v4 {
		return unix.AF_INET
	}
	return unix.AF_INET6
}
