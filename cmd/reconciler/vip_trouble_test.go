package main

import (
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// unchecked has backends that nobody asks, and room for few flows.
const unchecked = `version: 1
chains:
  c1: {xdp-ingress: {mode: generic, programs: [{builtin: lb}]}}
lb:
  ring-size: 4093
  max-vips: 64
  max-backends: 64
  max-rings: 16
  max-flows: 64
  defaults: {encap: l2dsr, drain: 5m, slow-start: 0s}
backends:
  b1: {enabled: true, addresses: [10.0.1.2, "fd00:0:0:1::2"]}
  b2: {addresses: [10.0.2.2, "fd00:0:0:2::2"]}
  b3: {addresses: [10.0.3.2, "fd00:0:0:3::2"]}
pools:
  web: {backends: {b1: 100, b2: 100, b3: 100}}
vips:
  www: {addresses: [192.0.2.80, "2001:db8:80::1"], ports: [tcp/80, tcp/7], pools: [web]}
`

// told wants `get backends` to say a word of a backend, and of no other one.
func (w *vipWorld) told(backend, word string) {
	w.Helper()
	w.eventually(backend+": "+word, func() bool {
		w.mustRun("", 0, "get", "backends")
		for line := range strings.Lines(string(w.last)) {
			if strings.Contains(line, word) && strings.Contains(line, backend) {
				return true
			}
		}
		return false
	})
}

// bounded wants the daemon to do little while something stays as wrong as it
// is: it runs for no more than a part of the time.
func (w *vipWorld) bounded(passes int) {
	w.Helper()
	begun := w.passes()
	time.Sleep(2 * time.Second)
	if n := w.passes() - begun; n > passes {
		w.Errorf("%d changes within 2s while nothing happened", n)
	}
}

// passes counts those that changed something, or could not.
func (w *vipWorld) passes() int {
	w.Helper()
	text := string(readFile(w.T, w.log.Name()))
	return strings.Count(text, `"msg":"pass"`)
}

// TestVIPTrouble makes the ways to backends fail in the middle of traffic: what
// is wrong is told, nothing is done over and over, and all is well when it is
// over. Nobody asks the backends, so none leaves the ring.
func TestVIPTrouble(t *testing.T) {
	t.Parallel()
	w := newVIPWorld(t, unchecked)
	w.start(w.program)
	w.become(100, 100, 100)
	hosts := []string{vip4, "[" + vip6 + "]"}
	l, a := w.talk(24, hosts...), w.ask(hosts...)
	all := []string{"b1", "b2", "b3"}
	w.more(a, 40, time.Now(), all...)

	w.step("a second daemon wants to run")
	if status := w.run("", "run", "--dir", w.tree); status != exitLease {
		t.Errorf("a second daemon ends with %d, want %d: %s", status, exitLease, w.last)
	}

	w.step("b2 answers no neighbour any more")
	w.batch(w.backends[1].ns, "link set e0 arp off\n")
	w.ns.IP("neigh", "flush", "dev", "l2")
	w.told("b2", "no way to it")
	w.bounded(20)
	w.batch(w.backends[1].ns, "link set e0 arp on\n")
	for _, address := range []string{"10.0.2.2:80", "[fd00:0:0:2::2]:80"} {
		if c, err := dialFrom(w.ns, unanswered, address); err == nil { // whoever speaks to it has the kernel ask again
			c.Close()
		}
	}

	w.step("the interface of b3 is gone")
	w.ns.IP("link", "delete", "l3")
	w.told("b3", "no way to it")
	w.bounded(20)
	w.step("and back")
	b3 := w.backends[2]
	w.batch(w.ns, "link add l3 type veth peer name e0 netns "+b3.ns.Name+"\n"+b3.nearEnd())
	w.batch(b3.ns, strings.NewReplacer("address add "+vip4+"/32 dev lo\n", "", "address add "+vip6+"/128 dev lo nodad\n", "").Replace(b3.farEnd()))
	w.eventually("ways to all backends", func() bool {
		w.mustRun("", 0, "get", "backends")
		return !strings.Contains(string(w.last), "no way to it")
	})
	w.more(a, 60, time.Now().Add(brief), all...)
	w.unbroken(l, "after ways were gone and back", all...)
	w.inSync()

	w.step("b1 drains, and more flows come than the table has room for")
	w.push("b1: {enabled: true,", "b1: {enabled: false,")
	w.become(0, 100, 100)
	var many []net.Conn
	for range 300 {
		c, err := dialFrom(w.client, unanswered, net.JoinHostPort(vip4, "7"))
		if err != nil {
			t.Fatalf("connection %d: %v", len(many), err)
		}
		defer c.Close()
		many = append(many, c)
	}
	asked := l.asked()
	w.eventually("two more questions on each connection", func() bool { return l.asked() >= asked+2*24 })
	w.more(a, 40, time.Now(), "b2", "b3")
	a.stop()
	l.stop()
	w.unbroken(l, "with a table of flows that is full", all...)
	w.end(unix.SIGTERM)
}
