package chain

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"reconciler/internal/driver/bpffs"
	"reconciler/internal/resource"
)

// Where our filter stands among those of a hook. The numbers are a contract:
// they tell which filter is ours.
const (
	filterPriority = 210
	filterHandle   = 0x5243 // "RC"
)

func filterParent(h resource.Hook) uint32 {
	if h == resource.TCEgress {
		return netlink.HANDLE_MIN_EGRESS
	}
	return netlink.HANDLE_MIN_INGRESS
}

// filter is ours on a hook; nil if it is not there.
func (d *Driver) filter(l linkState, hook resource.Hook) (*netlink.BpfFilter, error) {
	h, err := d.routing()
	if err != nil {
		return nil, err
	}
	all, err := h.FilterList(&netlink.Dummy{LinkAttrs: netlink.LinkAttrs{Index: l.index}}, filterParent(hook))
	if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return nil, fmt.Errorf("list filters of %s: %w", l.name, err)
	}
	for _, f := range all {
		b, ok := f.(*netlink.BpfFilter)
		if ok && b.Priority == filterPriority && b.Handle == filterHandle {
			return b, nil
		}
	}
	return nil, nil
}

// attachedByFilter reads the filter of a chain that has no link.
func (d *Driver) attachedByFilter(dir, name string, hook resource.Hook) attachment {
	l, err := d.linkOfFilter(dir, name)
	if err != nil {
		return attachment{damage: []string{"its interface is gone"}, severed: true}
	}
	f, err := d.filter(l, hook)
	switch {
	case err != nil:
		return attachment{link: l.name, damage: []string{err.Error()}}
	case f == nil:
		return attachment{link: l.name, damage: []string{"it is not attached"}, severed: true}
	}
	return attachment{how: attachClsact, program: ebpf.ProgramID(f.Id), link: l.name}
}

// linkOfFilter is the interface that the pinned dispatcher was made for,
// whatever its name is now. Without pins the name has to do.
func (d *Driver) linkOfFilter(dir, name string) (linkState, error) {
	names, err := bpffs.List(dir)
	if err != nil {
		return linkState{}, err
	}
	var gone error
	for _, generation := range names {
		m, err := ebpf.LoadPinnedMap(filepath.Join(dir, generation, statePin), nil)
		if err != nil {
			continue
		}
		s, err := readState(m)
		m.Close()
		if err != nil || s.Abi != abi {
			continue
		}
		l, err := d.linkByIndex(int(s.Ifindex))
		if err == nil {
			return l, nil
		}
		gone = err
	}
	if gone != nil {
		return linkState{}, gone
	}
	return d.linkByName(name)
}

// byFilter reports that a chain is attached as a filter: it stays one, as a
// change to TCX would have a moment with both or none.
func (d *Driver) byFilter(g *generation) bool {
	f, err := d.filter(linkState{index: g.ifindex, name: g.chain.Link}, g.chain.Hook)
	return err == nil && f != nil
}

// attachFilter replaces our filter in one step.
func (d *Driver) attachFilter(g *generation) error {
	h, err := d.routing()
	if err != nil {
		return err
	}
	if err := d.ensureQdisc(h, g); err != nil {
		return err
	}
	f := &netlink.BpfFilter{
		FilterAttrs: netlink.FilterAttrs{
			LinkIndex: g.ifindex, Parent: filterParent(g.chain.Hook), Handle: filterHandle,
			Priority: filterPriority, Protocol: unix.ETH_P_ALL,
		},
		Fd: g.dispatcher.program.FD(), Name: "reconciler:" + string(g.chain.Hook), DirectAction: true,
	}
	if err := h.FilterReplace(f); err != nil {
		return fmt.Errorf("replace filter: %w", err)
	}
	return nil
}

// ensureQdisc makes the clsact qdisc where it is missing, and remembers that it
// was us: a qdisc has no place for a mark.
func (d *Driver) ensureQdisc(h *netlink.Handle, g *generation) error {
	has, err := hasClsact(h, g.ifindex)
	if err != nil || has {
		return err
	}
	if err := d.remember(qdiscRecord, g.ifindex); err != nil {
		return err
	}
	if err := h.QdiscAdd(clsact(g.ifindex)); err != nil {
		return fmt.Errorf("add qdisc clsact: %w", err)
	}
	return nil
}

func clsact(ifindex int) *netlink.GenericQdisc {
	return &netlink.GenericQdisc{
		QdiscType:  "clsact",
		QdiscAttrs: netlink.QdiscAttrs{LinkIndex: ifindex, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT},
	}
}

func hasClsact(h *netlink.Handle, ifindex int) (bool, error) {
	all, err := h.QdiscList(&netlink.Dummy{LinkAttrs: netlink.LinkAttrs{Index: ifindex}})
	if err != nil {
		return false, fmt.Errorf("list qdiscs: %w", err)
	}
	for _, q := range all {
		if q.Attrs().Parent == netlink.HANDLE_CLSACT {
			return true, nil
		}
	}
	return false, nil
}

// detachFilter removes our filter, and the qdisc if it is ours and nobody
// else's filters are on it.
func (d *Driver) detachFilter(c resource.Chain) error {
	l, err := d.linkByName(c.Link)
	if err != nil {
		return nil // gone with its interface
	}
	f, err := d.filter(l, c.Hook)
	if err != nil {
		return err
	}
	h, err := d.routing()
	if err != nil {
		return err
	}
	if f != nil {
		if err := h.FilterDel(f); err != nil {
			return fmt.Errorf("delete filter: %w", err)
		}
	}
	return d.dropQdisc(h, l)
}

func (d *Driver) dropQdisc(h *netlink.Handle, l linkState) error {
	ours, err := d.remembers(qdiscRecord, l.index)
	if err != nil || !ours {
		return err
	}
	for _, hook := range []resource.Hook{resource.TCIngress, resource.TCEgress} {
		left, err := h.FilterList(&netlink.Dummy{LinkAttrs: netlink.LinkAttrs{Index: l.index}}, filterParent(hook))
		if err != nil {
			return fmt.Errorf("list filters of %s: %w", l.name, err)
		}
		if len(left) > 0 {
			return nil
		}
	}
	if err := h.QdiscDel(clsact(l.index)); err != nil {
		return fmt.Errorf("delete qdisc clsact: %w", err)
	}
	return d.forget(qdiscRecord, l.index)
}
