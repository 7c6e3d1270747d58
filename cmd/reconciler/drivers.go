package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"

	"reconciler/internal/artifact"
	"reconciler/internal/desired"
	"reconciler/internal/driver"
	"reconciler/internal/driver/bpffs"
	"reconciler/internal/driver/chain"
	process "reconciler/internal/driver/daemon"
	"reconciler/internal/driver/failpoint"
	own "reconciler/internal/driver/handover"
	"reconciler/internal/driver/lb"
	"reconciler/internal/driver/netlink"
	"reconciler/internal/driver/release"
	"reconciler/internal/resource"
	"reconciler/internal/state"
)

// place is where drivers keep what their dataplanes have no place for.
type place struct {
	state    string // the directory of the namespace; empty where there is none to read
	writable bool
}

// openDrivers is the list of drivers. A new dataplane is one line here and one
// in checkers.
func openDrivers(at place, s settings, log *slog.Logger) ([]driver.Driver, error) {
	links, err := netlink.Open(netlink.Config{State: at.state, Log: log})
	if err != nil {
		return nil, err
	}
	id, err := state.Namespace()
	if err != nil {
		return nil, err
	}
	chains, err := openChains(at, id, s, log)
	if err != nil {
		return nil, err
	}
	balancer := lb.Open(lb.Config{Namespace: id.Name, Cookie: id.Cookie, Log: log})
	versions := release.Open(release.Config{ReadOnly: !at.writable, Keys: s.Allow.Signers, Log: log})
	processes, err := process.Open(process.Config{
		State: at.state, ReadOnly: !at.writable, Namespace: id.Name, Objects: objectsAt(at), Pins: bpffs.Root{Mount: bpffs.DefaultMount, Namespace: id.Name, Cookie: id.Cookie},
		Forbidden: !s.Allow.Daemons, Users: s.Allow.Users, Exec: s.Allow.Exec, Log: log,
	})
	if err != nil {
		return nil, err
	}
	return failpoint.Wrap([]driver.Driver{links, balancer, chains, versions, processes}, os.Getenv(failpoint.Env))
}

// objectsAt is the cache of objects, for who only reads it.
func objectsAt(at place) *artifact.Store {
	return artifact.At(filepath.Join(at.state, "objects"), artifact.Options{})
}

func openChains(at place, id state.Identity, s settings, log *slog.Logger) (*chain.Driver, error) {
	bypass, err := chain.NewBypass(s.Bypass.Frames, s.Bypass.From)
	if err != nil {
		return nil, err
	}
	objects := artifact.At(filepath.Join(at.state, "objects"), artifact.Options{})
	if at.writable {
		if objects, err = artifact.Open(filepath.Join(at.state, "objects"), artifact.Options{}); err != nil {
			return nil, err
		}
	}
	return chain.Open(chain.Config{
		Namespace: id.Name, Cookie: id.Cookie, Records: at.state, Objects: objects, Bypass: bypass, Log: log,
	}), nil
}

// balancer is the load balancer of this build, as trees speak of it.
func balancer() *desired.Balancer { return &desired.Balancer{Object: lb.Object(), Maps: lb.Maps} }

// checkers are the same drivers for what is pure of them: they need no host.
func checkers() []driver.Driver {
	return []driver.Driver{&netlink.Driver{}, &lb.Driver{}, &chain.Driver{}, &release.Driver{}, &process.Driver{}, &own.Driver{}}
}

// offline are drivers that look at no host: at the tree, and at objects that
// were fetched before, below at.
func offline(at string, s settings) ([]driver.Driver, error) {
	bypass, err := chain.NewBypass(s.Bypass.Frames, s.Bypass.From)
	if err != nil {
		return nil, err
	}
	c := chain.Config{Bypass: bypass}
	if at != "" {
		c.Objects = artifact.At(filepath.Join(at, "objects"), artifact.Options{})
	}
	return []driver.Driver{&netlink.Driver{}, &lb.Driver{}, chain.Open(c), release.Open(release.Config{ReadOnly: true}), own.Open(nil, os.Args, nil)}, nil
}

// fetch brings what a set is made of to this host. What cannot be had is told
// and left out; the rest goes on.
func (l *local) fetch(ctx context.Context, want *resource.Set) {
	var errs []error
	for _, d := range l.drivers {
		if f, ok := d.(driver.Fetcher); ok {
			errs = append(errs, f.Fetch(ctx, want))
		}
	}
	if err := errors.Join(errs...); err != nil {
		l.cli.say("%v", err)
	}
}
