package netlink

import "reconciler/internal/driver"

// Freeze: what the kernel was told it keeps doing.
func (*Driver) Freeze() driver.Freeze {
	return driver.Freeze{Keeps: []string{"links, addresses, routes"}}
}
