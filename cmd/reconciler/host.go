package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/pflag"

	"reconciler/internal/agent"
	"reconciler/internal/api"
	"reconciler/internal/desired"
	"reconciler/internal/driver"
	own "reconciler/internal/driver/handover"
	"reconciler/internal/engine"
	"reconciler/internal/resource"
	"reconciler/internal/source"
	"reconciler/internal/state"
)

// host are the flags of commands that are about this host.
type host struct {
	agentConfig string
	name        string
	socket      string
	stateDir    string
}

func (h *host) flags(f *pflag.FlagSet) {
	h.localFlags(f)
	h.socketFlag(f)
}

// localFlags are enough for who never asks the daemon.
func (h *host) localFlags(f *pflag.FlagSet) {
	h.agentFlag(f)
	f.StringVar(&h.name, "host", "", "resolve the layers for this host (default: its name)")
	f.StringVar(&h.stateDir, "state-dir", "", "where state is kept (default "+agent.Default().StateDir+")")
}

// daemonFlags are enough for who only asks the daemon.
func (h *host) daemonFlags(f *pflag.FlagSet) {
	h.agentFlag(f)
	h.socketFlag(f)
}

func (h *host) agentFlag(f *pflag.FlagSet) {
	f.StringVar(&h.agentConfig, "agent-config", "", "the agent's own settings (default "+agent.Path+", where it exists)")
}

func (h *host) socketFlag(f *pflag.FlagSet) {
	f.StringVar(&h.socket, "socket", "", "the daemon's unix socket (default "+agent.Default().Socket+", or with --netns NAME "+socketOf("NAME")+")")
}

// socketOf is where the daemon of a namespace listens.
func socketOf(netns string) string {
	if netns == "" {
		return agent.Default().Socket
	}
	return "/run/reconciler/" + filepath.Base(netns) + ".sock"
}

// client asks the daemon of this host or of --netns.
func (c *cli) client(h host) *api.Client {
	socket := h.socket
	if s, err := readSettings(h); err == nil && socket == "" && c.netns == "" {
		socket = s.Socket
	}
	return api.NewClient(orElse(socket, socketOf(c.netns)))
}

// daemonError ends a command that needs a daemon.
func (c *cli) daemonError(err error) error {
	if errors.Is(err, api.ErrNoDaemon) {
		return exit(noDaemon, hint(err, "start one: reconciler run --git URL, or --dir PATH"))
	}
	var refused *api.Error
	if errors.As(err, &refused) && refused.Code == api.CodeReadOnly {
		return exit(exitLease, err)
	}
	return exit(1, err)
}

// local works on this host without a daemon.
type local struct {
	cli      *cli
	settings settings
	stateDir string
	revision string // of the tree that was loaded
	refused  string // the revision of an apply that we took back, for want of a confirmation
	dir      *state.Dir
	drivers  []driver.Driver
	planner  engine.Planner
}

// local enters the namespace and makes what a command needs that may change
// something: the state directory among it.
func (c *cli) local(h host) (*local, error) {
	return c.working(h, func(l *local) error {
		if err := c.enter(); err != nil {
			return err
		}
		dir, err := state.Open(l.stateDir)
		if err != nil {
			return err
		}
		l.dir = dir
		l.drivers, err = openDrivers(place{state: dir.Path("."), writable: true}, l.settings, c.log)
		return err
	})
}

// reader is local for a command that only looks: it makes nothing on disk and
// needs no right to. With a file, what is observed comes from there and
// nothing of the host is needed.
func (c *cli) reader(h host, file string) (*local, error) {
	return c.working(h, func(l *local) (err error) {
		if file != "" {
			drivers, err := offline(readable(l.stateDir), l.settings)
			if err != nil {
				return err
			}
			l.drivers, err = fromFile(file, drivers)
			return err
		}
		if err := c.enter(); err != nil {
			return err
		}
		l.drivers, err = openDrivers(place{state: readable(l.stateDir)}, l.settings, c.log)
		return err
	})
}

// readable is the state directory of the namespace if it is there for us to
// read; else empty.
func readable(base string) string {
	id, err := state.Namespace()
	if err != nil {
		return ""
	}
	path := filepath.Join(base, id.Name)
	if _, err := os.ReadDir(path); err != nil {
		return ""
	}
	return path
}

func (c *cli) working(h host, open func(*local) error) (*local, error) {
	s, err := readSettings(h)
	if err != nil {
		return nil, exit(applyInvalid, err)
	}
	l := &local{cli: c, settings: s, stateDir: s.StateDir}
	if err := open(l); err != nil {
		return nil, exit(applyUnreadable, err)
	}
	oneShot := append(slices.Clone(l.drivers), own.Open(nil, os.Args, c.log))
	l.planner = engine.Planner{Drivers: oneShot, Protect: s.protection(), Guard: s.guard(), Decide: engine.Once{Loses: engine.Loses(l.drivers)}.Decide()}
	return l, nil
}

// load resolves the tree at a path for this host. Warnings go to stderr.
func (l *local) load(path string) (*resource.Set, error) {
	tree, err := source.ReadDir(path)
	if err != nil {
		return nil, err
	}
	o, err := l.settings.desired()
	if err != nil {
		return nil, err
	}
	l.revision = tree.Revision
	d, err := desired.Load(tree.FS(), o)
	if err == nil {
		err = engine.Refused(d, l.drivers)
	}
	if err != nil {
		return nil, fmt.Errorf("%s is not valid:\n%w", path, err)
	}
	for _, w := range d.Warnings {
		l.cli.say("%s: warning: %v", path, w)
	}
	return d.Want, nil
}

// lock makes us the only mutator of the namespace, and deals with what an
// earlier one left.
func (l *local) lock(ctx context.Context) (release func(), err error) {
	release, err = l.dir.Lock()
	if err != nil {
		return nil, err
	}
	if err := l.settleUndo(ctx); err != nil {
		release()
		return nil, err
	}
	return release, nil
}

// follows reports whether a daemon's source is the directory at a path.
func follows(source, path string) bool {
	const prefix = "dir "
	if len(source) <= len(prefix) || source[:len(prefix)] != prefix {
		return false
	}
	a, errA := os.Stat(source[len(prefix):])
	b, errB := os.Stat(path)
	return errA == nil && errB == nil && os.SameFile(a, b)
}
