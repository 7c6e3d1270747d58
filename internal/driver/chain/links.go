package chain

import (
	"fmt"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"reconciler/internal/resource"
)

// linkState is what attaching needs to know of an interface.
type linkState struct {
	index int
	name  string
	xdp   xdpState
	// virtual is of a kind that has no offloads of its own to receive with.
	virtual bool
}

// xdpState is the XDP program of an interface, whoever attached it.
type xdpState struct {
	program ebpf.ProgramID // 0 for none
	mode    resource.XDPMode
}

func (x xdpState) how() string {
	switch x.mode {
	case resource.Native:
		return attachXDPNative
	case resource.Generic:
		return attachXDPGeneric
	}
	return ""
}

// routing is the socket for requests to the routing subsystem.
func (d *Driver) routing() (*netlink.Handle, error) {
	if d.handle == nil {
		h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
		if err != nil {
			return nil, fmt.Errorf("open routing socket: %w", err)
		}
		d.handle = h
	}
	return d.handle, nil
}

func (d *Driver) linkByName(name string) (linkState, error) {
	h, err := d.routing()
	if err != nil {
		return linkState{}, err
	}
	l, err := h.LinkByName(name)
	if err != nil {
		return linkState{}, fmt.Errorf("find interface %s: %w", name, err)
	}
	return stateOf(l), nil
}

func (d *Driver) linkByIndex(index int) (linkState, error) {
	h, err := d.routing()
	if err != nil {
		return linkState{}, err
	}
	l, err := h.LinkByIndex(index)
	if err != nil {
		return linkState{}, fmt.Errorf("find interface %d: %w", index, err)
	}
	return stateOf(l), nil
}

func stateOf(l netlink.Link) linkState {
	a := l.Attrs()
	s := linkState{index: a.Index, name: a.Name, virtual: !slices.Contains([]string{"device", "bond", "team", "macvlan"}, l.Type())}
	if a.Xdp == nil || !a.Xdp.Attached {
		return s
	}
	s.xdp.program = ebpf.ProgramID(a.Xdp.ProgId)
	s.xdp.mode = resource.Native
	if a.Xdp.AttachMode == xdpAttachedSKB {
		s.xdp.mode = resource.Generic
	}
	return s
}

const xdpAttachedSKB = 2 // XDP_ATTACHED_SKB of linux/if_link.h

const noProgram = -1 // in place of a descriptor: what is there goes

// setXDP attaches a program without a link, in the mode that was read.
func setXDP(l linkState, fd int) error {
	flags := unix.XDP_FLAGS_DRV_MODE
	if l.xdp.mode == resource.Generic {
		flags = unix.XDP_FLAGS_SKB_MODE
	}
	return netlink.LinkSetXdpFdWithFlags(&netlink.Dummy{LinkAttrs: netlink.LinkAttrs{Index: l.index}}, fd, flags)
}
