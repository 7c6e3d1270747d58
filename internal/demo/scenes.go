package demo

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// scene makes one claim. play returns what proves it and the time it took.
type scene struct {
	name, title, claim string
	play               func(context.Context, *stage, *world) (proof string, took time.Duration, err error)
}

// scenes lists them in order; each goes on where the one before left.
func scenes() []scene {
	return []scene{
		{"push", "A bridge with two ports, and routes, by git push", "what is pushed is live", scenePush},
		{"change", "MTU and address changed by git push", "only what differs is touched", sceneChange},
		{"drift", "Broken by hand, three times", "drift is repaired from its event", sceneDrift},
		{"foreign", "A routing daemon's route", "what is not ours survives everything", sceneForeign},
		{"cut off", "A push that cuts the host off", "it reverts itself, and is quarantined", sceneCutOff},
		{"empty", "A push that would delete everything", "deletions are held until approved", sceneEmpty},
		{"program", "Two BPF programs on a port, by git push", "each packet meets the chain", sceneProgram},
		{"limit", "A limit changed by git push", "a map changes, no program does", sceneLimit},
		{"replace", "A program replaced under traffic", "no packet lost, none seen twice", sceneReplace},
		{"detach", "A chain torn off by force", "it is back by itself", sceneDetach},
		{"vip", "A VIP over three web servers, by git push", "requests come to all servers", sceneVIP},
		{"drain", "A server drained by git push, under requests", "no request fails, no connection moves", sceneDrain},
		{"health", "A server killed, and started again", "it leaves and returns by itself", sceneHealth},
		{"kill -9", "kill -9 under traffic, and a restart", "no packet lost, nothing written", sceneKill},
		{"upgrade", "Reconciler upgraded by git push, well and badly", "no request fails, a bad one is left", sceneUpgrade},
	}
}

// What the scenes ask the kernel for.

func oldAddress() condition  { return address("10.0.0.1/24", "br0") }
func newAddress() condition  { return address("10.0.0.2/24", "br0") }
func portsUp() condition     { return all(up("p0"), up("p1")) }
func tenantRoute() condition { return via("203.0.113.0/24", "10.0.0.254", "br0") }
func halfRoute() condition   { return via("203.0.113.0/25", "10.0.0.254", "br0") }
func goodGateway() condition { return via("0.0.0.0/0", "192.0.2.1", "uplink") }
func badGateway() condition  { return via("0.0.0.0/0", "192.0.2.11", "uplink") }
func birdRoute() condition   { return via(foreignRoute, "192.0.2.1", "uplink") }

func via(to, gateway, link string) condition {
	return route(netip.MustParsePrefix(to), netip.MustParseAddr(gateway), link)
}

const foreignRoute = "203.0.113.128/26" // made by hand, as bird would

func scenePush(ctx context.Context, s *stage, w *world) (string, time.Duration, error) {
	if err := w.repo.write(tree); err != nil {
		return "", 0, err
	}
	commit, err := w.preview(ctx, s, "bridge for two tenants")
	if err != nil {
		return "", 0, err
	}
	if err := w.daemon.start(w.repo.bare); err != nil {
		return "", 0, err
	}
	took, err := w.daemon.live(ctx, commit)
	if err != nil {
		return "", 0, err
	}
	s.say("Live %s after the daemon was started on it. The kernel:", short(took))
	if err := w.kernel(ctx, s, "-br address", "-br link show master br0", "route"); err != nil {
		return "", 0, err
	}
	err = errors.Join(w.plug(ctx, "p0-peer", w.left, leftPrefix), w.plug(ctx, "p1-peer", w.right, rightPrefix))
	if err != nil {
		return "", 0, err
	}
	s.say("The other ends of the ports go to the tenants' namespaces, as a container's would.")
	err = w.edge.demand(oldAddress(), goodGateway(), tenantRoute(), portsUp())
	return "br0, p0, p1, 2 routes in the kernel", took, err
}

func sceneChange(ctx context.Context, s *stage, w *world) (string, time.Duration, error) {
	err := errors.Join(
		w.repo.edit(treeFile, "    kind: bridge\n", "    kind: bridge\n    mtu: 1400\n"),
		w.repo.edit(treeFile, "[10.0.0.1/24]", "[10.0.0.2/24]"))
	if err != nil {
		return "", 0, err
	}
	commit, err := w.preview(ctx, s, "smaller frames, and the address of the new plan")
	if err != nil {
		return "", 0, err
	}
	took, err := w.daemon.live(ctx, commit)
	if err != nil {
		return "", 0, err
	}
	s.say("Live %s after the push. The kernel:", short(took))
	if err := w.kernel(ctx, s, "-br -4 address show br0", "link show br0"); err != nil {
		return "", 0, err
	}
	err = w.edge.demand(mtu("br0", 1400), newAddress(), without(oldAddress()), tenantRoute())
	return "mtu 1400, 10.0.0.2 in, 10.0.0.1 out", took, err
}

func sceneDrift(ctx context.Context, s *stage, w *world) (string, time.Duration, error) {
	var slowest time.Duration
	for _, b := range []struct {
		by   string
		lost string
		back condition
	}{
		{"address delete 10.0.0.2/24 dev br0", "the address", newAddress()},
		{"link set br0 down", "the link, and the route with it", all(up("br0"), tenantRoute())},
		{"route delete 203.0.113.0/24", "the route", tenantRoute()},
	} {
		took, err := w.sabotage(ctx, b.by, b.back)
		if err != nil {
			return "", 0, err
		}
		s.shell(fmt.Sprintf("ip -n %s %s", w.edge, b.by))
		s.say("    %s: back after %s", b.lost, short(took))
		slowest = max(slowest, took)
	}
	if err := w.kernel(ctx, s, "-br -4 address show br0", "route show dev br0"); err != nil {
		return "", 0, err
	}
	return "address, link and route are back", slowest, nil
}

// sabotage changes something by hand and returns how long it stayed so. The
// clock starts before ip does, so its own start counts.
func (w *world) sabotage(ctx context.Context, by string, back condition) (time.Duration, error) {
	m, err := newMonitor(w.edge)
	if err != nil {
		return 0, err
	}
	start := time.Now()
	if err := each(ctx, w.edge, by); err != nil {
		_, _ = m.count()
		return 0, err
	}
	_, err = w.edge.await(ctx, back)
	took := time.Since(start)
	// Undone before anybody could look is seen by what the kernel told.
	heard, countErr := m.count()
	if err == nil && countErr == nil && heard < 2 {
		err = fmt.Errorf("ip %s: the kernel told of %d changes, not of the harm and its repair", by, heard)
	}
	return took, errors.Join(err, countErr)
}

func sceneForeign(ctx context.Context, s *stage, w *world) (string, time.Duration, error) {
	s.shell(fmt.Sprintf("ip -n %s route add %s via 192.0.2.1 proto bird", w.edge, foreignRoute))
	if err := each(ctx, w.edge, "route add "+foreignRoute+" via 192.0.2.1 proto bird"); err != nil {
		return "", 0, err
	}
	if err := w.repo.edit(treeFile, "203.0.113.0/24, via: 10.0.0.254", "203.0.113.0/25, via: 10.0.0.254"); err != nil {
		return "", 0, err
	}
	commit, err := w.preview(ctx, s, "half of the prefix moves")
	if err != nil {
		return "", 0, err
	}
	took, err := w.daemon.live(ctx, commit)
	if err != nil {
		return "", 0, err
	}
	s.say("Our route was exchanged, bird's is where it was. Every scene from here on looks for it again.")
	if err := w.kernel(ctx, s, "route"); err != nil {
		return "", 0, err
	}
	return "the route of bird stayed", took, w.edge.demand(birdRoute(), halfRoute(), without(tenantRoute()))
}

func sceneCutOff(ctx context.Context, s *stage, w *world) (string, time.Duration, error) {
	if err := w.repo.edit(treeFile, "via: 192.0.2.1,", "via: 192.0.2.11,"); err != nil {
		return "", 0, err
	}
	commit, err := w.preview(ctx, s, "move to the new router (a typo)")
	if err != nil {
		return "", 0, err
	}
	cut, err := w.edge.await(ctx, badGateway())
	if err != nil {
		return "", 0, err
	}
	s.say("Applied %s after the push. %s is out of reach, and so are you.", short(cut), serverAddr)
	took, err := w.edge.await(ctx, goodGateway())
	if err != nil {
		return "", 0, err
	}
	s.say("The former gateway was back %s later; the agent's timeout is %s.", short(took), confirmTimeout)
	r, _, err := w.daemon.until(ctx, "quarantine", func(r report) bool { _, ok := r.raised("Quarantined"); return ok })
	if err != nil {
		return "", 0, err
	}
	message, _ := r.raised("Quarantined")
	s.say("status: Quarantined")
	s.show(message)
	if r.Applied.Revision == commit {
		return "", 0, errors.New("status still calls the commit applied")
	}
	if err := w.kernel(ctx, s, "route show default"); err != nil {
		return "", 0, err
	}
	if err := w.backOut(ctx, s); err != nil {
		return "", 0, err
	}
	return "gateway back, commit in quarantine", took, w.edge.demand(birdRoute())
}

// backOut reverts the last commit, and waits for that to be live.
func (w *world) backOut(ctx context.Context, s *stage) error {
	s.shell("git revert HEAD && git push")
	commit, err := w.repo.undo(ctx)
	if err != nil {
		return err
	}
	took, err := w.daemon.live(ctx, commit)
	if err == nil {
		s.say("    in sync again after %s", short(took))
	}
	return err
}

func sceneEmpty(ctx context.Context, s *stage, w *world) (string, time.Duration, error) {
	if err := w.repo.write("version: 1\n"); err != nil {
		return "", 0, err
	}
	commit, err := w.preview(ctx, s, "clean up (all of it)")
	if err != nil {
		return "", 0, err
	}
	r, took, err := w.daemon.until(ctx, "the condition Held", func(r report) bool { _, ok := r.raised("Held"); return ok })
	if err != nil {
		return "", 0, err
	}
	message, _ := r.raised("Held")
	s.say("status, %s after the push: Held", short(took))
	s.show(message)
	s.say("`reconciler approve %.7s` would let it go. Nothing was deleted:", commit)
	if err := w.kernel(ctx, s, "-br -4 address", "route"); err != nil {
		return "", 0, err
	}
	if err := w.edge.demand(newAddress(), halfRoute(), goodGateway(), portsUp()); err != nil {
		return "", 0, err
	}
	if err := w.backOut(ctx, s); err != nil {
		return "", 0, err
	}
	return "condition Held, all of it still there", took, w.edge.demand(birdRoute())
}

func sceneKill(ctx context.Context, s *stage, w *world) (string, time.Duration, error) {
	t, err := newTraffic(w.left, w.right)
	if err != nil {
		return "", 0, err
	}
	if err := t.ready(ctx); err != nil {
		_, _, _ = t.stop()
		return "", 0, err
	}
	c, err := w.clients()
	if err != nil {
		_, _, _ = t.stop()
		return "", 0, err
	}
	s.say("Numbered packets flow from left to right across br0, one every %s or so, and requests through the VIP.", packetEvery)
	t.start()
	changes, took, err := w.killAndRestart(ctx, s)
	time.Sleep(w.pause())
	sent, lost, trafficErr := t.stop()
	c.stop()
	asked := c.take()
	if err := errors.Join(err, trafficErr, asked.demandNone()); err != nil {
		return "", 0, err
	}
	s.say("%d requests, %d failed.", asked.requests(), asked.failed)
	s.say("%d packets sent, %d lost; %d changes of links, addresses, routes or rules since the kill.", sent, lost, changes)
	switch {
	case lost != 0:
		err = fmt.Errorf("%d of %d packets were lost", lost, sent)
	case changes != 0:
		err = fmt.Errorf("the restart changed %d things", changes)
	default:
		err = w.edge.demand(birdRoute())
	}
	return fmt.Sprintf("0 of %d packets lost, 0 changes", sent), took, err
}

// killAndRestart returns how many changes of the kernel were heard from before
// the kill until the new daemon had looked at all of it.
func (w *world) killAndRestart(ctx context.Context, s *stage) (changes int, took time.Duration, err error) {
	time.Sleep(w.pause())
	m, err := newMonitor(w.edge)
	if err != nil {
		return 0, 0, err
	}
	s.shell(fmt.Sprintf("kill -9 %d", w.daemon.cmd.Process.Pid))
	if err := w.daemon.kill(); err != nil {
		return 0, 0, err
	}
	time.Sleep(w.pause())
	s.shell("reconciler run …")
	start := time.Now()
	if err := w.daemon.start(w.repo.bare); err != nil {
		return 0, 0, err
	}
	r, _, err := w.daemon.until(ctx, "sync after the restart", func(r report) bool { return r.InSync && r.Applied.Revision != "" })
	took = time.Since(start)
	if err != nil {
		return 0, took, err
	}
	time.Sleep(w.pause()) // what it would do late, it does now
	s.say("    in sync %s after its start, with %d operations", short(took), r.LastPass.Ops.total())
	changes, err = m.count()
	return changes, took, err
}

// pause is how long traffic flows between two events.
func (w *world) pause() time.Duration {
	if w.fast {
		return 200 * time.Millisecond
	}
	return time.Second
}

// preview shows the change, what `reconciler diff` says of it, and pushes it.
func (w *world) preview(ctx context.Context, s *stage, message string) (commit string, err error) {
	changes, err := w.repo.changes(ctx)
	if err != nil {
		return "", err
	}
	s.show(changes)
	s.shell("reconciler diff .")
	plan, err := w.daemon.plan(ctx, w.repo.work)
	if err != nil {
		return "", err
	}
	s.show(plan)
	s.shell(fmt.Sprintf("git commit -am %q && git push", message))
	return w.repo.push(ctx, message)
}

// kernel shows what ip says about the edge.
func (w *world) kernel(ctx context.Context, s *stage, commands ...string) error {
	for _, c := range commands {
		out, err := w.edge.ip(ctx, strings.Fields(c)...)
		if err != nil {
			return err
		}
		s.shell(fmt.Sprintf("ip -n %s %s", w.edge, c))
		s.show(out)
	}
	return nil
}
