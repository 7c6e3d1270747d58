// Package netlink is the driver of links, addresses, routes, rules,
// neighbours, bridge ports and kernel parameters.
//
// It owns what the kernel shows of them in one network namespace and how it is
// told to change it: one file a kind, with its two halves, observe and write,
// side by side. It never decides what should be, never touches what does not
// carry its mark unless the plan says so, and imports driver, diff, observed,
// resource and state.
package netlink

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"reconciler/internal/driver"
	"reconciler/internal/driver/netlink/wire"
	"reconciler/internal/resource"
)

// Config says where a driver works.
type Config struct {
	// Netns is the file of a network namespace; empty is the caller's.
	Netns string
	// State is the directory of the record of kernel parameters. With none a
	// parameter that is no longer declared keeps its value.
	State string
	// Log hears of what is odd and no error; nil for none.
	Log *slog.Logger
}

// Driver reads and writes one network namespace. It is a driver.Driver, a
// driver.Annotator and a driver.Watcher.
type Driver struct {
	cfg   Config
	ns    *namespace
	conn  *wire.Conn
	batch wire.Batch
	names *names // of the links at the last look; nil when they may have changed
	// hints tells by which protocols the declared routes were made that are
	// not ours, so that the next look need not read whole tables.
	hints hints
	last  last
	// lastLinks spares decoding links again that are as they were.
	lastLinks lastLinks
	exact     exactly
	asking    asking
}

var (
	_ driver.Driver    = (*Driver)(nil)
	_ driver.Annotator = (*Driver)(nil)
	_ driver.Watcher   = (*Driver)(nil)
)

// Open opens a driver. Its sockets and the namespace stay open until Close.
func Open(cfg Config) (*Driver, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	ns, err := openNamespace(cfg.Netns)
	if err != nil {
		return nil, fmt.Errorf("open network namespace: %w", err)
	}
	d := &Driver{cfg: cfg, ns: ns, hints: hints{}}
	if _, err := d.socket(); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// Close gives the sockets and the namespace back.
func (d *Driver) Close() error {
	var err error
	if d.conn != nil {
		err = d.conn.Close()
		d.conn = nil
	}
	return errors.Join(err, d.ns.Close())
}

// Name is the driver's name in keys.
func (d *Driver) Name() string { return resource.Netlink }

// socket returns the socket for requests, dialed anew when an exchange on the
// last one was given up.
func (d *Driver) socket() (*wire.Conn, error) {
	if d.conn != nil && !d.conn.Spent() {
		return d.conn, nil
	}
	if d.conn != nil {
		_ = d.conn.Close() // nothing is lost with a socket that is given up
		d.conn = nil
	}
	conn, err := d.dial()
	d.conn = conn
	return conn, err
}

func (d *Driver) dial() (conn *wire.Conn, err error) {
	nsErr := d.ns.within(func() { conn, err = wire.Dial() })
	return conn, errors.Join(nsErr, err)
}

func (d *Driver) dump(ctx context.Context, q wire.Query) error {
	conn, err := d.socket()
	if err != nil {
		return err
	}
	return conn.Dump(ctx, q)
}
