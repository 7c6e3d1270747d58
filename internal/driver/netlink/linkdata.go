package netlink

import (
	"golang.org/x/sys/unix"

	"reconciler/internal/driver/netlink/wire"
	"reconciler/internal/resource"
)

// Ethertypes of VLAN tags, by their names in YAML.
const (
	tag8021Q  = "802.1q"
	tag8021AD = "802.1ad"
)

// vethInfoPeer (VETH_INFO_PEER) holds the description of the other end.
const vethInfoPeer = 1

// macvlanModes are the modes of a macvlan link, from linux/if_link.h.
var macvlanModes = []struct {
	name  string
	value uint32
}{{"private", 1}, {"vepa", 2}, {"bridge", 4}, {"passthru", 8}, {"source", 16}}

// readData reads what only one kind of link has.
func (r *rawLink) readData(data []byte) {
	if r.Type == resource.Bridge {
		// A kernel without VLAN filtering does not tell, and refuses to be told.
		r.Bridge.VLANFiltering = resource.Some(false)
	}
	for a := wire.Attributes(data); a.Next(); {
		switch r.Type {
		case resource.Bridge:
			readBridge(&r.Bridge, a.Type, a.Value)
		case resource.VXLAN:
			r.readVXLAN(a.Type, a.Value)
		case resource.VLAN:
			r.readVLAN(a.Type, a.Value)
		case resource.MACVLAN:
			if a.Type == unix.IFLA_MACVLAN_MODE {
				r.Mode = macvlanMode(wire.U32(a.Value))
			}
		}
	}
}

func macvlanMode(v uint32) string {
	for _, m := range macvlanModes {
		if m.value == v {
			return m.name
		}
	}
	return number(v)
}

// looseBinding is VLAN_FLAG_LOOSE_BINDING, from linux/if_vlan.h.
const looseBinding = 0x4

func (r *rawLink) readVLAN(kind uint16, b []byte) {
	switch kind {
	case unix.IFLA_VLAN_ID:
		r.VLAN.ID = wire.U16(b)
	case unix.IFLA_VLAN_PROTOCOL:
		r.VLAN.Protocol = tag8021Q
		if wire.BE16(b) == unix.ETH_P_8021AD {
			r.VLAN.Protocol = tag8021AD
		}
	case unix.IFLA_VLAN_FLAGS:
		r.Seen.LooseBinding = wire.U32(b)&looseBinding != 0
	}
}

func (r *rawLink) readVXLAN(kind uint16, b []byte) {
	v := &r.VXLAN
	switch kind {
	case unix.IFLA_VXLAN_ID:
		v.ID = wire.U32(b)
	case unix.IFLA_VXLAN_LOCAL, unix.IFLA_VXLAN_LOCAL6:
		v.Local = wire.IP(b)
	case unix.IFLA_VXLAN_GROUP, unix.IFLA_VXLAN_GROUP6:
		v.Remote = wire.IP(b)
	case unix.IFLA_VXLAN_PORT:
		v.Port = wire.BE16(b)
	case unix.IFLA_VXLAN_LEARNING:
		v.Learning = resource.Some(wire.U8(b) != 0)
	case unix.IFLA_VXLAN_TTL:
		v.TTL = resource.Some(wire.U8(b))
	case unix.IFLA_VXLAN_LINK:
		r.lower = int32(wire.U32(b))
	}
}

func readBridge(v *resource.BridgeAttr, kind uint16, b []byte) {
	switch kind {
	case unix.IFLA_BR_VLAN_FILTERING:
		v.VLANFiltering = resource.Some(wire.U8(b) != 0)
	case unix.IFLA_BR_STP_STATE:
		v.STP = resource.Some(wire.U32(b) != 0)
	case unix.IFLA_BR_FORWARD_DELAY:
		v.ForwardDelay = resource.Some(wire.U32(b))
	case unix.IFLA_BR_HELLO_TIME:
		v.HelloTime = resource.Some(wire.U32(b))
	case unix.IFLA_BR_MAX_AGE:
		v.MaxAge = resource.Some(wire.U32(b))
	case unix.IFLA_BR_AGEING_TIME:
		v.AgeingTime = resource.Some(wire.U32(b))
	case unix.IFLA_BR_PRIORITY:
		v.Priority = resource.Some(wire.U16(b))
	case unix.IFLA_BR_MCAST_SNOOPING:
		v.MulticastSnooping = resource.Some(wire.U8(b) != 0)
	}
}

// dataDiffers reports whether an attribute differs that only one kind of link
// has and that can be changed in place.
func dataDiffers(from, to resource.Link) bool {
	return to.Bridge != from.Bridge || to.VXLAN.Learning != from.VXLAN.Learning || to.VXLAN.TTL != from.VXLAN.TTL ||
		to.Mode != from.Mode
}

// writeData writes what differs of what only one kind of link has.
func writeData(b *wire.Batch, from, to resource.Link) {
	switch to.Type {
	case resource.Bridge:
		writeBridge(b, from.Bridge, to.Bridge)
	case resource.VXLAN:
		writeVXLAN(b, from.VXLAN, to.VXLAN)
	case resource.VLAN:
		b.U16(unix.IFLA_VLAN_ID, to.VLAN.ID)
		if to.VLAN.Protocol == tag8021AD {
			b.BE16(unix.IFLA_VLAN_PROTOCOL, unix.ETH_P_8021AD)
		}
	case resource.MACVLAN:
		for _, m := range macvlanModes {
			if m.name == to.Mode {
				b.U32(unix.IFLA_MACVLAN_MODE, m.value)
			}
		}
	case resource.Veth:
		peer := b.Nest(vethInfoPeer)
		b.Link(unix.IfInfomsg{})
		b.String(unix.IFLA_IFNAME, to.Peer)
		b.U32(unix.IFLA_GROUP, to.Group)
		b.Close(peer)
	}
}

func writeVXLAN(b *wire.Batch, from, to resource.VXLANAttr) {
	if from.ID == 0 {
		b.U32(unix.IFLA_VXLAN_ID, to.ID)
		writeEnds(b, to)
		if to.Port != 0 {
			b.BE16(unix.IFLA_VXLAN_PORT, to.Port)
		}
	}
	if v, ok := to.Learning.Get(); ok && to.Learning != from.Learning {
		b.Bool(unix.IFLA_VXLAN_LEARNING, v)
	}
	if v, ok := to.TTL.Get(); ok && to.TTL != from.TTL {
		b.U8(unix.IFLA_VXLAN_TTL, v)
	}
}

// writeEnds writes the ends of a tunnel by their families.
func writeEnds(b *wire.Batch, to resource.VXLANAttr) {
	switch {
	case to.Local.Is4():
		b.IP(unix.IFLA_VXLAN_LOCAL, to.Local)
	case to.Local.IsValid():
		b.IP(unix.IFLA_VXLAN_LOCAL6, to.Local)
	}
	switch {
	case to.Remote.Is4():
		b.IP(unix.IFLA_VXLAN_GROUP, to.Remote)
	case to.Remote.IsValid():
		b.IP(unix.IFLA_VXLAN_GROUP6, to.Remote)
	}
}

func writeBridge(b *wire.Batch, from, to resource.BridgeAttr) {
	flag := func(kind uint16, from, to resource.Opt[bool]) {
		if v, ok := to.Get(); ok && to != from {
			b.Bool(kind, v)
		}
	}
	num := func(kind uint16, from, to resource.Opt[uint32]) {
		if v, ok := to.Get(); ok && to != from {
			b.U32(kind, v)
		}
	}
	if v := to.VLANFiltering.Or(false); v != from.VLANFiltering.Or(false) {
		b.Bool(unix.IFLA_BR_VLAN_FILTERING, v)
	}
	flag(unix.IFLA_BR_MCAST_SNOOPING, from.MulticastSnooping, to.MulticastSnooping)
	num(unix.IFLA_BR_FORWARD_DELAY, from.ForwardDelay, to.ForwardDelay)
	num(unix.IFLA_BR_HELLO_TIME, from.HelloTime, to.HelloTime)
	num(unix.IFLA_BR_MAX_AGE, from.MaxAge, to.MaxAge)
	num(unix.IFLA_BR_AGEING_TIME, from.AgeingTime, to.AgeingTime)
	if v, ok := to.Priority.Get(); ok && to.Priority != from.Priority {
		b.U16(unix.IFLA_BR_PRIORITY, v)
	}
	if v, ok := to.STP.Get(); ok && to.STP != from.STP {
		state := uint32(0)
		if v {
			state = 1
		}
		b.U32(unix.IFLA_BR_STP_STATE, state)
	}
}
