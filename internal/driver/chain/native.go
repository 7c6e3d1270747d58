package chain

import (
	"encoding/binary"
	"fmt"
	"os"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"reconciler/internal/resource"
)

// Of linux/netdev.h, Linux 6.3.
const (
	netdevDevGet      = 1      // NETDEV_CMD_DEV_GET
	netdevIfindex     = 1      // NETDEV_A_DEV_IFINDEX
	netdevXDPFeatures = 3      // NETDEV_A_DEV_XDP_FEATURES
	netdevXDPBasic    = 1 << 0 // NETDEV_XDP_ACT_BASIC
)

// errNotNative says what to do about it.
func errNotNative(link string) error {
	return fmt.Errorf("the driver of %s has no native XDP (mode: generic, or auto)", link)
}

// checkMode refuses a mode that an interface has not, before anything of what
// runs there is touched. A kernel that cannot be asked leaves it to the attempt
// to attach.
func (d *Driver) checkMode(c resource.Chain, ifindex int) error {
	if !c.Hook.IsXDP() || c.Mode != resource.Native {
		return nil
	}
	if features, err := d.xdpFeatures(ifindex); err == nil && features&netdevXDPBasic == 0 {
		return errNotNative(c.Link)
	}
	return nil
}

// xdpFeatures asks what an interface's driver can do.
func (d *Driver) xdpFeatures(ifindex int) (uint64, error) {
	if d.netdev == 0 {
		f, err := netlink.GenlFamilyGet("netdev")
		if err != nil {
			return 0, fmt.Errorf("find netdev: %w", err)
		}
		d.netdev = f.ID
	}
	req := nl.NewNetlinkRequest(int(d.netdev), unix.NLM_F_ACK)
	// The library's header leaves to chance what is reserved, and must be zero.
	req.AddRawData(append([]byte{netdevDevGet, 1, 0, 0}, nl.NewRtAttr(netdevIfindex, nl.Uint32Attr(uint32(ifindex))).Serialize()...))
	answers, err := req.Execute(unix.NETLINK_GENERIC, 0)
	if err != nil {
		return 0, fmt.Errorf("read XDP features of interface %d: %w", ifindex, err)
	}
	for _, a := range answers {
		attrs, err := attributes(a[nl.SizeofGenlmsg:])
		if err != nil {
			return 0, err
		}
		if f := attrs[netdevXDPFeatures]; len(f) == 8 {
			return binary.NativeEndian.Uint64(f), nil
		}
	}
	return 0, fmt.Errorf("read XDP features of interface %d: %w", ifindex, os.ErrNotExist)
}
