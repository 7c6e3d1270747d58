package main

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// checkedVIPs has backends that are asked often, and VIPs that tell what
// becomes of packets when none is left.
const checkedVIPs = `version: 1
chains:
  c1: {xdp-ingress: {mode: generic, programs: [{builtin: lb}]}}
lb:
  ring-size: 4093
  max-vips: 64
  max-backends: 64
  max-rings: 16
  max-flows: 10000
  defaults: {encap: l2dsr, drain: 5m, slow-start: 3s}
healthchecks:
  web: {type: http, http: {path: /healthz, body: ok}, interval: 200ms, fast-interval: 100ms, down-interval: 200ms, timeout: 1s, rise: 2, fall: 2}
backends:
  b1: {addresses: [10.0.1.2, "fd00:0:0:1::2"], healthcheck: web}
  b2: {addresses: [10.0.2.2, "fd00:0:0:2::2"], healthcheck: web}
  b3: {addresses: [10.0.3.2, "fd00:0:0:3::2"], healthcheck: web}
pools:
  web: {backends: {b1: 100, b2: 100, b3: 100}}
vips:
  www:
    addresses: [192.0.2.80, "2001:db8:80::1"]
    ports: [tcp/80, tcp/7]
    pools: [web]
    no-backend: drop
    announce: {interface: lo, withdraw-after: 1s, return-after: 2s}
  passed: {address: 192.0.2.82, ports: [tcp/80], pools: [web], no-backend: pass, flush-on-down: true}
  refused: {address: 192.0.2.83, ports: [tcp/80], pools: [web], no-backend: reject}
`

// Of those checks, and how late a busy machine may be.
const (
	hearing    = 200*time.Millisecond + 100*time.Millisecond // until the second bad answer in a row
	silence    = 2 * time.Second                             // until two probes of which none was answered are over
	slack      = 6 * time.Second
	withdrawal = time.Second
	comeback   = 2 * time.Second
)

// lost takes a backend away and wants new connections to fail for no longer
// than checks need to see it, and none once the ring is without it.
func (w *vipWorld) lost(a *asking, need time.Duration, take func(), ring [3]int, left ...string) {
	w.Helper()
	begun := time.Now()
	take()
	w.become(ring[0], ring[1], ring[2])
	seen := time.Now()
	if took := seen.Sub(begun); took > need+slack {
		w.Errorf("it took %v to see that a backend is gone, and the checks need %v", took, need)
	}
	w.more(a, 40, seen, left...)
	failed := 0
	for _, one := range a.since(begun) {
		if one.err != nil {
			failed++
		}
	}
	w.Logf("       seen after %v, of %v that checks need; %d connections failed", seen.Sub(begun).Round(time.Millisecond), need, failed)
}

// rises waits until backend b2 has all of its weight again, and wants it to get
// there by and by.
func (w *vipWorld) rises() {
	w.Helper()
	var seen []int
	w.eventually("the whole weight of b2", func() bool {
		seen = append(seen, w.weights("www/ipv4")[1])
		return seen[len(seen)-1] == 100
	})
	between := 0
	for i, weight := range seen {
		if weight > 0 && weight < 100 {
			between++
		}
		if i > 0 && weight < seen[i-1] {
			w.Errorf("weight %d after %d in a slow start", weight, seen[i-1])
		}
	}
	if between == 0 {
		w.Errorf("weights %v: no slow start", seen)
	}
}

// announced waits until the VIP's addresses stand on the link, or do not, which
// must be as long after the VIP's change as the tree says.
func (w *vipWorld) announced(is bool, after time.Duration) {
	w.Helper()
	stands := func() bool {
		out := w.ns.IP("address", "show", "dev", "lo")
		four, six := strings.Contains(out, vip4+"/32"), strings.Contains(out, vip6+"/128")
		return is && four && six || !is && !four && !six
	}
	seen := false
	var changed time.Time
	w.eventually(fmt.Sprint("announced: ", is), func() bool {
		ok := stands()
		changed = time.Now()
		seen = seen || !ok
		return ok
	})
	took := changed.Sub(w.vip("www", "ipv4").Status.Since)
	if took < after || seen && took > after+slack {
		w.Errorf("announced is %v %v after the VIP's change, want %v", is, took, after)
	}
}

// TestVIPHealth has backends die, lose their link, hang and flap, and all of
// them go and return, under traffic.
func TestVIPHealth(t *testing.T) {
	t.Parallel()
	w := newVIPWorld(t, checkedVIPs)
	w.sysctl(w.ns, "net.ipv6.conf.all.keep_addr_on_down", "1")
	w.sysctl(w.ns, "net.ipv4.conf.all.accept_local", "1") // answers from announced addresses pass through here
	w.ns.IP("address", "add", "192.0.2.82/32", "dev", "lo")
	for _, b := range w.backends {
		w.batch(b.ns, "address add 192.0.2.82/32 dev lo\naddress add 192.0.2.83/32 dev lo\n")
	}
	w.start(w.program)
	w.become(100, 100, 100)
	w.announced(true, 0)
	hosts := []string{vip4, "[" + vip6 + "]"}
	l, a := w.talk(36, hosts...), w.ask(hosts...)
	all := []string{"b1", "b2", "b3"}
	w.more(a, 60, time.Now(), all...)

	w.step("the servers of b2 are killed")
	w.lost(a, hearing, w.backends[1].die, [3]int{100, 0, 100}, "b1", "b3")
	w.step("they are back")
	w.backends[1].serve()
	w.rises()
	w.step("the link of b3 is down")
	w.lost(a, silence+hearing, func() { w.ns.IP("link", "set", "l3", "down") }, [3]int{100, 100, 0}, "b1", "b2")
	w.step("and up")
	w.ns.IP("link", "set", "l3", "up")
	w.become(100, 100, 100)
	w.unbroken(l, "after a link was down and a backend dead", "b1", "b3")

	w.step("b1 says now this and now that, and then hangs")
	at := time.Now()
	for range 20 {
		w.backends[0].ill.Store(!w.backends[0].ill.Load())
		time.Sleep(100 * time.Millisecond)
	}
	w.backends[0].mum.Store(true)
	w.become(0, 100, 100)
	w.more(a, 40, time.Now(), "b2", "b3")
	w.backends[0].mum.Store(false)
	w.become(100, 100, 100)
	w.more(a, 40, at, all...)
	w.unbroken(l, "after b1 flapped and hung", "b1", "b3")

	w.step("none is left")
	a.stop()
	for _, b := range w.backends {
		b.ill.Store(true)
	}
	w.become(0, 0, 0)
	w.noBackend(true)
	w.announced(false, withdrawal)
	if state := w.vip("www", "ipv6").Status.State; state != "down" {
		t.Errorf("a VIP without a backend is %q", state)
	}
	asked := l.asked()
	w.eventually("two more questions on each connection that lives", func() bool { return l.asked() >= asked+2*18 })
	w.unbroken(l, "while no backend is well", "b1", "b3")

	w.step("all are back")
	for _, b := range w.backends {
		b.ill.Store(false)
	}
	w.become(100, 100, 100)
	w.announced(true, comeback)
	w.noBackend(false)
	w.more(w.ask(hosts...), 60, time.Now(), all...)
	l.stop()
	w.unbroken(l, "at the end", "b1", "b3")
	w.end(unix.SIGTERM)
}

// noBackend asks VIPs that say in different ways that nobody serves.
func (w *vipWorld) noBackend(none bool) {
	w.Helper()
	host := &http.Server{Handler: http.HandlerFunc(func(out http.ResponseWriter, _ *http.Request) { fmt.Fprint(out, "the host") })}
	defer host.Close()
	w.ns.Do(func() {
		l, err := net.Listen("tcp", "192.0.2.82:80")
		if err != nil {
			w.Fatal(err)
		}
		go func() { _ = host.Serve(l) }()
	})
	c := httpFrom(w.client, brief)
	_, dropped := fetch(c, vip4)
	who, passed := fetch(c, "192.0.2.82")
	_, refused := fetch(c, "192.0.2.83")
	var timeout net.Error
	switch {
	case !none && (dropped != nil || passed != nil || refused != nil || who == "the host"):
		w.Errorf("with backends: %v; %q, %v; %v", dropped, who, passed, refused)
	case none && (!errors.As(dropped, &timeout) || !timeout.Timeout()):
		w.Errorf("no-backend: drop: %v", dropped)
	case none && (who != "the host" || passed != nil):
		w.Errorf("no-backend: pass: %q, %v", who, passed)
	case none && !errors.Is(refused, syscall.ECONNREFUSED):
		w.Errorf("no-backend: reject: %v", refused)
	}
}
