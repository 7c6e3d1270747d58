package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"runtime/debug"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"reconciler/internal/agent"
	"reconciler/internal/api"
	"reconciler/internal/clock"
	"reconciler/internal/driver"
	own "reconciler/internal/driver/handover"
	"reconciler/internal/engine"
	"reconciler/internal/handover"
	"reconciler/internal/health"
	"reconciler/internal/source"
	"reconciler/internal/state"
)

// runOptions are the flags of run.
type runOptions struct {
	host
	dir     string
	git     agent.Git
	poll    time.Duration
	resync  time.Duration
	metrics string
	mode    string
	pidFile string
}

func (c *cli) runCommand() *cobra.Command {
	var o runOptions
	cmd := &cobra.Command{
		Use: "run", Args: cobra.NoArgs,
		Short: "Follow a repository or a directory and keep this host so",
		Long: "Follow a repository or a directory and keep this host so.\n\n" +
			"SIGHUP looks at the source and reconciles now. SIGTERM and SIGINT stop; the network is left as it is.",
	}
	f := cmd.Flags()
	o.host.flags(f)
	f.StringVar(&o.dir, "dir", "", "follow this directory")
	f.StringVar(&o.git.URL, "git", "", "follow this repository: https://, http://, file:// or a path")
	f.StringVar(&o.git.Ref, "ref", "", "a branch, a tag or a commit (default: the repository's HEAD)")
	f.StringVar(&o.git.Path, "path", "", "the directory in the repository (default: its root)")
	f.StringVar(&o.git.TokenFile, "token-file", "", "a file with the token for https")
	f.DurationVar(&o.poll, "poll", 0, "the time between two looks at the source (default: 60s for a repository, 5s for a directory)")
	f.DurationVar(&o.resync, "resync", 0, "the time after which a change whose event was lost is found (default 30s)")
	f.StringVar(&o.metrics, "metrics", "", `address of /metrics (default "127.0.0.1:9377"; empty: none)`)
	f.StringVar(&o.mode, "mode", "", "enforce, observe (plan and report, never write) or suspended (default enforce)")
	f.StringVar(&o.pidFile, "pid-file", "", "where the number of the process is written that keeps this host, also after an upgrade")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		d, err := c.daemon(cmd, o)
		if err != nil {
			return err
		}
		defer d.close()
		return d.run(cmd.Context())
	}
	return cmd
}

// More often than this the daemon would do little else.
const (
	leastPoll   = 100 * time.Millisecond
	leastResync = time.Second
)

// over puts the flags that were given over the settings.
func (o runOptions) over(s *settings, changed func(string) bool) error {
	switch {
	case o.dir != "" && o.git.URL != "":
		return errors.New("--dir and --git exclude each other")
	case o.dir != "":
		s.Source = agent.Source{Dir: o.dir}
	case o.git.URL != "":
		git := o.git
		s.Source = agent.Source{Git: &git}
	case s.Source.Git == nil && s.Source.Dir == "":
		return errors.New("nothing to follow: give --git URL or --dir PATH, or source: in the agent's file")
	}
	for _, name := range []string{"ref", "path", "token-file"} {
		if changed(name) && s.Source.Git == nil {
			return fmt.Errorf("--%s is about a repository, and the source is the directory %s", name, s.Source.Dir)
		}
	}
	if g := s.Source.Git; g != nil {
		g.Ref, g.Path, g.TokenFile = orElse(o.git.Ref, g.Ref), orElse(o.git.Path, g.Path), orElse(o.git.TokenFile, g.TokenFile)
	}
	return o.policy(s, changed)
}

// policy is over for what does not name the source.
func (o runOptions) policy(s *settings, changed func(string) bool) error {
	for _, d := range []struct {
		name         string
		given, least time.Duration
		to           *time.Duration
	}{{"poll", o.poll, leastPoll, &s.Source.Poll}, {"resync", o.resync, leastResync, &s.Resync}} {
		if !changed(d.name) {
			continue
		}
		if d.given < d.least {
			return fmt.Errorf("--%s %s is too often: want %s or more", d.name, d.given, d.least)
		}
		*d.to = d.given
	}
	if changed("metrics") {
		s.Metrics = o.metrics
	}
	if changed("mode") {
		s.Mode = agent.Mode(o.mode)
	}
	return nil
}

// daemon is a running reconciler: the engine and what it is asked through.
type daemon struct {
	*local
	asked       host
	engine      *engine.Engine
	registry    *prometheus.Registry
	socket      *api.Socket
	metricsFile *os.File // a listener; nil for none
	doors       doors
	release     func()       // of the lock; nil while somebody else has it
	successor   atomic.Int64 // the process that serves while this one stands by; 0: none
	pidFile     string

	inherited *handover.Inheritance // of the former version; nil where there is none
	self      *own.Driver
	lease     handover.Lease
}

// daemon makes everything that run needs. Nothing is changed yet.
func (c *cli) daemon(cmd *cobra.Command, o runOptions) (*daemon, error) {
	b := thisBuild()
	l, err := c.local(o.host)
	if err != nil {
		return nil, err
	}
	c.log.Info("starting", "version", b.name(), "commit", b.Commit, "date", b.Date)
	if err := o.over(&l.settings, cmd.Flags().Changed); err != nil {
		return nil, exit(exitUsage, err)
	}
	d := &daemon{local: l, asked: o.host, registry: prometheus.NewRegistry(), pidFile: o.pidFile}
	if err := d.open(cmd.Context()); err != nil {
		d.close()
		return nil, err
	}
	return d, nil
}

func (d *daemon) open(ctx context.Context) (err error) {
	if d.inherited, err = handover.Inherit(); err != nil {
		return err
	}
	var before *handover.Conn
	if d.inherited != nil {
		before = d.inherited.Conn
	} else if err := d.takeLock(ctx); err != nil {
		return err
	}
	if err := d.openDoors(); err != nil {
		return err
	}
	d.lease = handover.Lease{Path: d.socketPath() + ".freeze"}
	d.self = own.Open(before, os.Args, d.cli.log)
	d.drivers = append(d.drivers, d.self)
	if d.inherited != nil {
		if err := d.takeOver(ctx); err != nil {
			return err
		}
	}
	// By now what is on disk is what the former process has left.
	d.engine, err = d.makeEngine(d.drivers, d.registry)
	return err
}

// takeLock waits where a service manager restarts us: for the end of a process that
// has become the service by a handover it does not wait itself, as it is not its
// parent.
func (d *daemon) takeLock(ctx context.Context) (err error) {
	patience := time.Duration(0)
	if os.Getenv("NOTIFY_SOCKET") != "" {
		patience = lockPatience
	}
	err = d.lockWithin(ctx, patience)
	if errors.Is(err, state.ErrLocked) {
		return exit(exitLease, fmt.Errorf("another one keeps this network namespace: %w", err))
	}
	return err
}

func (d *daemon) makeEngine(drivers []driver.Driver, registry *prometheus.Registry) (*engine.Engine, error) {
	store, err := source.OpenStore(d.dir.Path("snapshots"))
	if errors.Is(err, source.ErrCorrupt) {
		d.cli.log.Warn("snapshots cannot be read; beginning anew", "err", err)
	} else if err != nil {
		return nil, err
	}
	src, err := d.makeSource()
	if err != nil {
		return nil, exit(exitUsage, err)
	}
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	s, err := d.settings.engine()
	if err != nil {
		return nil, exit(exitUsage, err)
	}
	var namespace func() error
	if d.cli.netns != "" {
		namespace = func() error { return named(netnsPath(d.cli.netns)) }
	}
	monitor := health.New(health.Config{Observer: engine.NewHealthMetrics(registry), Mono: clock.Boottime})
	return engine.New(engine.Config{
		Source: src, Snapshots: store, Records: d.dir, Drivers: drivers, Settings: s,
		Host: d.settings.Hostname, Version: version,
		Log: d.cli.log, Registry: registry, Notify: engine.SystemdNotifier(os.Getenv),
		Namespace: namespace, Refused: d.refused, Health: monitor, Balancer: balancer(),
	})
}

func (d *daemon) makeSource() (source.Source, error) {
	s := d.settings.Source
	if s.Git == nil {
		return source.NewDir(s.Dir, source.DirOptions{Poll: s.Poll, Log: d.cli.log}), nil
	}
	return source.NewGit(source.GitOptions{
		URL: s.Git.URL, Ref: s.Git.Ref, Path: s.Git.Path, TokenFile: s.Git.TokenFile, CAFile: s.Git.CAFile,
		Cache: d.dir.Path("git"), Poll: s.Poll, Log: d.cli.log,
	})
}

// socketPath is where the daemon listens: a namespace that was given has a
// socket of its own.
func (d *daemon) socketPath() string {
	if d.cli.netns != "" && d.asked.socket == "" {
		return socketOf(d.cli.netns)
	}
	return orElse(d.settings.Socket, agent.Default().Socket)
}

// run works until the context ends, or the next version goes on.
func (d *daemon) run(ctx context.Context) error {
	asked := ctx
	ctx, leave := context.WithCancel(ctx)
	defer leave()
	g, ctx := errgroup.WithContext(ctx)
	d.makeDoors()
	d.self.Serve(&former{daemon: d, ctx: ctx, asked: asked, group: g, leave: leave})
	task := func(name string, run func(context.Context) error) {
		g.Go(func() error { return guarded(name, func() error { return run(ctx) }) })
	}
	if err := errors.Join(d.doors.open(ctx, g), d.lease.End(), d.writePID()); err != nil {
		return err
	}
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP) // before anybody can be told that this one serves
	defer signal.Stop(hup)
	task("engine", d.engine.Run)
	task("hangup", func(ctx context.Context) error { return d.hangups(ctx, hup) })
	d.cli.log.Info("running", "source", d.engine.Status().Source, "socket", d.socket.Addr().String())
	err := g.Wait()
	var p *engine.PanicError
	if errors.As(err, &p) {
		return exit(exitInternal, err)
	}
	d.cli.log.Info("stopped; the network is left as it is")
	return err
}

// makeDoors says what is served behind each listener.
func (d *daemon) makeDoors() {
	server := &api.Server{Engine: d.engine, Log: d.cli.log, Writable: d.writable}
	d.doors.all = []door{{doorAPI, d.socket.Again, server.Serve}}
	if d.metricsFile == nil {
		return
	}
	metrics := promhttp.HandlerFor(d.registry, promhttp.HandlerOpts{})
	d.doors.all = append(d.doors.all, door{
		doorMetrics, func() (net.Listener, error) { return net.FileListener(d.metricsFile) },
		func(ctx context.Context, l net.Listener) error { return api.ServeMetrics(ctx, l, metrics) },
	})
}

// notify speaks to the service manager.
func (d *daemon) notify(state string) {
	if n := engine.SystemdNotifier(os.Getenv); n.Send != nil {
		n.Send(state)
	}
}

// hangups turns SIGHUP into a look at the source. One that stands by is still the
// process that others know, and passes it on.
func (d *daemon) hangups(ctx context.Context, hup <-chan os.Signal) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-hup:
		}
		var err error
		if successor := int(d.successor.Load()); successor != 0 {
			err = syscall.Kill(successor, syscall.SIGHUP)
		} else {
			_, err = d.engine.Sync(ctx)
		}
		if err != nil && ctx.Err() == nil {
			d.cli.log.Warn("sync after SIGHUP", "err", err)
		}
	}
}

// guarded turns a panic into an error, for an orderly exit.
func guarded(name string, run func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &engine.PanicError{Task: name, Value: p, Stack: debug.Stack()}
		}
	}()
	return run()
}

func (d *daemon) close() {
	if d.socket != nil && d.release == nil {
		_ = d.socket.Leave() // who has the lock goes on
	} else if d.socket != nil {
		_ = d.socket.Close()
	}
	if d.metricsFile != nil {
		_ = d.metricsFile.Close()
	}
	if d.release != nil {
		d.release()
	}
}
