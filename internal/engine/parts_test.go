package engine

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"reconciler/internal/apply"
	"reconciler/internal/diff"
	"reconciler/internal/observed"
	"reconciler/internal/resource"
)

func TestRingForgetsTheOldest(t *testing.T) {
	r := newRing()
	for i := range maxEvents + 10 {
		r.add(Event{Message: fmt.Sprint(i)})
	}
	all, _ := r.after(0)
	if len(all) != maxEvents || all[0].Seq != 11 || all[maxEvents-1].Seq != maxEvents+10 {
		t.Fatalf("%d events from %d to %d", len(all), all[0].Seq, all[len(all)-1].Seq)
	}
	late, _ := r.after(5)
	if len(late) != maxEvents+1 || late[0].Type != EventMissedEvent {
		t.Errorf("a reader who fell behind gets %d events, the first %+v", len(late), late[0])
	}
	if some, _ := r.after(maxEvents + 8); len(some) != 2 {
		t.Errorf("after the last but two: %d events", len(some))
	}
	if none, _ := r.after(maxEvents + 100); len(none) != 0 {
		t.Errorf("from the future: %d events", len(none))
	}
}

func TestRingIsFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRing()
		r.add(Event{Message: "before"})
		ctx, cancel := context.WithCancel(context.Background())
		out := make(chan Event)
		go r.follow(ctx, 0, out)
		if got := <-out; got.Message != "before" {
			t.Errorf("first %+v", got)
		}
		r.add(Event{Message: "later"})
		if got := <-out; got.Message != "later" || got.Seq != 2 {
			t.Errorf("then %+v", got)
		}
		cancel()
		if _, open := <-out; open {
			t.Error("the channel is open after the end")
		}
	})
}

func TestNotifies(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	env := map[string]string{"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "3000000"}
	n := SystemdNotifier(func(k string) string { return env[k] })
	if n.Watchdog != 3*time.Second {
		t.Errorf("watchdog is %s", n.Watchdog)
	}
	n.send("READY=1")
	buf := make([]byte, 100)
	size, err := c.Read(buf)
	if err != nil || string(buf[:size]) != "READY=1" {
		t.Errorf("the manager got %q, %v", buf[:size], err)
	}
	env["WATCHDOG_PID"] = "1"
	if n := SystemdNotifier(func(k string) string { return env[k] }); n.Watchdog != 0 {
		t.Error("somebody else's watchdog is served")
	}
	Notifier{}.send("READY=1") // nobody listens
}

func TestTellsTheManager(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var told []string
		r.notify = Notifier{Send: func(s string) { told = append(told, s) }, Watchdog: 3 * time.Second}
		r.start()
		r.push("rev-one", oneAddress)
		r.wait(10 * time.Second)
		r.end()
		if told[0] != "STATUS=not in sync at no revision" || !slices.Contains(told, "READY=1") || told[len(told)-1] != "STOPPING=1" {
			t.Errorf("told %q", told)
		}
		if !slices.Contains(told, "STATUS=in sync at rev-one") {
			t.Errorf("no status of rev-one in %q", told)
		}
		beats := 0
		for _, s := range told {
			if s == "WATCHDOG=1" {
				beats++
			}
		}
		if beats != 10 {
			t.Errorf("%d beats in 10 s, want one a second", beats)
		}
	})
}

func TestMetricsAreThereAtOnce(t *testing.T) {
	reg := prometheus.NewRegistry()
	newMetrics(reg, "1.2.3")
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	series := make(map[string]int, len(families))
	for _, f := range families {
		series[f.GetName()] = len(f.GetMetric())
	}
	for name, want := range map[string]int{
		"reconciler_operations_total": len(opVerbs) * len(opKinds) * len(opOutcomes),
		"reconciler_drift_total":      len(opKinds) * len(causes),
		"reconciler_condition":        len(conditionTypes),
		"reconciler_passes_total":     len(causes),
		"reconciler_build_info":       1,
	} {
		if got := series[name]; got != want {
			t.Errorf("%s has %d series, want %d", name, got, want)
		}
	}
}

func TestProtectionIsNoHold(t *testing.T) {
	c := newConditions(time.Now, func(Condition) {})
	c.fromPlan(diff.Plan{Notes: []diff.Note{{Code: diff.Protected, Text: "not taken away"}}})
	if !c.raised(CondProtected) || c.raised(CondHeld) {
		t.Errorf("conditions %+v, want Protected alone", c.list()[0])
	}
	c.fromPlan(diff.Plan{Notes: []diff.Note{{Code: diff.Held, Text: "everything would go"}}})
	if c.raised(CondProtected) || !c.raised(CondHeld) {
		t.Errorf("conditions %+v, want Held alone", c.list()[0])
	}
}

func TestConditionTypesAreAllListed(t *testing.T) {
	for code, cond := range noteConditions {
		if !slices.Contains(conditionTypes, cond) {
			t.Errorf("%s of a %s note is not listed", cond, code)
		}
	}
	sorted := slices.Clone(conditionTypes)
	slices.Sort(sorted)
	if len(slices.Compact(sorted)) != len(conditionTypes) {
		t.Error("a condition is listed twice")
	}
}

func TestReadsProcNetTCP(t *testing.T) {
	const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1
   1: 010200C0:0016 090200C0:D431 01 00000000:00000000 02:000A7214 00000000     0        0 2 2
   2: 010200C0:01BB 090200C0:D432 01 00000000:00000000 02:000A7214 00000000     0        0 3 2
   3: 0100007F:08AE 0100007F:D433 01 00000000:00000000 02:000A7214 00000000     0        0 4 2
   4: B80D0120000000000000000001000000:0016 B80D0120000000000000000002000000:D433 01 00000000:00000000 02:000A7214
   5: 0000000000000000FFFF0000010200C0:0016 0000000000000000FFFF0000090200C0:D433 01 00000000:00000000 02:000A7214
`
	got := established(strings.NewReader(table), []uint16{22, 2222})
	want := []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("2001:db8::1")}
	if !slices.Equal(got, want) {
		t.Errorf("ssh sessions end at %v, want %v", got, want)
	}
}

func TestReadsSSHPorts(t *testing.T) {
	file := filepath.Join(t.TempDir(), "sshd_config")
	if err := os.WriteFile(file, []byte("# Port 1\nPort 2222\nport 70000\nPermitRootLogin no\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := sshPorts(file); !slices.Equal(got, []uint16{22, 2222}) {
		t.Errorf("ports %v", got)
	}
	if got := sshPorts(file + ".none"); !slices.Equal(got, []uint16{22}) {
		t.Errorf("ports without a file %v", got)
	}
}

func TestReadsDefaultGateways(t *testing.T) {
	v4 := map[string]string{
		"eth0 00000000 FE0200C0 0003 0 0 100 00000000 0 0 0": "192.0.2.254",
		"eth0 000200C0 00000000 0001 0 0 0 00FFFFFF 0 0 0":   "",
		"eth0 00000000 00000000 0001 0 0 0 00000000 0 0 0":   "", // on the link, no gateway
		"Iface Destination Gateway Flags RefCnt Use Metric":  "",
	}
	for line, want := range v4 {
		checkGateway(t, gateway4, line, want)
	}
	zero := strings.Repeat("0", 32)
	v6 := map[string]string{
		zero + " 00 " + zero + " 00 20010db80000000000000000000000fe 00000400 00000001 00000000 00000003 eth0": "2001:db8::fe",
		zero + " 00 " + zero + " 00 fe800000000000000000000000000001 00000400 00000001 00000000 00000003 eth0": "fe80::1%eth0",
		zero + " 00 " + zero + " 00 " + zero + " ffffffff 00000001 00000000 00200200 lo":                       "",
		"20010db8000000000000000000000000 40 " + zero + " 00 " + zero + " 00000100 1 0 1 eth0":                 "",
	}
	for line, want := range v6 {
		checkGateway(t, gateway6, line, want)
	}
}

func checkGateway(t *testing.T, parse func([]string) (gateway, bool), line, want string) {
	t.Helper()
	got, ok := parse(strings.Fields(line))
	if ok != (want != "") || ok && (got.addr.String() != want || got.dev != "eth0") {
		t.Errorf("%q: gateway %v %v, want %q", line, got, ok, want)
	}
}

func TestProtectionMarksLinks(t *testing.T) {
	have := observed.State{Objects: resource.NewSet(0)}
	for _, r := range []resource.Resource{
		resource.Link{Name: "lo", Seen: resource.Seen{Loopback: true}},
		resource.Link{Name: "eth0"}, resource.Link{Name: "eth1"}, resource.Link{Name: "mgmt0"},
		resource.Address{Link: "lo", Prefix: netip.MustParsePrefix("127.0.0.1/8")},
		resource.Route{To: netip.MustParsePrefix("0.0.0.0/0"), Table: resource.MainTable, Hops: []resource.NextHop{{Dev: "eth0"}}},
		resource.Route{To: netip.MustParsePrefix("0.0.0.0/0"), Table: 77, Hops: []resource.NextHop{{Dev: "eth1"}}},
	} {
		have.Objects.Put(resource.Object{Resource: r})
	}
	p := Protection{Names: []string{"mgmt0", "none"}, Auto: []Auto{AutoDefaultRoute, AutoSource}, Source: "127.0.0.1:9"}
	p.mark(t.Context(), have)
	var got []string
	for _, o := range have.Objects.All() {
		if l, ok := o.Resource.(resource.Link); ok && l.Policy.Protect {
			got = append(got, l.Name)
		}
	}
	if !slices.Equal(got, []string{"eth0", "mgmt0"}) {
		t.Errorf("protected are %v, want eth0 and mgmt0", got)
	}
}

func TestUndoRecordKeepsTheOlderState(t *testing.T) {
	var u undoRecord
	k := resource.AddressKey("eth0", netip.MustParsePrefix("192.0.2.1/24"))
	op := diff.Op{Verb: diff.Create, Key: k}
	had := resource.Object{Resource: resource.Address{Link: "eth0", Prefix: netip.MustParsePrefix("192.0.2.1/24")}}
	plan, before, after := diff.Plan{Ops: []diff.Op{op}}, resource.NewSet(0), resource.NewSet(0)
	after.Put(had)
	u.add(apply.NewUndo(plan, observed.State{Objects: before}))
	u.add(apply.NewUndo(plan, observed.State{Objects: after}))
	if len(u.Undo.Objects) != 1 || u.Undo.Objects[0].Object != nil {
		t.Errorf("record %+v, want the address as not there", u.Undo.Objects)
	}
}

func TestHistoryIsBounded(t *testing.T) {
	var h history
	for i := range 2 * maxHistory {
		h = h.add(Entry{Title: fmt.Sprint(i)})
	}
	if len(h) != maxHistory || h[0].Title != fmt.Sprint(2*maxHistory-1) {
		t.Errorf("%d entries, the newest %s", len(h), h[0].Title)
	}
}

func TestTellsManyLinesShort(t *testing.T) {
	lines := make([]string, 25)
	for i := range lines {
		lines[i] = fmt.Sprintf("line %d", i)
	}
	got := strings.Split(few(lines), "\n")
	if len(got) != 11 || got[10] != "and 15 more" {
		t.Errorf("few says %q", got)
	}
}
