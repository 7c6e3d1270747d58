package netlink

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"reconciler/internal/observed"
	"reconciler/internal/resource"
)

// asking are the wanted links that are told by what only ethtool knows of a
// link. They are found once for each wanted set.
type asking struct {
	want  *resource.Set
	links []resource.Link
}

func (a *asking) of(want *resource.Set) []resource.Link {
	if a.want == want {
		return a.links
	}
	*a = asking{want: want}
	want.Each(func(_ resource.Key, o resource.Object) bool {
		if l, ok := o.Resource.(resource.Link); ok && (l.Match.Driver != "" || l.Match.PCI != "") {
			a.links = append(a.links, l)
		}
		return true
	})
	return a.links
}

// driverInfo is what ethtool -i prints of a link.
type driverInfo struct{ name, bus string }

// drivers reads the drivers of all links where wanted ones ask for them.
func (l *look) drivers(raw []rawLink, asked []resource.Link) {
	if len(asked) == 0 {
		return
	}
	fd, err := l.d.ethtool()
	if err == nil {
		defer unix.Close(fd)
	}
	l.readDrivers(raw, asked, func(link string) (driverInfo, error) {
		if err != nil {
			return driverInfo{}, err
		}
		return readDriver(fd, link)
	})
}

// readDrivers asks for each link. Where one does not answer it may be the one
// that is meant: nothing may happen to it, nor to those that ask.
func (l *look) readDrivers(raw []rawLink, asked []resource.Link, read func(link string) (driverInfo, error)) {
	var failed error
	for i := range raw {
		link := &raw[i].Link
		info, err := read(link.Name)
		if err != nil {
			failed = fmt.Errorf("read driver of %s: %w", link.Name, err)
			l.blind(observed.Scope{Parent: link.Name}, failed)
		}
		link.Seen.Driver, link.Seen.PCI = info.name, info.bus
	}
	if failed == nil {
		return
	}
	for _, want := range asked {
		l.blind(observed.Scope{Parent: want.Name}, failed)
	}
}

// ethtool opens a socket whose ioctl calls are about the links of the
// namespace.
func (d *Driver) ethtool() (fd int, err error) {
	nsErr := d.ns.within(func() { fd, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0) })
	return fd, errors.Join(nsErr, err)
}

// readDriver reads the driver of a link; one without, and one that is gone
// meanwhile, is no error.
func readDriver(fd int, link string) (driverInfo, error) {
	info, err := unix.IoctlGetEthtoolDrvinfo(fd, link)
	switch {
	case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENODEV):
		return driverInfo{}, nil
	case err != nil:
		return driverInfo{}, err
	}
	return driverInfo{unix.ByteSliceToString(info.Driver[:]), unix.ByteSliceToString(info.Bus_info[:])}, nil
}
