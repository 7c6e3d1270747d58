package demo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// world is everything that the demo makes: the namespaces of a host under
// control (edge), of its router and of three tenants, a repository, the daemon.
type world struct {
	dir                              string
	edge, router, left, right, third namespace
	repo                             *repo
	daemon                           *daemon
	pins                             pins
	listener                         net.Listener // behind the router
	servers                          []*server    // web1 to web3, of the tenants
	fast                             bool
}

// The addresses of the world outside of the edge.
const (
	routerPrefix = "192.0.2.1/24"
	serverAddr   = "198.51.100.10"
	serverPort   = "9418"
	leftPrefix   = "10.0.0.11/24"
	rightPrefix  = "10.0.0.12/24"
	thirdPrefix  = "10.0.0.13/24"
	vipAddr      = "198.51.100.80"
)

// newWorld makes a world. It returns it also with an error, to be closed.
func newWorld(ctx context.Context, o Options) (*world, error) {
	w := &world{fast: o.Fast}
	for _, n := range []struct {
		at   *namespace
		name string
	}{{&w.edge, "edge"}, {&w.router, "router"}, {&w.left, "left"}, {&w.right, "right"}, {&w.third, "third"}} {
		*n.at = namespace(fmt.Sprintf("%s-%d", n.name, os.Getpid()))
	}
	var err error
	if w.dir, err = os.MkdirTemp("", "reconciler-demo-"); err != nil {
		return w, err
	}
	w.daemon = newDaemon(o.Binary, w.dir, w.edge)
	for _, step := range []func(context.Context) error{w.cable, w.serve, w.agentConfig} {
		if err := step(ctx); err != nil {
			return w, err
		}
	}
	if w.pins, err = newPins(w.edge); err != nil {
		return w, err
	}
	w.repo, err = newRepo(ctx, w.dir)
	return w, err
}

// cable makes the namespaces and the one link that the edge has from the
// factory.
func (w *world) cable(ctx context.Context) error {
	for _, n := range w.namespaces() {
		if _, err := command(ctx, "ip", "netns", "add", string(n)); err != nil {
			return err
		}
		if _, err := n.ip(ctx, "link", "set", "lo", "up"); err != nil {
			return err
		}
	}
	return each(ctx, w.router,
		"link add edge type veth peer name uplink netns "+string(w.edge),
		"link set edge up",
		"address add "+routerPrefix+" dev edge",
		"address add "+serverAddr+"/32 dev lo",
	)
}

// each runs ip in a namespace, a line at a time.
func each(ctx context.Context, n namespace, lines ...string) error {
	for _, line := range lines {
		if _, err := n.ip(ctx, strings.Fields(line)...); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) namespaces() []namespace {
	return []namespace{w.edge, w.router, w.left, w.right, w.third}
}

// serve answers on the address behind the router, for the probe of the agent.
func (w *world) serve(context.Context) error {
	err := w.router.inside(func() (err error) {
		w.listener, err = net.Listen("tcp", net.JoinHostPort(serverAddr, serverPort))
		return err
	})
	if err != nil {
		return err
	}
	go func() {
		for {
			conn, err := w.listener.Accept()
			if err != nil {
				return // closed
			}
			_ = conn.Close()
		}
	}()
	return nil
}

// confirmTimeout is short, for a show. The default is 90 s.
const confirmTimeout = 3 * time.Second

func (w *world) agentConfig(context.Context) error {
	text := fmt.Sprintf(`version: 1
confirm: {timeout: %s, probes: [default-gateway, {tcp: "%s:%s"}], on-failure: rollback}
`, confirmTimeout, serverAddr, serverPort)
	return os.WriteFile(w.daemon.config, []byte(text), 0o600)
}

// plug hands the other end of a port of the bridge to a tenant.
func (w *world) plug(ctx context.Context, end string, tenant namespace, prefix string) error {
	if _, err := w.edge.ip(ctx, "link", "set", end, "netns", string(tenant)); err != nil {
		return err
	}
	return each(ctx, tenant, "link set "+end+" up", "address add "+prefix+" dev "+end)
}

// close stops the daemon and removes all of it. It does its work also when
// the context of the demo has ended.
func (w *world) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	var errs []error
	if w.daemon != nil {
		errs = append(errs, w.daemon.stop())
	}
	if w.listener != nil {
		errs = append(errs, w.listener.Close())
	}
	for _, s := range w.servers {
		errs = append(errs, s.kill())
	}
	errs = append(errs, w.pins.remove())
	for _, n := range w.namespaces() {
		if _, err := os.Stat(n.path()); err == nil {
			_, err = command(ctx, "ip", "netns", "delete", string(n))
			errs = append(errs, err)
		}
	}
	if strings.HasPrefix(filepath.Base(w.dir), "reconciler-demo-") {
		errs = append(errs, os.RemoveAll(w.dir))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("clean up: %w", err)
	}
	return nil
}
