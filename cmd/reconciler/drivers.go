package main

import (
	"log/slog"
	"os"

	"reconciler/internal/driver"
	"reconciler/internal/driver/failpoint"
	"reconciler/internal/driver/netlink"
)

// openDrivers is the list of drivers. A new dataplane is one line here and one
// in checkers. stateDir is where a driver keeps what its dataplane has no
// place for.
func openDrivers(stateDir string, log *slog.Logger) ([]driver.Driver, error) {
	links, err := netlink.Open(netlink.Config{State: stateDir, Log: log})
	if err != nil {
		return nil, err
	}
	first, err := failpoint.Wrap(links, os.Getenv(failpoint.Env))
	if err != nil {
		return nil, err
	}
	return []driver.Driver{first}, nil
}

// checkers are the same drivers for what is pure of them: they need no host.
func checkers() []driver.Driver {
	return []driver.Driver{&netlink.Driver{}}
}
