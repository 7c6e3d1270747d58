package lb

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"reconciler/internal/driver/netlink/wire"
	"reconciler/internal/resource"
)

// neighbour is whom frames are sent to: an address on a link.
type neighbour struct {
	link int32
	addr netip.Addr
}

// What x/sys does not know of neighbours.
const (
	ndaProtocol   = 12     // NDA_PROTOCOL, Linux 5.2
	ndaFlagsExt   = 15     // NDA_FLAGS_EXT, Linux 5.16
	ntfExtManaged = 1 << 0 // NTF_EXT_MANAGED: the kernel keeps the entry fresh
)

// usable are the states in which the kernel itself sends to an entry.
const usable = unix.NUD_PERMANENT | unix.NUD_NOARP | unix.NUD_REACHABLE | unix.NUD_PROBE | unix.NUD_STALE | unix.NUD_DELAY

// entry is what the kernel has of a neighbour.
type entry struct {
	neighbour
	state    uint16 // NUD_*
	mac      resource.MAC
	flags    uint8 // NTF_*
	managed  bool
	protocol uint8
}

// cared reports an entry that needs no care of ours: the kernel keeps it fresh,
// or somebody put it there.
func (e entry) cared() bool {
	return e.managed || e.state&(unix.NUD_PERMANENT|unix.NUD_NOARP) != 0 || e.flags&unix.NTF_EXT_LEARNED != 0
}

// ours reports an entry that is there on our behalf.
func (e entry) ours() bool { return e.managed && e.protocol == resource.Protocol }

func readEntry(m wire.Message) (e entry, ok bool) {
	if len(m.Body) < unix.SizeofNdMsg || m.Type != unix.RTM_NEWNEIGH && m.Type != unix.RTM_DELNEIGH {
		return e, false
	}
	e.link, e.state, e.flags = int32(wire.U32(m.Body[4:])), wire.U16(m.Body[8:]), m.Body[10]
	for a := wire.After(m.Body, unix.SizeofNdMsg); a.Next(); {
		switch a.Type {
		case unix.NDA_DST:
			e.addr = wire.IP(a.Value)
		case unix.NDA_LLADDR:
			if len(a.Value) == len(e.mac) {
				copy(e.mac[:], a.Value)
			}
		case ndaProtocol:
			e.protocol = wire.U8(a.Value)
		case ndaFlagsExt:
			e.managed = wire.U32(a.Value)&ntfExtManaged != 0
		}
	}
	return e, e.addr.IsValid() && m.Body[0] == familyOf(e.addr.Is4()) && e.flags&unix.NTF_PROXY == 0
}

// manyNeighbours is from how many on the whole table is read, rather than one
// by one.
const manyNeighbours = 64

// meet looks up the neighbours of hops.
func (l *lookup) meet(hops map[way]hop) error {
	found := map[neighbour]entry{}
	for _, h := range hops {
		if h.why == nil {
			found[h.next] = entry{}
		}
	}
	look := l.askEach
	if len(found) >= manyNeighbours {
		look = l.askAll
	}
	if err := look(found); err != nil {
		return err
	}
	for w, h := range hops {
		if h.why == nil {
			e := found[h.next]
			h.state, h.managed = e.state, e.cared()
			h.silent = e.state&unix.NUD_INCOMPLETE != 0 && l.silent[h.next]
			if e.state&usable != 0 {
				h.dst = e.mac
			}
			hops[w] = h
		}
	}
	return nil
}

// askAll reads all entries, and keeps those that are asked for.
func (l *lookup) askAll(found map[neighbour]entry) error {
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		err := l.conn.Dump(l.ctx, wire.Query{
			Type: unix.RTM_GETNEIGH,
			Head: func(b *wire.Batch) { b.Neighbour(unix.NdMsg{Family: family}) },
			See: func(m wire.Message) {
				e, ok := readEntry(m)
				if _, asked := found[e.neighbour]; ok && asked {
					found[e.neighbour] = e
				}
			},
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// askEach reads the entries that are asked for.
func (l *lookup) askEach(found map[neighbour]entry) error {
	asked := slices.Collect(maps.Keys(found))
	for _, n := range asked {
		l.batch.Begin(unix.RTM_GETNEIGH, 0)
		l.batch.Neighbour(unix.NdMsg{Family: familyOf(n.addr.Is4()), Ifindex: n.link})
		l.batch.IP(unix.NDA_DST, n.addr)
		l.batch.End()
	}
	errs, err := l.ask(func(i int, m wire.Message) {
		if e, ok := readEntry(m); ok {
			found[asked[i]] = e
		}
	})
	if err != nil {
		return err
	}
	return refused(errs, unix.ENOENT, unix.ENODEV)
}

// keep asks the kernel to find neighbours, and where it can to keep them
// found. What is permanent, or another's, is not to be among them.
func (d *Driver) keep(ctx context.Context, all []neighbour) error {
	d.batch.Reset()
	for _, n := range all {
		d.batch.Begin(unix.RTM_NEWNEIGH, unix.NLM_F_CREATE)
		d.batch.Neighbour(unix.NdMsg{Family: familyOf(n.addr.Is4()), Ifindex: n.link, Flags: unix.NTF_USE})
		d.batch.IP(unix.NDA_DST, n.addr)
		d.batch.U8(ndaProtocol, resource.Protocol)
		d.batch.U32(ndaFlagsExt, ntfExtManaged) // before Linux 5.16 it is not read
		d.batch.End()
	}
	errs, err := d.do(ctx)
	if err == nil {
		err = refused(errs, unix.ENODEV, unix.ENETDOWN) // the next look will see
	}
	if err != nil {
		return fmt.Errorf("keep neighbours: %w", err)
	}
	return nil
}

// release removes the entries that the kernel keeps for us and that nobody
// needs.
func (d *Driver) release(ctx context.Context, needed map[neighbour]bool) error {
	conn, err := d.socket()
	if err != nil {
		return err
	}
	var gone []neighbour
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		err := conn.Dump(ctx, wire.Query{
			Type: unix.RTM_GETNEIGH,
			Head: func(b *wire.Batch) { b.Neighbour(unix.NdMsg{Family: family}) },
			See: func(m wire.Message) {
				if e, ok := readEntry(m); ok && e.ours() && !needed[e.neighbour] {
					gone = append(gone, e.neighbour)
				}
			},
		})
		if err != nil {
			return fmt.Errorf("read neighbours: %w", err)
		}
	}
	d.batch.Reset()
	for _, n := range gone {
		d.batch.Begin(unix.RTM_DELNEIGH, 0)
		d.batch.Neighbour(unix.NdMsg{Family: familyOf(n.addr.Is4()), Ifindex: n.link})
		d.batch.IP(unix.NDA_DST, n.addr)
		d.batch.End()
	}
	errs, err := d.do(ctx)
	if err == nil {
		err = refused(errs, unix.ENOENT, unix.ENODEV)
	}
	if err != nil {
		return fmt.Errorf("let neighbours go: %w", err)
	}
	return nil
}

// do sends the batch.
func (d *Driver) do(ctx context.Context) ([]error, error) {
	if d.batch.Len() == 0 {
		return nil, nil
	}
	conn, err := d.socket()
	if err != nil {
		return nil, err
	}
	errs, _, err := conn.Do(ctx, &d.batch)
	return errs, err
}

// socket returns the socket for requests, dialed anew when an exchange on the
// last one was given up.
func (d *Driver) socket() (*wire.Conn, error) {
	if d.conn != nil && !d.conn.Spent() {
		return d.conn, nil
	}
	var closed error
	if d.conn != nil {
		closed = d.conn.Close()
		d.conn = nil
	}
	conn, err := wire.Dial()
	if err != nil {
		return nil, errors.Join(err, closed)
	}
	d.conn = conn
	return conn, nil
}
