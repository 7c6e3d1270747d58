package lb

import "reconciler/internal/driver"

// Freeze: rings, flows and records are pinned.
func (*Driver) Freeze() driver.Freeze {
	return driver.Freeze{Keeps: []string{"flows to VIPs, by the health last known"}}
}
