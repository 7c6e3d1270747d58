package netlink

import (
	"golang.org/x/sys/unix"

	"reconciler/internal/diff"
	"reconciler/internal/driver/netlink/wire"
	"reconciler/internal/resource"
)

// Ports are read with the links: see addLink.

// writePort sets the master of a link, or none.
func (w *writer) writePort(b *wire.Batch, op *diff.Op) (int, error) {
	port, leave := op.From, true
	if op.To != nil {
		port, leave = op.To, false
	}
	p := port.(resource.Port)
	link, err := w.index(p.Link)
	if err != nil {
		return 0, err
	}
	master := int32(0)
	if !leave {
		if master, err = w.index(p.Master); err != nil {
			return 0, err
		}
	}
	b.Begin(unix.RTM_SETLINK, 0)
	b.Link(unix.IfInfomsg{Index: link})
	b.U32(unix.IFLA_MASTER, uint32(master))
	b.End()
	return 1, nil
}
