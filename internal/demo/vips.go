package demo

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"regexp"
	"time"
)

// vipYAML is pushed beside the tree: a VIP over a web server of each tenant,
// whose answers go straight back to the client (DSR).
//
//go:embed vips.yaml
var vipYAML string

const vipFile = "vips.yaml"

func sceneVIP(ctx context.Context, s *stage, w *world) (string, time.Duration, error) {
	err := errors.Join(
		w.repo.edit(treeFile, "[p0, p1]", "[p0, p1, p2]"),
		w.repo.edit(treeFile, "routes:\n", "  p2: {kind: veth, veth: {peer: p2-peer}}\nroutes:\n"),
		w.repo.put(vipFile, vipYAML))
	if err != nil {
		return "", 0, err
	}
	took, err := w.change(ctx, s, "a third tenant, and a VIP over the web servers of all three")
	if err != nil {
		return "", 0, err
	}
	if err := w.openShops(ctx); err != nil {
		return "", 0, err
	}
	s.say("Each tenant starts a web server, with %s on its lo; the client is behind the router.", vipAddr)
	if _, err := w.daemon.seats(ctx, "three servers", func(_ string, s seat) bool { return s.Effective == 100 }); err != nil {
		return "", 0, err
	}
	c, err := w.clients()
	if err != nil {
		return "", 0, err
	}
	time.Sleep(w.pause())
	c.stop()
	if err := w.showVIPs(ctx, s); err != nil {
		return "", 0, err
	}
	t := c.take()
	s.say("%d requests, %d failed. On new connections answered web1 %d, web2 %d, web3 %d times.",
		t.requests(), t.failed, t.fresh["web1"], t.fresh["web2"], t.fresh["web3"])
	err = t.demand("web1", "web2", "web3")
	return fmt.Sprintf("%d requests over 3 servers, %d failed", t.requests(), t.failed), took, err
}

// openShops plugs the third tenant in, and starts a web server in each.
func (w *world) openShops(ctx context.Context) error {
	if err := w.plug(ctx, "p2-peer", w.third, thirdPrefix); err != nil {
		return err
	}
	for i, tenant := range []namespace{w.left, w.right, w.third} {
		if err := each(ctx, tenant, "address add "+vipAddr+"/32 dev lo", "route add default via 10.0.0.2"); err != nil {
			return err
		}
		s := &server{at: tenant, name: fmt.Sprintf("web%d", i+1)}
		if err := s.start(); err != nil {
			return err
		}
		w.servers = append(w.servers, s)
	}
	return each(ctx, w.router, "route add "+vipAddr+"/32 via 192.0.2.2")
}

// clients sends requests to the VIP, from behind the router.
func (w *world) clients() (*clients, error) {
	return ask(w.router, net.JoinHostPort(vipAddr, "80"))
}

func (w *world) showVIPs(ctx context.Context, s *stage) error {
	out, err := w.daemon.ask(ctx, "get", "vips", "--netns", string(w.edge), "--state-dir", w.daemon.state)
	if err != nil {
		return err
	}
	s.shell("reconciler get vips")
	s.show(out)
	return nil
}

// demand wants that none failed, and that new connections came to these servers
// and to no other.
func (t tally) demand(servers ...string) error {
	if t.failed > 0 {
		return fmt.Errorf("%d of %d requests failed: %w", t.failed, t.requests(), t.why)
	}
	seen := 0
	for _, name := range servers {
		if t.fresh[name] > 0 {
			seen++
		}
	}
	if seen != len(servers) || len(t.fresh) != seen {
		return fmt.Errorf("new connections came to %v, not to each of %v and to no other", t.fresh, servers)
	}
	return nil
}

// renewed tells that new connections were made and answered after the last take.
func renewed(t tally) bool {
	n := 0
	for _, k := range t.fresh {
		n += k
	}
	return n >= 2 // the first one may have begun before
}

var moving = regexp.MustCompile(`([0-9.]+ %) of flows move`)

func sceneDrain(ctx context.Context, s *stage, w *world) (string, time.Duration, error) {
	if err := w.repo.edit(vipFile, "{address: 10.0.0.11, ", "{enabled: false, address: 10.0.0.11, "); err != nil {
		return "", 0, err
	}
	plan, err := w.daemon.plan(ctx, w.repo.work)
	if err != nil {
		return "", 0, err
	}
	share := moving.FindStringSubmatch(plan)
	if share == nil {
		return "", 0, errors.New("the plan does not say which share of flows moves")
	}
	c, err := w.clients()
	if err != nil {
		return "", 0, err
	}
	s.say("Requests flow: one on a new connection each time, others on %d that are kept.", keptConnections)
	took, before, after, err := w.drain(ctx, s, c)
	c.stop()
	if err != nil {
		return "", 0, err
	}
	last := c.take() // while it was put back
	sent, failed := before.requests()+after.requests()+last.requests(), before.failed+after.failed+last.failed
	s.say("%d requests, %d failed.", sent, failed)
	return fmt.Sprintf("%d of %d requests failed, %s moved", failed, sent, share[1]), took, errors.Join(before.demandNone(), after.demand("web2", "web3"), last.demandNone())
}

func (t tally) demandNone() error {
	if t.failed > 0 {
		return fmt.Errorf("%d requests failed: %w", t.failed, t.why)
	}
	return nil
}

// drain pushes what drains web1, looks at what becomes of requests, and puts it
// back.
func (w *world) drain(ctx context.Context, s *stage, c *clients) (took time.Duration, before, after tally, err error) {
	if took, err = w.change(ctx, s, "web1 out of service"); err != nil {
		return took, before, after, err
	}
	if before, err = c.until(ctx, "requests after the push", renewed); err != nil {
		return took, before, after, err
	}
	time.Sleep(w.pause())
	if err = w.showVIPs(ctx, s); err != nil {
		return took, before, after, err
	}
	after = c.take()
	s.say("Since then web1 got %d new connections, and answered %d requests on those it had.", after.fresh["web1"], after.kept["web1"])
	if after.kept["web1"] == 0 {
		err = errors.New("web1 lost the connections that it had")
	}
	return took, before, after, errors.Join(err, w.backOut(ctx, s))
}

func sceneHealth(ctx context.Context, s *stage, w *world) (string, time.Duration, error) {
	c, err := w.clients()
	if err != nil {
		return "", 0, err
	}
	defer c.stop()
	time.Sleep(w.pause())
	calm := c.take()
	s.say("web2 is killed, with all its connections:")
	victim := w.servers[1]
	if err := victim.kill(); err != nil {
		return "", 0, err
	}
	gone, err := w.daemon.seats(ctx, "web2 down", func(name string, s seat) bool { return name != "web2" || s.State == "down" })
	if err != nil {
		return "", 0, err
	}
	died, err := c.until(ctx, "requests without web2", func(t tally) bool { return renewed(t) && t.requests() > 2*keptConnections })
	if err != nil {
		return "", 0, err
	}
	time.Sleep(w.pause())
	if err := w.showVIPs(ctx, s); err != nil {
		return "", 0, err
	}
	without := c.take()
	s.say("It had left %s later; until then %d requests failed, and of the %d since then %d.", short(gone), died.failed, without.requests(), without.failed)
	start := time.Now()
	if err := victim.start(); err != nil {
		return "", 0, err
	}
	_, err = c.until(ctx, "web2 to answer again", func(t tally) bool { return t.fresh["web2"] > 0 })
	if err != nil {
		return "", 0, err
	}
	back := time.Since(start)
	s.say("Started again it answered the first new connection after %s.", short(back))
	return fmt.Sprintf("left after %s, back after %s", short(gone), short(back)), gone, errors.Join(calm.demandNone(), without.demand("web1", "web3"))
}
