package engine

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"reconciler/internal/diff"
	"reconciler/internal/driver"
	"reconciler/internal/driver/netlink"
	"reconciler/internal/source"
	"reconciler/internal/state"
	"reconciler/internal/testns"
)

// kernel is an engine on a network namespace of its own: the real line, from
// YAML to the kernel and back.
type kernel struct {
	*testns.NS
	t        *testing.T
	dir      string
	settings Settings
	source   source.Source // a feed by hand where nil
	before   func(diff.Op) // each operation, if set
	registry *prometheus.Registry
	engine   *Engine
	stop     func()
}

const patience = 5 * time.Second

func newKernel(t *testing.T) *kernel {
	k := &kernel{NS: testns.New(t), t: t, dir: t.TempDir()}
	k.settings = Settings{Guard: diff.DefaultGuard(), Resync: time.Second}
	k.IP("link", "add", "up0", "type", "veth", "peer", "name", "far0")
	k.IP("link", "set", "up0", "up")
	k.IP("link", "set", "far0", "up")
	t.Cleanup(func() {
		if k.stop != nil {
			k.end()
		}
	})
	return k
}

func (k *kernel) start() {
	k.t.Helper()
	dir, err := state.Open(k.dir)
	if err != nil {
		k.t.Fatal(err)
	}
	store, err := source.OpenStore(filepath.Join(k.dir, "snapshots"))
	if err != nil {
		k.t.Fatal(err)
	}
	drv, err := netlink.Open(netlink.Config{Netns: k.Path(), State: k.dir})
	if err != nil {
		k.t.Fatal(err)
	}
	if k.source == nil {
		k.source = newFeed()
	}
	k.registry = prometheus.NewRegistry()
	k.engine, err = New(Config{
		Source: k.source, Snapshots: store, Records: dir, Drivers: []driver.Driver{interrupted{drv, k.before}}, Settings: k.settings,
		Host: "edge1", Registry: k.registry, Enter: k.Do,
	})
	if err != nil {
		k.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- k.engine.Run(ctx) }()
	k.stop = func() {
		cancel()
		if err := errors.Join(<-done, drv.Close()); err != nil {
			k.t.Errorf("run: %v", err)
		}
	}
}

func (k *kernel) end() {
	k.stop()
	k.stop = nil
}

// push applies YAML and returns the pass, which has its verdict.
func (k *kernel) push(revision, yaml string) Pass {
	k.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	p, err := k.engine.Apply(ctx, source.Tree{Revision: revision, Files: map[string][]byte{"net.yaml": []byte("version: 1\n" + yaml)}})
	if err != nil {
		k.t.Fatalf("apply %s: %v", revision, err)
	}
	return p
}

func (k *kernel) sync() Pass {
	k.t.Helper()
	p, err := k.engine.Sync(context.Background())
	if err != nil {
		k.t.Fatal(err)
	}
	return p
}

// eventually waits for what must become true.
func (k *kernel) eventually(what string, ok func() bool) {
	k.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if ok() {
			return
		}
	}
	k.t.Fatalf("%s: not within %s; status %+v", what, patience, k.engine.Status())
}

func (k *kernel) shows(text string, args ...string) bool {
	return strings.Contains(k.IP(args...), text)
}

func (k *kernel) inSync(revision string) {
	k.t.Helper()
	k.eventually("in sync at "+revision, func() bool {
		s := k.engine.Status()
		return s.InSync && s.Applied.Revision == revision
	})
}

// shape is what is configured, without what comes and goes by itself.
func (k *kernel) shape() string {
	var links []struct {
		Name  string `json:"ifname"`
		MTU   int    `json:"mtu"`
		Index int    `json:"ifindex"`
		Addrs []struct {
			Local string `json:"local"`
			Bits  int    `json:"prefixlen"`
			Scope string `json:"scope"`
		} `json:"addr_info"`
	}
	k.JSON([]string{"addr"}, &links)
	out := k.IP("route")
	for _, l := range links {
		out += fmt.Sprintf("%+v\n", l)
	}
	return out
}

func (k *kernel) events(of EventType) []Event {
	events, _ := k.engine.ring.after(0)
	var out []Event
	for _, e := range events {
		if e.Type == of {
			out = append(out, e)
		}
	}
	return out
}

const edge = `
interfaces:
  up0: {mtu: 1400, state: up, addresses: [192.0.2.1/24, "2001:db8::1/64"], exact: [addresses]}
  br0: {kind: bridge, bridge: {ports: [p0]}, addresses: [198.51.100.1/24]}
  p0: {kind: veth, veth: {peer: p1}}
routes:
  - {to: 203.0.113.0/24, via: 192.0.2.254}
`

func TestKernelRepairsDrift(t *testing.T) {
	k := newKernel(t)
	k.settings.Resync = time.Minute // what is repaired is repaired by its event
	k.start()
	k.push("rev-edge", edge)
	k.inSync("rev-edge")
	for _, c := range []struct {
		name    string
		harm    []string
		broken  string // shown while it is harmed, or
		healthy string // shown when it is well
		look    []string
	}{
		{"an address goes", []string{"addr", "del", "192.0.2.1/24", "dev", "up0"}, "", "192.0.2.1/24", []string{"addr", "show", "dev", "up0"}},
		{"its route comes back too", []string{"route", "del", "203.0.113.0/24"}, "", "203.0.113.0/24 via 192.0.2.254", []string{"route"}},
		{"a link goes down", []string{"link", "set", "up0", "down"}, "", "UP,LOWER_UP", []string{"link", "show", "dev", "up0"}},
		{"and gets its IPv6 back", []string{"link", "set", "up0", "down"}, "", "2001:db8::1/64", []string{"addr", "show", "dev", "up0"}},
		{"an mtu changes", []string{"link", "set", "up0", "mtu", "1300"}, "", "mtu 1400", []string{"link", "show", "dev", "up0"}},
		{"a port leaves", []string{"link", "set", "p0", "nomaster"}, "", "master br0", []string{"link", "show", "dev", "p0"}},
		{"an address on an exact list", []string{"addr", "add", "192.0.2.66/24", "dev", "up0"}, "192.0.2.66", "192.0.2.1/24", []string{"addr", "show", "dev", "up0"}},
		{"a whole link", []string{"link", "del", "br0"}, "", "198.51.100.1/24", []string{"addr"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := len(k.events(EventDrift))
			k.IP(c.harm...)
			k.eventually("repaired", func() bool {
				out, err := k.TryIP(c.look...)
				return err == nil && strings.Contains(out, c.healthy) && (c.broken == "" || !strings.Contains(out, c.broken))
			})
			k.eventually("told", func() bool { return len(k.events(EventDrift)) > before })
			k.inSync("rev-edge")
			drift := k.events(EventDrift)
			if !strings.Contains(drift[before].Message, "noticed by event") {
				t.Errorf("told as %q, want it noticed by its event", drift[before].Message)
			}
		})
	}
}

func TestKernelResyncRepairsWhatWasNotHeard(t *testing.T) {
	k := newKernel(t)
	k.start()
	k.push("rev-edge", edge)
	k.inSync("rev-edge")
	// Sysctls raise no event.
	k.push("rev-sysctl", edge+"sysctl: {net.ipv4.ip_default_ttl: 63}\n")
	k.inSync("rev-sysctl")
	ttl := "/proc/sys/net/ipv4/ip_default_ttl"
	k.Do(func() {
		if err := os.WriteFile(ttl, []byte("64\n"), 0o644); err != nil {
			t.Error(err)
		}
	})
	k.eventually("the ttl is 63 again", func() bool {
		var got []byte
		k.Do(func() { got, _ = os.ReadFile(ttl) })
		return strings.TrimSpace(string(got)) == "63"
	})
	k.eventually("told", func() bool { return len(k.events(EventDrift)) == 1 })
}

func TestKernelForeignIsUntouched(t *testing.T) {
	k := newKernel(t)
	k.IP("addr", "add", "10.9.9.1/24", "dev", "far0")
	k.IP("route", "add", "10.10.0.0/16", "via", "10.9.9.2", "proto", "bird")
	k.IP("rule", "add", "priority", "500", "from", "10.0.0.0/8", "table", "77")
	k.start()
	k.push("rev-edge", edge)
	k.push("rev-less", "interfaces: {up0: {addresses: [192.0.2.1/24]}, br0: {kind: bridge}}\n")
	k.IP("link", "set", "br0", "down") // a repair in between
	k.eventually("br0 is up again", func() bool { return k.shows(",UP", "link", "show", "dev", "br0") })
	k.sync()
	for text, look := range map[string][]string{
		"10.9.9.1/24":                    {"addr"},
		"10.10.0.0/16 via 10.9.9.2":      {"route"},
		"500:	from 10.0.0.0/8 lookup 77": {"rule"},
	} {
		if !k.shows(text, look...) {
			t.Errorf("%q is gone from ip %s:\n%s", text, look[0], k.IP(look...))
		}
	}
	if k.shows(" p0@", "link") {
		t.Error("p0 is still there, and nobody declares it")
	}
}

func TestKernelRestartAdopts(t *testing.T) {
	k := newKernel(t)
	k.start()
	k.push("rev-edge", edge)
	k.inSync("rev-edge")
	before := k.shape()
	k.end()
	if got := k.shape(); got != before {
		t.Errorf("the stop changed something:\n%s\nwas\n%s", got, before)
	}
	k.start()
	k.inSync("rev-edge")
	if p := k.engine.Status().LastPass; p.Ops.Total() != 0 {
		t.Errorf("the start changed something: %+v", p)
	}
	if got := k.shape(); got != before {
		t.Errorf("the start changed something:\n%s\nwas\n%s", got, before)
	}
	if len(k.engine.History()) != 1 {
		t.Errorf("history %+v, want the first apply", k.engine.History())
	}
}

// uplink is a host whose way out leads to a gateway in another namespace.
func uplink(t *testing.T) (*kernel, *testns.NS) {
	k := newKernel(t)
	gw := testns.New(t)
	k.IP("link", "set", "far0", "netns", gw.Name)
	gw.IP("addr", "add", "192.0.2.254/24", "dev", "far0")
	gw.IP("link", "set", "far0", "up")
	k.settings.Confirm = Confirm{
		Timeout: 3 * time.Second,
		Probes:  []Probe{GatewayProbe(), TCPProbe(netip.MustParseAddrPort("192.0.2.254:1"))},
	}
	return k, gw
}

const (
	goodUplink = "interfaces: {up0: {state: up, addresses: [192.0.2.1/24]}}\nroutes: [{to: default, via: 192.0.2.254}]\n"
	cutUplink  = "interfaces: {up0: {state: up, addresses: [203.0.113.1/24]}}\nroutes: [{to: default, via: 203.0.113.254}]\n"
)

func TestKernelRevertsWhatCutsTheUplink(t *testing.T) {
	k, _ := uplink(t)
	k.start()
	if p := k.push("rev-good", goodUplink); p.Outcome != OutcomeApplied {
		t.Fatalf("good push: %+v", p)
	}
	k.inSync("rev-good")
	before := k.shape()
	p := k.push("rev-cut", cutUplink)
	if p.Outcome != OutcomeReverted || !strings.Contains(p.Error, "default-gateway") {
		t.Fatalf("push that cuts the uplink: %+v, want it reverted for default-gateway", p)
	}
	k.eventually("the former state is back", func() bool {
		return k.shape() == before
	})
	s := k.engine.Status()
	if !s.Condition(CondQuarantined).Raised || s.Wanted.Revision != "rev-good" {
		t.Errorf("wanted %s, conditions %+v", s.Wanted.Revision, s.Conditions)
	}
	if h := k.engine.History(); !strings.HasPrefix(h[0].Confirmed, "reverted") && !strings.HasPrefix(h[1].Confirmed, "reverted") {
		t.Errorf("history %+v does not tell of the reversal", h)
	}
}

func TestKernelStopLeavesTheVerdict(t *testing.T) {
	k, _ := uplink(t)
	k.start()
	k.push("rev-good", goodUplink)
	k.inSync("rev-good")
	before := k.shape()
	go func() {
		_, _ = k.engine.Apply(context.Background(), source.Tree{Revision: "rev-cut", Files: map[string][]byte{"net.yaml": []byte("version: 1\n" + cutUplink)}})
	}()
	k.eventually("cut", func() bool { return k.engine.Status().Pending != nil })
	k.end() // with no verdict: the next start waits for it, and the deadline stays
	if !k.shows("203.0.113.1/24", "addr") {
		t.Fatal("the stop changed something")
	}
	k.start()
	k.eventually("the former state is back", func() bool {
		return k.shape() == before
	})
	k.eventually("quarantine", func() bool { return k.engine.Status().Condition(CondQuarantined).Raised })
}

func TestKernelProtectsTheWayToTheSource(t *testing.T) {
	k := newKernel(t)
	k.settings.Protect = Protection{Auto: []Auto{AutoSource}, Source: "192.0.2.9:443"}
	k.settings.Guard.AllowEmpty = true
	k.start()
	k.push("rev-one", "interfaces: {up0: {addresses: [192.0.2.1/24]}, br0: {kind: bridge, addresses: [198.51.100.1/24]}}\n")
	k.inSync("rev-one")
	k.engine.loop.Enter(func() {
		if got := sourceAddr(context.Background(), "192.0.2.9:443"); len(got) != 1 || got[0] != netip.MustParseAddr("192.0.2.1") {
			t.Errorf("the way to the source starts at %v, want 192.0.2.1", got)
		}
	})
	k.push("rev-none", "interfaces: {up0: {mtu: 1400}}\n")
	if !k.shows("192.0.2.1/24", "addr") {
		t.Error("the address towards the source is gone")
	}
	if k.shows("br0", "link") {
		t.Error("br0 is still there: only up0 is protected")
	}
	if !k.engine.Status().Condition(CondProtected).Raised {
		t.Error("nothing says that a deletion is held")
	}
}

func TestKernelFollowsADirectory(t *testing.T) {
	k := newKernel(t)
	tree := t.TempDir()
	write := func(content string) {
		if err := os.WriteFile(filepath.Join(tree, "net.yaml"), []byte("version: 1\n"+content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("interfaces: {up0: {addresses: [192.0.2.1/24]}}\n")
	k.source = source.NewDir(tree, source.DirOptions{})
	k.start()
	k.eventually("first tree", func() bool { return k.shows("192.0.2.1/24", "addr") })
	write("interfaces: {up0: {addresses: [192.0.2.2/24]}}\n")
	k.eventually("second tree", func() bool { return k.shows("192.0.2.2/24", "addr") && !k.shows("192.0.2.1/24", "addr") })
	write("interfaces: {up0: {addresses: [192.0.2.2/24\n")
	k.eventually("fault", func() bool { return k.engine.Status().Condition(CondInvalid).Raised })
	if !k.shows("192.0.2.2/24", "addr") {
		t.Error("a half-written file took the address")
	}
}

func TestKernelUnreachableGateway(t *testing.T) {
	k := newKernel(t)
	k.start()
	p := k.push("rev-gw", "interfaces: {up0: {addresses: [192.0.2.1/24]}}\nroutes: [{to: 203.0.113.0/24, via: 198.18.0.1}]\n")
	if p.Outcome != OutcomeFailed || !strings.Contains(p.Error, "203.0.113.0/24") {
		t.Errorf("pass %+v, want a failure that names the route", p)
	}
	if !k.shows("192.0.2.1/24", "addr") {
		t.Error("what is independent was not done")
	}
	k.IP("addr", "add", "198.18.0.2/24", "dev", "far0")
	k.inSync("rev-gw")
}

func TestKernelLinkThatComesLater(t *testing.T) {
	k := newKernel(t)
	k.settings.Resync = time.Minute
	k.start()
	k.push("rev-late", "interfaces: {late0: {mtu: 1400, addresses: [192.0.2.1/24]}}\n")
	if !k.engine.Status().Condition(CondAbsent).Raised {
		t.Fatal("nothing says that late0 is absent")
	}
	k.IP("link", "add", "late0", "type", "veth", "peer", "name", "late1")
	k.inSync("rev-late")
	if drift := k.events(EventDrift); len(drift) != 0 {
		t.Errorf("what came late is called drift: %+v", drift)
	}
}

// TestKernelGatewayThatAnswersNoEcho holds that being on the link is enough for
// such a gateway, that a cut link is noticed all the same, and that one which
// answered echoes before has to go on.
func TestKernelGatewayThatAnswersNoEcho(t *testing.T) {
	for name, tt := range map[string]struct{ ours, theirs, gateway, ignore string }{
		"IPv4":            {"192.0.2.1/24", "192.0.2.254/24", "192.0.2.254", "/proc/sys/net/ipv4/icmp_echo_ignore_all"},
		"IPv6":            {"2001:db8::1/64", "2001:db8::fe/64", "2001:db8::fe", "/proc/sys/net/ipv6/icmp/echo_ignore_all"},
		"IPv6 link-local": {"fe80::1/64", "fe80::fe/64", "fe80::fe", "/proc/sys/net/ipv6/icmp/echo_ignore_all"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k, gw := uplink(t)
			args := func(s string) []string { return strings.Fields(s) }
			k.TryIP(args("addr add " + tt.ours + " dev up0 nodad")...)
			gw.TryIP(args("addr add " + tt.theirs + " dev far0 nodad")...)
			k.IP("route", "add", "default", "via", tt.gateway, "dev", "up0")
			ignore := func(value string) {
				gw.Do(func() {
					if err := os.WriteFile(tt.ignore, []byte(value), 0o644); err != nil {
						t.Fatal(err)
					}
				})
			}
			probe := GatewayProbe().(*gatewayProbe)
			run := func() (err error) {
				ctx, cancel := context.WithTimeout(t.Context(), probePatience)
				defer cancel()
				k.Do(func() { err = probe.Run(ctx) })
				return err
			}
			ignore("1")
			k.eventually("an answer", func() bool { return run() == nil }) // addresses settle
			began := time.Now()
			if err := run(); err != nil || time.Since(began) > probePatience/2 {
				t.Errorf("a gateway that answers no echo: %v after %s", err, time.Since(began))
			}
			gw.IP("link", "set", "far0", "down")
			if err := run(); err == nil {
				t.Error("a gateway behind a cut link answers")
			}
			gw.IP("link", "set", "far0", "up")
			gw.TryIP(args("addr add " + tt.theirs + " dev far0 nodad")...) // IPv6 addresses go with the link
			ignore("0")
			k.eventually("an echo", func() bool { return run() == nil && probe.answers(defaultGatewaysIn(k)[0].addr) })
			ignore("1")
			if run() == nil {
				t.Error("a gateway that answered echoes before need not answer them any more")
			}
		})
	}
}

func defaultGatewaysIn(k *kernel) (out []gateway) {
	k.Do(func() { out = defaultGateways() })
	return out
}
