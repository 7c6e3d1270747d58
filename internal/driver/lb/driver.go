// Package lb is the driver of the XDP load balancer: its tables, the backends
// that packets go to, the VIPs that they come for, and the time in which flows
// stay where they were.
//
// It owns what stands below its directory of pins, and the entries of
// neighbours that the kernel keeps fresh for it: one file a kind, with its two
// halves, observe and write, side by side. All that is known of a VIP is read
// back from the maps. It never decides what should be, never loads nor attaches
// a program, never touches a neighbour that is another's, and imports driver,
// driver/lb/plane, driver/netlink/wire, diff, maglev, observed and resource.
package lb

import (
	"log/slog"
	"sync"

	"reconciler/internal/driver/netlink/wire"
)

// Config says where a driver works.
type Config struct {
	// BPFFS is where the BPF file system is mounted; /sys/fs/bpf where empty.
	BPFFS string
	// Namespace names the network namespace of the process, and Cookie proves
	// which one it is (see state.Identity).
	Namespace string
	Cookie    uint64
	// Log hears of what is odd and no error; nil for none.
	Log *slog.Logger
}

// Driver reads and writes the balancer of the process's network namespace.
type Driver struct {
	cfg Config

	mu    sync.Mutex // the watch looks beside the engine
	conn  *wire.Conn // nil before the first need
	batch wire.Batch
}
