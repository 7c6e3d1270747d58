package main

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

// The marks of the reconciler, as documented; not imported, so that a change
// of them shows.
const (
	ourProtocol = 210
	ourGroup    = 21059
)

const (
	create  = unix.NLM_F_REQUEST | unix.NLM_F_CREATE | unix.NLM_F_EXCL
	request = unix.NLM_F_REQUEST
	dump    = unix.NLM_F_REQUEST | unix.NLM_F_DUMP

	vethInfoPeer = 1  // VETH_INFO_PEER
	ifaProto     = 11 // IFA_PROTO
)

// ifinfo is a struct ifinfomsg.
func ifinfo(index, flags uint32) []byte {
	body := make([]byte, 16)
	binary.NativeEndian.PutUint32(body[4:], index)
	binary.NativeEndian.PutUint32(body[8:], flags)
	binary.NativeEndian.PutUint32(body[12:], flags)
	return body
}

// addVeth makes a pair with the indexes index and index+1, both ends up.
func (b *batch) addVeth(index uint32, name, peer string, group uint32) {
	b.message(unix.RTM_NEWLINK, create, ifinfo(index, unix.IFF_UP)...)
	b.text(unix.IFLA_IFNAME, name)
	b.attr32(unix.IFLA_GROUP, group)
	b.nest(unix.IFLA_LINKINFO, func() {
		b.attr(unix.IFLA_INFO_KIND, []byte("veth")...)
		b.nest(unix.IFLA_INFO_DATA, func() {
			b.nest(vethInfoPeer, func() {
				b.bytes = append(b.bytes, ifinfo(index+1, 0)...)
				b.text(unix.IFLA_IFNAME, peer)
				b.attr32(unix.IFLA_GROUP, group)
			})
		})
	})
	b.setUp(index + 1) // a peer that is up in the message above fails
}

func (b *batch) setUp(index uint32) {
	b.message(unix.RTM_NEWLINK, request, ifinfo(index, unix.IFF_UP)...)
}

func (b *batch) deleteLink(index uint32) {
	b.message(unix.RTM_DELLINK, request, ifinfo(index, 0)...)
}

func (b *batch) deleteGroup(group uint32) {
	b.message(unix.RTM_DELLINK, request, ifinfo(0, 0)...)
	b.attr32(unix.IFLA_GROUP, group)
}

func (b *batch) addAddress(index uint32, p netip.Prefix) {
	b.address(unix.RTM_NEWADDR, create, index, p)
	b.attr(ifaProto, ourProtocol)
}

func (b *batch) deleteAddress(index uint32, p netip.Prefix) {
	b.address(unix.RTM_DELADDR, request, index, p)
}

func (b *batch) address(kind, flags uint16, index uint32, p netip.Prefix) {
	body := []byte{unix.AF_INET, byte(p.Bits()), 0, unix.RT_SCOPE_UNIVERSE}
	b.message(kind, flags, binary.NativeEndian.AppendUint32(body, index)...)
	b.attr(unix.IFA_LOCAL, p.Addr().AsSlice()...)
	b.attr(unix.IFA_ADDRESS, p.Addr().AsSlice()...)
}

func (b *batch) addRoute(to netip.Prefix, via netip.Addr, index uint32, protocol byte) {
	b.message(unix.RTM_NEWROUTE, create, routeHeader(byte(to.Bits()), protocol)...)
	b.attr(unix.RTA_DST, to.Addr().AsSlice()...)
	b.attr(unix.RTA_GATEWAY, via.AsSlice()...)
	b.attr32(unix.RTA_OIF, index)
}

// routeHeader is a struct rtmsg of table main.
func routeHeader(bits, protocol byte) []byte {
	return []byte{unix.AF_INET, bits, 0, 0, unix.RT_TABLE_MAIN, protocol, unix.RT_SCOPE_UNIVERSE, unix.RTN_UNICAST, 0, 0, 0, 0}
}

// The dumps that a reader of the host cannot do without.

func dumpLinks(b *batch)     { b.message(unix.RTM_GETLINK, dump, ifinfo(0, 0)...) }
func dumpAddresses(b *batch) { b.message(unix.RTM_GETADDR, dump, make([]byte, 8)...) }

// dumpIPv4 leaves out what the kernel adds by itself, in its own time.
func dumpIPv4(b *batch) { b.message(unix.RTM_GETADDR, dump, unix.AF_INET, 0, 0, 0, 0, 0, 0, 0) }

func dumpOurRoutes(b *batch) {
	header := routeHeader(0, ourProtocol)
	header[4], header[7] = unix.RT_TABLE_UNSPEC, unix.RTN_UNSPEC
	b.message(unix.RTM_GETROUTE, dump, header...)
}
