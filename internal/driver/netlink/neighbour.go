package netlink

import (
	"golang.org/x/sys/unix"

	"reconciler/internal/diff"
	"reconciler/internal/driver/netlink/wire"
	"reconciler/internal/resource"
)

// ndaProtocol (NDA_PROTOCOL, Linux 5.2) tells who made an entry.
const ndaProtocol = 12

// neighbours reads the permanent entries and the proxies. What the kernel
// learned by itself is a cache, not an object.
func (l *look) neighbours() error {
	for _, head := range neighbourTables {
		err := l.d.dump(l.ctx, wire.Query{
			Type:  unix.RTM_GETNEIGH,
			Head:  func(b *wire.Batch) { b.Neighbour(head) },
			Reset: l.mark(),
			See: func(m wire.Message) {
				if n, ok := readNeighbour(m, l.names.byIndex); ok {
					owner, origin := neighbourOwner(n)
					l.add(n, owner, origin)
				}
			},
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// neighbourTables are read one after the other.
var neighbourTables = [...]unix.NdMsg{
	{Family: unix.AF_INET}, {Family: unix.AF_INET6},
	{Family: unix.AF_INET, Flags: unix.NTF_PROXY}, {Family: unix.AF_INET6, Flags: unix.NTF_PROXY},
}

func neighbourOwner(n resource.Neighbour) (resource.Owner, string) {
	if n.Protocol == resource.Protocol {
		return resource.Ours, ""
	}
	return resource.Foreign, originOf(n.Protocol)
}

// readNeighbour reads an RTM_NEWNEIGH or RTM_DELNEIGH; the zero entry is none.
// It is kept while it is permanent or a proxy: one that is removed has failed
// before its event is sent.
func readNeighbour(m wire.Message, names map[int32]string) (n resource.Neighbour, kept bool) {
	if len(m.Body) < unix.SizeofNdMsg || m.Type != unix.RTM_NEWNEIGH && m.Type != unix.RTM_DELNEIGH {
		return n, false
	}
	if f := m.Body[0]; f != unix.AF_INET && f != unix.AF_INET6 {
		return n, false // of a bridge
	}
	state := wire.U16(m.Body[8:])
	n.Proxy = m.Body[10]&unix.NTF_PROXY != 0
	n.Link = names[int32(wire.U32(m.Body[4:]))]
	for a := wire.After(m.Body, unix.SizeofNdMsg); a.Next(); {
		switch a.Type {
		case unix.NDA_DST:
			n.To = wire.IP(a.Value)
		case unix.NDA_LLADDR:
			n.LLAddr = mac(a.Value)
		case ndaProtocol:
			n.Protocol = wire.U8(a.Value)
		}
	}
	if n.Link == "" || !n.To.IsValid() {
		return resource.Neighbour{}, false
	}
	return n, n.Proxy || state&unix.NUD_PERMANENT != 0
}

// writeNeighbour writes the request of an operation.
func (w *writer) writeNeighbour(b *wire.Batch, op *diff.Op, round int) (int, error) {
	switch op.Verb {
	case diff.Create:
		return 1, w.putNeighbour(b, op.To.(resource.Neighbour), unix.NLM_F_CREATE|unix.NLM_F_EXCL)
	case diff.Update:
		return 1, w.putNeighbour(b, op.To.(resource.Neighbour), unix.NLM_F_CREATE|unix.NLM_F_REPLACE)
	case diff.Replace:
		if round == 0 {
			return 2, w.deleteNeighbour(b, op.From.(resource.Neighbour))
		}
		return 2, w.putNeighbour(b, op.To.(resource.Neighbour), unix.NLM_F_CREATE|unix.NLM_F_REPLACE)
	case diff.Delete:
		return 1, w.deleteNeighbour(b, op.From.(resource.Neighbour))
	}
	return 1, nil
}

func (w *writer) putNeighbour(b *wire.Batch, n resource.Neighbour, flags uint16) error {
	head, err := w.neighbourHead(n)
	if err != nil {
		return err
	}
	b.Begin(unix.RTM_NEWNEIGH, flags)
	b.Neighbour(head)
	b.IP(unix.NDA_DST, n.To)
	if n.LLAddr != (resource.MAC{}) {
		b.Bytes(unix.NDA_LLADDR, n.LLAddr[:])
	}
	if n.Protocol != 0 {
		b.U8(ndaProtocol, n.Protocol)
	}
	b.End()
	return nil
}

func (w *writer) neighbourHead(n resource.Neighbour) (unix.NdMsg, error) {
	index, err := w.index(n.Link)
	head := unix.NdMsg{Family: family(n.To.Is4()), Ifindex: index, State: unix.NUD_PERMANENT}
	if n.Proxy {
		head.Flags = unix.NTF_PROXY // permanent too: else it goes when the carrier does
	}
	return head, err
}

func (w *writer) deleteNeighbour(b *wire.Batch, n resource.Neighbour) error {
	head, err := w.neighbourHead(n)
	if err != nil {
		return err
	}
	b.Begin(unix.RTM_DELNEIGH, 0)
	b.Neighbour(head)
	b.IP(unix.NDA_DST, n.To)
	b.End()
	return nil
}
