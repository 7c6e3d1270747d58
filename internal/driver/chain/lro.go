package chain

import (
	"errors"
	"fmt"
	"os"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"reconciler/internal/observed"
	"reconciler/internal/resource"
)

// Large-receive-offload hands up packets that no wire has carried, which XDP
// cannot take: drivers refuse one where the other is. It is off from before a
// chain is attached until it is gone.
const lroName = "rx-lro" // as the kernel calls it

// lroOff turns it off where it is on and can be changed, and remembers that.
func (d *Driver) lroOff(ifindex int) error {
	on, err := d.lro(ifindex)
	if err != nil || !on {
		return err
	}
	if err := d.remember(lroRecord, ifindex); err != nil {
		return err
	}
	return d.setLRO(ifindex, false)
}

// lroBack turns it on again where it was us who turned it off.
func (d *Driver) lroBack(link string) error {
	ours, err := d.turnedOff(link)
	if err != nil || ours == 0 {
		return err
	}
	if err := d.setLRO(ours, true); err != nil {
		return err
	}
	return d.forget(lroRecord, ours)
}

// lroAgain reports that somebody turned it on under a chain. What can have none
// is asked once for each generation.
func (d *Driver) lroAgain(a attachment) bool {
	if a.on.virtual || d.noLRO[a.on.index] == a.program {
		return false
	}
	on, can, err := d.readLRO(a.on.index)
	if err == nil && !can {
		d.noLRO[a.on.index] = a.program
	}
	return err == nil && on
}

// observeLeftOff notes where lroOff has changed an interface and no chain came of
// it, or its pins are lost: what is left is a chain to be removed, or made.
func (d *Driver) observeLeftOff(s *observed.State) error {
	r, err := d.readRecord(lroRecord)
	if err != nil {
		return err
	}
	for _, index := range r.Indexes {
		l, err := d.linkByIndex(index)
		if err != nil {
			continue // gone, and its features with it
		}
		c := resource.Chain{Link: l.name, Hook: resource.XDPIngress}
		if s.Objects.Has(c.Key()) {
			continue
		}
		c.Seen.Severed, c.Seen.Damage = true, []string{"large-receive-offload was left off"}
		s.Objects.Put(resource.Object{Resource: c, Owner: resource.Ours})
	}
	return nil
}

// turnedOff is the index of an interface that lroOff has changed; 0 for any
// other, and for one that is gone.
func (d *Driver) turnedOff(link string) (int, error) {
	l, err := d.linkByName(link)
	if err != nil {
		return 0, nil
	}
	if ours, err := d.remembers(lroRecord, l.index); err != nil || !ours {
		return 0, err
	}
	return l.index, nil
}

// lroEffect says what attaching or removing a chain does to it; empty for
// nothing.
func (d *Driver) lroEffect(from, to resource.Chain) string {
	switch {
	case to.Hook.IsXDP():
		l, err := d.linkByName(to.Link)
		if err != nil {
			return ""
		}
		if on, err := d.lro(l.index); err == nil && on {
			return "turns large-receive-offload of " + to.Link + " off, until the chain is gone"
		}
	case from.Hook.IsXDP():
		if ours, err := d.turnedOff(from.Link); err == nil && ours != 0 {
			return "turns large-receive-offload of " + from.Link + " on again"
		}
	}
	return ""
}

// lro reports that it is on and can be changed.
func (d *Driver) lro(ifindex int) (bool, error) {
	on, _, err := d.readLRO(ifindex)
	return on, err
}

// readLRO reports whether it can be changed, and if so whether it is on.
func (d *Driver) readLRO(ifindex int) (on, can bool, err error) {
	answers, err := d.ethtool(unix.ETHTOOL_MSG_FEATURES_GET, ifindex)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.EOPNOTSUPP) {
		return false, false, nil // a kernel without, before Linux 5.7
	}
	if err != nil || len(answers) == 0 {
		return false, false, fmt.Errorf("read features of interface %d: %w", ifindex, err)
	}
	sets, err := attributes(answers[0][nl.SizeofGenlmsg:])
	if err != nil {
		return false, false, err
	}
	const hardware, active, fixed = unix.ETHTOOL_A_FEATURES_HW, unix.ETHTOOL_A_FEATURES_ACTIVE, unix.ETHTOOL_A_FEATURES_NOCHANGE
	can = hasLRO(sets[hardware]) && !hasLRO(sets[fixed])
	return can && hasLRO(sets[active]), can, nil
}

// hasLRO looks into a bit set, as ETHTOOL_A_BITSET_* lay it out: without a mask
// a bit that is listed is set, with one it has a value.
func hasLRO(set []byte) bool {
	outer, err := attributes(set)
	if err != nil {
		return false
	}
	_, noMask := outer[unix.ETHTOOL_A_BITSET_NOMASK]
	bits, err := nl.ParseRouteAttr(outer[unix.ETHTOOL_A_BITSET_BITS])
	if err != nil {
		return false
	}
	for _, b := range bits {
		bit, err := attributes(b.Value)
		if err == nil && unix.ByteSliceToString(bit[unix.ETHTOOL_A_BITSET_BIT_NAME]) == lroName {
			_, value := bit[unix.ETHTOOL_A_BITSET_BIT_VALUE]
			return noMask || value
		}
	}
	return false
}

func attributes(raw []byte) (map[uint16][]byte, error) {
	list, err := nl.ParseRouteAttr(raw)
	if err != nil {
		return nil, err
	}
	out := make(map[uint16][]byte, len(list))
	for _, a := range list {
		out[a.Attr.Type&^uint16(unix.NLA_F_NESTED)] = a.Value
	}
	return out, nil
}

// setLRO asks for it, and looks whether the driver has done so.
func (d *Driver) setLRO(ifindex int, on bool) error {
	wanted := nl.NewRtAttr(unix.ETHTOOL_A_FEATURES_WANTED|unix.NLA_F_NESTED, nil)
	bit := wanted.AddRtAttr(unix.ETHTOOL_A_BITSET_BITS|unix.NLA_F_NESTED, nil).
		AddRtAttr(unix.ETHTOOL_A_BITSET_BITS_BIT|unix.NLA_F_NESTED, nil)
	bit.AddRtAttr(unix.ETHTOOL_A_BITSET_BIT_NAME, nl.ZeroTerminated(lroName))
	if on {
		bit.AddRtAttr(unix.ETHTOOL_A_BITSET_BIT_VALUE, nil)
	}
	_, err := d.ethtool(unix.ETHTOOL_MSG_FEATURES_SET, ifindex, wanted)
	if err != nil {
		return fmt.Errorf("turn large-receive-offload of interface %d %s: %w", ifindex, onOff(on), err)
	}
	is, err := d.lro(ifindex)
	if err == nil && is != on {
		err = errors.New("its driver does not")
	}
	if err != nil {
		return fmt.Errorf("turn large-receive-offload of interface %d %s: %w", ifindex, onOff(on), err)
	}
	return nil
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

// genlmsg is struct genlmsghdr: command, version, and two bytes that are
// reserved. Those the library's own takes from what lies behind it in memory.
type genlmsg [unix.GENL_HDRLEN]byte

// Len is its size in bytes.
func (g genlmsg) Len() int { return len(g) }

// Serialize is what is sent of it.
func (g genlmsg) Serialize() []byte { return g[:] }

// ethtool sends a request about an interface and returns what answers it.
func (d *Driver) ethtool(command uint8, ifindex int, more ...*nl.RtAttr) ([][]byte, error) {
	if d.family == 0 {
		f, err := netlink.GenlFamilyGet("ethtool")
		if err != nil {
			return nil, fmt.Errorf("find ethtool: %w", err)
		}
		d.family = f.ID
	}
	req := nl.NewNetlinkRequest(int(d.family), unix.NLM_F_ACK)
	req.AddData(genlmsg{command, 1})
	header := nl.NewRtAttr(unix.ETHTOOL_A_FEATURES_HEADER|unix.NLA_F_NESTED, nil)
	header.AddRtAttr(unix.ETHTOOL_A_HEADER_DEV_INDEX, nl.Uint32Attr(uint32(ifindex)))
	req.AddData(header)
	for _, a := range more {
		req.AddData(a)
	}
	return req.Execute(unix.NETLINK_GENERIC, 0)
}
