package chain

import "reconciler/internal/driver"

// Freeze: chains are pinned.
func (*Driver) Freeze() driver.Freeze {
	return driver.Freeze{Keeps: []string{"packets through chains"}}
}
