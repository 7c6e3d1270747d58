package main

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// threeWays has a VIP of both families whose backends are reached in all ways:
// b1 by L2DSR, b2 by tunnels of its family, and b3, which has no IPv4 address,
// by tunnels over IPv6.
const threeWays = `version: 1
chains:
  c1: {xdp-ingress: {mode: generic, programs: [{builtin: lb}]}}
lb:
  max-vips: 64
  max-backends: 64
  max-rings: 16
  max-flows: 10000
  source-address: {ipv4: 10.200.0.0/16, ipv6: "fd00:200::/64"}
  defaults: {encap: ipip, drain: 5m, slow-start: 0s}
healthchecks:
  web: {type: http, http: {path: /healthz, body: ok}, interval: 300ms, timeout: 2s, rise: 1, fall: 5}
backends:
  b1: {enabled: true, addresses: [10.0.1.2, "fd00:0:0:1::2"], healthcheck: web, encap: l2dsr, labels: {rack: r1}}
  b2: {addresses: [10.0.2.2, "fd00:0:0:2::2"], healthcheck: web, labels: {rack: r2}}
  b3: {address: "fd00:0:0:3::2", healthcheck: web, labels: {rack: r3}}
pools:
  web: {backends: {b1: 100, b2: 100, b3: 100}}
vips:
  www: {addresses: [192.0.2.80, "2001:db8:80::1"], ports: [tcp/80, tcp/7], pools: [web]}
`

// TestVIPTraffic takes backends out and back in each way that there is, changes
// weights, kills the daemon, stops it and starts another build, under traffic of
// both families and through each encapsulation: no connection that lives is
// broken, none that is new fails, and none goes where it should not.
func TestVIPTraffic(t *testing.T) {
	t.Parallel()
	other := make(chan string, 1)
	go func() { defer close(other); other <- buildProgram(t) }()
	w := newVIPWorld(t, threeWays)
	w.backends[1].decapsulate()
	w.backends[2].decapsulate()
	w.start(w.program)
	w.become(100, 100, 100)
	hosts := []string{vip4, "[" + vip6 + "]"}
	l, a := w.talk(48, hosts...), w.ask(hosts...)
	began := time.Now()
	all := []string{"b1", "b2", "b3"}
	w.more(a, 100, began, all...)

	w.step("a push disables b1")
	w.push("b1: {enabled: true,", "b1: {enabled: false,")
	w.become(0, 100, 100)
	w.more(a, 40, time.Now(), "b2", "b3")
	w.step("a push has the rack of b2 drain as well")
	w.push("backends:\n  b1", "drains: {chg: {select: {rack: r2}, reason: PDU swap}}\nbackends:\n  b1")
	w.become(0, 0, 100)
	w.more(a, 40, time.Now(), "b3")
	w.unbroken(l, "while b1 and b2 drain", all...)

	w.step("the daemon is killed in the middle of it")
	w.inSync() // what is not confirmed the next start would undo
	w.end(unix.SIGKILL)
	before, noted := w.memory(), time.Now()
	w.more(a, 20, time.Now(), "b3")
	w.start(w.program)
	w.mustRun("", 0, "sync")
	w.inSync()
	if after := w.memory(); after != before {
		t.Errorf("the maps sum up to\n%s\nand to\n%s\nbefore the daemon was killed", after, before)
	}
	w.more(a, 20, noted, "b3")

	w.step("both come back")
	w.push("drains: {chg: {select: {rack: r2}, reason: PDU swap}}\n", "", "b1: {enabled: false,", "b1: {enabled: true,")
	w.become(100, 100, 100)
	w.more(a, 60, time.Now(), all...)

	w.step("a person drains a rack")
	w.mustRun("", 0, "drain", "-l", "rack=r3", "--for", "1h", "--reason", "by hand")
	w.become(100, 100, 0)
	w.more(a, 40, time.Now(), "b1", "b2")
	w.step("the daemon is stopped, and another build of it goes on")
	w.end(unix.SIGTERM)
	before = w.memory()
	w.more(a, 20, time.Now(), "b1", "b2")
	w.start(<-other)
	if after := w.memory(); after != before {
		t.Errorf("the maps sum up to\n%s\nand to\n%s\nbefore the upgrade", after, before)
	}
	w.more(a, 20, time.Now(), "b1", "b2")
	w.mustRun("", 0, "undrain", "-l", "rack=r3")
	w.become(100, 100, 100)

	w.step("weights change, in the tree and by hand")
	w.push("b1: 100, b2: 100, b3: 100", "b1: 20, b2: 100, b3: 100")
	w.mustRun("", 0, "backend", "weight", "b3", "20", "--for", "1h")
	w.become(20, 100, 20)
	at := time.Now()
	byServer := map[string]int{}
	for _, one := range w.more(a, 200, at, all...) {
		byServer[one.server]++
	}
	if byServer["b2"] < 2*max(byServer["b1"], byServer["b3"]) {
		t.Errorf("new connections with weights 20, 100 and 20: %v", byServer)
	}
	w.mustRun("", 0, "backend", "pause", "b2", "--for", "1h")
	w.become(20, 0, 20)
	w.more(a, 40, time.Now(), "b1", "b3")

	asked := l.asked()
	w.eventually("two more questions on each connection", func() bool { return l.asked() >= asked+2*48 })
	a.stop()
	l.stop()
	w.unbroken(l, "at the end", all...)
	w.more(a, 400, began, all...)
	t.Logf("%d new connections and %d questions on 48 old ones within %s", len(a.since(began)), l.asked(), time.Since(began).Round(time.Second))
}
