package netlink

import (
	"fmt"
	"net/netip"
	"strings"

	"golang.org/x/sys/unix"

	"reconciler/internal/diff"
	"reconciler/internal/driver/netlink/wire"
	"reconciler/internal/resource"
)

// From linux/if_addr.h: the attribute that tells who made an address, and the
// last of the kernel's own values (loopback, router advertisement, link-local);
// and the lifetime of what does not expire.
const (
	ifaProto     = 11 // IFA_PROTO
	ifaProtoLast = 3  // IFAPROT_KERNEL_LL

	forever = 0xffffffff // INFINITY_LIFE_TIME, of linux/addrconf.h
)

// addresses reads all addresses.
func (l *look) addresses() error {
	for _, family := range families {
		err := l.d.dump(l.ctx, wire.Query{
			Type:  unix.RTM_GETADDR,
			Head:  func(b *wire.Batch) { b.Address(unix.IfAddrmsg{Family: family}) },
			Reset: l.mark(),
			See: func(m wire.Message) {
				if a, flags, ok := readAddress(m, l.names.byIndex); ok {
					owner, origin := addressOwner(a, flags)
					l.add(a, owner, origin)
				}
			},
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// readAddress reads an RTM_NEWADDR or RTM_DELADDR; one on a link without a
// name (it came after the links were read) is none.
func readAddress(m wire.Message, names map[int32]string) (a resource.Address, flags uint32, ok bool) {
	if len(m.Body) < unix.SizeofIfAddrmsg || m.Type != unix.RTM_NEWADDR && m.Type != unix.RTM_DELADDR {
		return a, 0, false
	}
	a.Link = names[int32(wire.U32(m.Body[4:]))]
	a.Scope = scopeName(m.Body[3])
	flags = uint32(m.Body[2])
	var local, addr netip.Addr
	var more addressMore
	for at := wire.After(m.Body, unix.SizeofIfAddrmsg); at.Next(); {
		switch at.Type {
		case unix.IFA_LOCAL:
			local = wire.IP(at.Value)
		case unix.IFA_ADDRESS:
			addr = wire.IP(at.Value)
		case unix.IFA_FLAGS:
			flags = wire.U32(at.Value)
		case unix.IFA_CACHEINFO: // preferred, valid, then when it was made and changed
			a.Expires = len(at.Value) >= 8 && (wire.U32(at.Value) != forever || wire.U32(at.Value[4:]) != forever)
		case ifaProto:
			a.Protocol = wire.U8(at.Value)
		default:
			more.read(at.Type, at.Value)
		}
	}
	if !local.IsValid() {
		local = addr
	}
	a.Prefix = netip.PrefixFrom(local, int(m.Body[1]))
	if addr.IsValid() && addr != local {
		a.Peer = addr
	}
	a.Other = more.text(a)
	a.NoDAD = flags&unix.IFA_F_NODAD != 0
	a.Secondary = local.Is4() && flags&unix.IFA_F_SECONDARY != 0
	return a, flags, a.Link != "" && a.Prefix.IsValid()
}

func addressOwner(a resource.Address, flags uint32) (resource.Owner, string) {
	ip := a.Prefix.Addr()
	switch {
	case a.Protocol == resource.Protocol:
		return resource.Ours, ""
	case a.Protocol > 0 && a.Protocol <= ifaProtoLast, flags&unix.IFA_F_TEMPORARY != 0 && ip.Is6():
		return resource.Kernel, ""
	case ip.IsLoopback() && (ip.Is6() || a.Prefix == loopback4):
		return resource.Kernel, ""
	}
	return resource.Foreign, originOf(a.Protocol)
}

var loopback4 = netip.MustParsePrefix("127.0.0.1/8")

// writeAddress writes the requests of a round and returns how many rounds
// there are.
func (w *writer) writeAddress(b *wire.Batch, op *diff.Op, round int) (int, error) {
	switch op.Verb {
	case diff.Create:
		return 1, w.putAddress(b, op.To.(resource.Address), unix.NLM_F_CREATE|unix.NLM_F_EXCL)
	case diff.Update:
		return 1, w.putAddress(b, op.To.(resource.Address), unix.NLM_F_REPLACE)
	case diff.Replace:
		if round == 0 {
			return 2, w.deleteAddress(b, op.From.(resource.Address))
		}
		return 2, w.putAddress(b, op.To.(resource.Address), unix.NLM_F_CREATE|unix.NLM_F_EXCL)
	case diff.Delete:
		return 1, w.deleteAddress(b, op.From.(resource.Address))
	}
	return 1, nil
}

func (w *writer) putAddress(b *wire.Batch, a resource.Address, flags uint16) error {
	index, err := w.index(a.Link)
	if err != nil {
		return err
	}
	b.Begin(unix.RTM_NEWADDR, flags)
	head := addressHead(a, index)
	if a.NoDAD {
		head.Flags = unix.IFA_F_NODAD
	}
	b.Address(head)
	writeBothEnds(b, a)
	b.U32(unix.IFA_FLAGS, uint32(head.Flags)|unix.IFA_F_PERMANENT)
	if a.Protocol != 0 {
		b.U8(ifaProto, a.Protocol)
	}
	b.End()
	return nil
}

// writeBothEnds writes an address and its peer; to the kernel one without a peer
// is its own.
func writeBothEnds(b *wire.Batch, a resource.Address) {
	peer := a.Peer
	if !peer.IsValid() {
		peer = a.Prefix.Addr()
	}
	b.IP(unix.IFA_LOCAL, a.Prefix.Addr())
	b.IP(unix.IFA_ADDRESS, peer)
}

func addressHead(a resource.Address, index int32) unix.IfAddrmsg {
	ip := a.Prefix.Addr()
	scope, _ := scopeNumber(a.Scope)
	if a.Scope == "" && ip.Is4() && ip.IsLoopback() {
		scope = unix.RT_SCOPE_HOST
	}
	return unix.IfAddrmsg{Family: family(ip.Is4()), Prefixlen: uint8(a.Prefix.Bits()), Scope: scope, Index: uint32(index)}
}

func (w *writer) deleteAddress(b *wire.Batch, a resource.Address) error {
	index, err := w.index(a.Link)
	if err != nil {
		return err
	}
	b.Begin(unix.RTM_DELADDR, 0)
	b.Address(addressHead(a, index))
	writeBothEnds(b, a)
	b.End()
	return nil
}

// explainScope adds to a refusal what the kernel means by it: a secondary has
// the scope of its primary.
func explainScope(op *diff.Op, err error) error {
	a, ok := op.To.(resource.Address)
	if !ok || !wire.Is(err, unix.EINVAL) || !strings.Contains(err.Error(), "Invalid scope") {
		return err
	}
	return fmt.Errorf("an address of %s on %s has another scope: %w", a.Network(), a.Link, err)
}

// checkMarks looks whether addresses that were adopted have our mark: Linux 6.1
// takes another IFA_PROTO with success and ignores it.
func (w *writer) checkMarks() {
	l := &look{d: w.d, ctx: w.ctx, names: w.d.names}
	for i := range w.ops {
		if w.errs[i] != nil || !remarks(&w.ops[i]) {
			continue
		}
		if l.set == nil {
			if err := l.addresses(); err != nil {
				w.fail(i, fmt.Errorf("look at its mark: %w", err))
				return
			}
		}
		o, _ := l.gather().Get(w.ops[i].Key)
		if a, ok := o.Resource.(resource.Address); ok && a.Protocol != w.ops[i].To.(resource.Address).Protocol {
			w.fail(i, ErrNoMark)
		}
	}
}

// remarks reports whether an operation changes the mark of an address.
func remarks(op *diff.Op) bool {
	if op.Verb != diff.Update {
		return false
	}
	from, ok := op.From.(resource.Address)
	return ok && op.To.(resource.Address).Protocol != from.Protocol
}
