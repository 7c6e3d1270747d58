package demo

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// monitor hears every change of links, addresses, routes and rules that
// anybody makes in a namespace, from outside of the daemon.
type monitor struct {
	file *os.File
}

var monitored = []int{
	unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR,
	unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_IPV4_RULE, unix.RTNLGRP_IPV6_RULE,
}

func newMonitor(n namespace) (*monitor, error) {
	m := &monitor{}
	err := n.inside(func() error {
		fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
		if err != nil {
			return err
		}
		m.file = os.NewFile(uintptr(fd), "netlink")
		if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
			return err
		}
		for _, group := range monitored {
			if err := unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, group); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		if m.file != nil {
			_ = m.file.Close()
		}
		return nil, fmt.Errorf("monitor %s: %w", n, err)
	}
	return m, nil
}

// count returns how many changes were heard so far, and closes the monitor.
func (m *monitor) count() (int, error) {
	defer m.file.Close()
	buf := make([]byte, 64<<10)
	heard := 0
	for {
		if err := m.file.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
			return heard, err
		}
		if _, err := m.file.Read(buf); err != nil {
			if os.IsTimeout(err) {
				return heard, nil
			}
			return heard, err
		}
		heard++
	}
}
