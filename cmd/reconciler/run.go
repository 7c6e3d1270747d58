package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"reconciler/internal/api"
	"reconciler/internal/engine"
	"reconciler/internal/source"
	"reconciler/internal/state"
)

// runOptions are the flags of run.
type runOptions struct {
	host
	source  sourceSettings
	metrics string
	mode    string
	resync  time.Duration
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
	f.StringVar(&o.source.dir, "dir", "", "follow this directory")
	f.StringVar(&o.source.url, "git", "", "follow this repository: https://, http://, file:// or a path")
	f.StringVar(&o.source.ref, "ref", "", "a branch, a tag or a commit (default: the repository's HEAD)")
	f.StringVar(&o.source.path, "path", "", "the directory in the repository (default: its root)")
	f.StringVar(&o.source.tokenFile, "token-file", "", "a file with the token for https")
	f.DurationVar(&o.source.poll, "poll", 0, "the time between two looks at the source (default: 60s for a repository, 5s for a directory)")
	f.DurationVar(&o.resync, "resync", 0, "the time after which a change whose event was lost is found (default 30s)")
	f.StringVar(&o.metrics, "metrics", "", `address of /metrics (default "127.0.0.1:9377"; empty: none)`)
	f.StringVar(&o.mode, "mode", "", "enforce, observe (plan and report, never write) or suspended (default enforce)")
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

// over puts the flags that were given over the settings.
func (o runOptions) over(s *settings, changed func(string) bool) error {
	if o.source.dir != "" && o.source.url != "" {
		return errors.New("--dir and --git exclude each other")
	}
	if o.source.dir != "" || o.source.url != "" {
		token, poll := s.source.tokenFile, s.source.poll
		s.source = o.source
		s.source.tokenFile = orElse(o.source.tokenFile, token)
		s.source.poll = poll
	}
	if s.source.dir == "" && s.source.url == "" {
		return errors.New("nothing to follow: give --git URL or --dir PATH, or source: in the agent's file")
	}
	if changed("poll") {
		s.source.poll = o.source.poll
	}
	if changed("ref") {
		s.source.ref = o.source.ref
	}
	if changed("path") {
		s.source.path = o.source.path
	}
	if changed("metrics") {
		s.metrics = o.metrics
	}
	if changed("resync") {
		s.engine.Resync = o.resync
	}
	if changed("mode") {
		s.engine.Mode = engine.Mode(o.mode)
	}
	return nil
}

// daemon is a running reconciler: the engine and what it is asked through.
type daemon struct {
	*local
	engine   *engine.Engine
	registry *prometheus.Registry
	socket   net.Listener
	metrics  net.Listener
	release  func()
}

// daemon makes everything that run needs. Nothing is changed yet.
func (c *cli) daemon(cmd *cobra.Command, o runOptions) (*daemon, error) {
	b := thisBuild()
	l, err := c.local(o.host, "")
	if err != nil {
		return nil, err
	}
	c.log.Info("starting", "version", b.name(), "commit", b.Commit, "date", b.Date)
	if err := o.over(&l.settings, cmd.Flags().Changed); err != nil {
		return nil, exit(exitUsage, err)
	}
	d := &daemon{local: l, registry: prometheus.NewRegistry()}
	if err := d.open(cmd.Context()); err != nil {
		d.close()
		return nil, err
	}
	return d, nil
}

func (d *daemon) open(ctx context.Context) (err error) {
	d.release, err = d.lock(ctx)
	if errors.Is(err, state.ErrLocked) {
		return exit(exitLease, fmt.Errorf("another one keeps this network namespace: %w", err))
	}
	if err != nil {
		return err
	}
	if d.socket, err = api.Listen(orElse(d.settings.socket, socketOf(d.cli.netns))); err != nil {
		return exit(exitLease, err)
	}
	if d.settings.metrics != "" {
		if d.metrics, err = net.Listen("tcp", d.settings.metrics); err != nil {
			return fmt.Errorf("listen for metrics: %w", err)
		}
	}
	return d.makeEngine()
}

func (d *daemon) makeEngine() error {
	store, err := source.OpenStore(d.dir.Path("snapshots"))
	if errors.Is(err, source.ErrCorrupt) {
		d.cli.log.Warn("snapshots cannot be read; beginning anew", "err", err)
	} else if err != nil {
		return err
	}
	src, err := d.makeSource()
	if err != nil {
		return exit(exitUsage, err)
	}
	d.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	s := d.settings.engine
	s.Protect.Source = d.settings.source.address()
	s.Confirm.Probes = probes(s.Confirm.Probes, s.Protect.Source)
	d.engine, err = engine.New(engine.Config{
		Source: src, Snapshots: store, Records: d.dir, Drivers: d.drivers, Settings: s,
		Host: d.settings.host, Version: version,
		Log: d.cli.log, Registry: d.registry, Notify: engine.SystemdNotifier(os.Getenv),
	})
	return err
}

func (d *daemon) makeSource() (source.Source, error) {
	s := d.settings.source
	if s.dir != "" {
		return source.NewDir(s.dir, source.DirOptions{Poll: s.poll, Log: d.cli.log}), nil
	}
	return source.NewGit(source.GitOptions{
		URL: s.url, Ref: s.ref, Path: s.path, TokenFile: s.tokenFile, CAFile: s.caFile,
		Cache: d.dir.Path("git"), Poll: s.poll, Log: d.cli.log,
	})
}

// address is where a repository is fetched from, as host:port; empty where no
// network is involved.
func (s sourceSettings) address() string {
	u, err := url.Parse(s.url)
	if err != nil || u.Hostname() == "" {
		return ""
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"https": "443", "http": "80", "ssh": "22"}[u.Scheme]
	}
	if port == "" {
		return ""
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// probes are those that confirm an apply where none are named.
func probes(named []engine.Probe, source string) []engine.Probe {
	if named != nil {
		return named
	}
	out := []engine.Probe{engine.GatewayProbe()}
	if source != "" {
		out = append(out, engine.SourceProbe(source))
	}
	return out
}

// run works until the context ends.
func (d *daemon) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	server := &api.Server{Engine: d.engine, Log: d.cli.log}
	metrics := promhttp.HandlerFor(d.registry, promhttp.HandlerOpts{})
	task := func(name string, run func(context.Context) error) {
		g.Go(func() error { return guarded(name, func() error { return run(ctx) }) })
	}
	task("engine", d.engine.Run)
	task("hangup", d.hangups)
	task("socket", func(ctx context.Context) error { return server.Serve(ctx, d.socket) })
	if d.metrics != nil {
		task("metrics", func(ctx context.Context) error { return api.ServeMetrics(ctx, d.metrics, metrics) })
	}
	d.cli.log.Info("running", "source", d.engine.Status().Source, "socket", d.socket.Addr().String())
	err := g.Wait()
	var p *engine.PanicError
	if errors.As(err, &p) {
		return exit(exitInternal, err)
	}
	d.cli.log.Info("stopped; the network is left as it is")
	return err
}

// hangups turns SIGHUP into a look at the source.
func (d *daemon) hangups(ctx context.Context) error {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-hup:
			if _, err := d.engine.Sync(ctx); err != nil && ctx.Err() == nil {
				d.cli.log.Warn("sync after SIGHUP", "err", err)
			}
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
	for _, l := range []net.Listener{d.socket, d.metrics} {
		if l != nil {
			l.Close()
		}
	}
	if d.release != nil {
		d.release()
	}
}
