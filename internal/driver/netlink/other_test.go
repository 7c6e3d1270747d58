package netlink

import (
	"errors"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"reconciler/internal/capture"
	"reconciler/internal/diff"
	"reconciler/internal/observed"
	"reconciler/internal/resource"
)

// TestRuleWithOtherSelectors sees to it that a rule that matches less than its
// words say is not taken for the one that they say.
func TestRuleWithOtherSelectors(t *testing.T) {
	plain := resource.Rule{Family: resource.IPv4, Priority: 100, From: pfx("192.0.2.0/24"), Action: resource.Lookup, Table: 70, Protocol: resource.Protocol}
	for _, c := range []struct{ words, other string }{
		{"uidrange 1000-2000", "uidrange 1000-2000"},
		{"suppress_ifgroup 7", "suppress_ifgroup 7"},
		{"realms 3/4", "realms 196612"},
	} {
		t.Run(c.words, func(t *testing.T) {
			b := newBench(t)
			words := "rule add priority 100 from 192.0.2.0/24 table 70 protocol 210 " + c.words
			b.IP(strings.Fields(words)...)
			if got := b.get(plain.Key()).Resource.(resource.Rule).Other; got != c.other {
				t.Fatalf("other is %q, want %q", got, c.other)
			}
			leftOut(t, b, "rule ipv4 100: it has "+c.other)
			plan := b.converge(setOf(plain))
			if len(plan.Ops) != 1 || plan.Ops[0].Verb != diff.Replace || !drops(plan.Ops[0].Fields, "other", c.other) {
				t.Fatalf("planned %+v, want a replacement that drops %s", plan.Ops, c.other)
			}
			if out := b.IP("rule", "show"); strings.Contains(out, strings.Fields(c.words)[0]) {
				t.Errorf("still there:\n%s", out)
			}
			b.isSo(plain)

			back := plan.Ops[0].From.(resource.Rule)
			if err := b.Apply(t.Context(), []diff.Op{replace(plain, back)})[0]; !errors.Is(err, ErrOther) {
				t.Errorf("writing it back, without %s, returns %v", c.other, err)
			}
		})
	}
}

func drops(fields []resource.Change, name, was string) bool {
	for _, f := range fields {
		if f.Name == name && f.From == was && f.To == "" {
			return true
		}
	}
	return false
}

// leftOut checks that a capture says of something that it is not in it.
func leftOut(t *testing.T, b *bench, what string) {
	t.Helper()
	text := string(capture.YAML(b.look(observed.Query{All: true}), capture.Options{All: true}))
	if !strings.Contains(text, "# Left out: "+what+".\n") {
		t.Errorf("capture does not say %q:\n%s", what, text)
	}
}

func TestForeignRuleWithOtherSelectorsIsAConflict(t *testing.T) {
	b := newBench(t)
	b.IP(strings.Fields("rule add priority 100 table 70 uidrange 1000-2000")...)
	plan := b.plan(setOf(resource.Rule{Family: resource.IPv4, Priority: 100, Action: resource.Lookup, Table: 70, Protocol: resource.Protocol}))
	if len(plan.Ops) != 0 || len(plan.Notes) != 1 || plan.Notes[0].Code != diff.Conflict || !strings.Contains(plan.Notes[0].Text, "uidrange") {
		t.Errorf("planned %v, noted %v; want a conflict that names uidrange", plan.Ops, plan.Notes)
	}
}

// TestRuleAttributesOfNewerKernels reads what this kernel or its tools may not
// be able to make.
func TestRuleAttributesOfNewerKernels(t *testing.T) {
	for _, c := range []struct {
		kind  uint16
		value []byte
		want  string
	}{
		{fraDSCP, []byte{10}, "dscp 10"},
		{fraSPortMask, []byte{0xff, 0xff}, ""},
		{fraSPortMask, []byte{0xf0, 0xf0}, "sport mask 61680"},
		{unix.FRA_TUN_ID, []byte{0, 0, 0, 0, 0, 0, 0, 7}, "tun_id 0x0000000000000007"},
		{unix.FRA_L3MDEV, []byte{1}, "l3mdev 1"},
		{unix.FRA_PAD, nil, ""},
		{99, nil, "attribute 99"},
	} {
		var r resource.Rule
		if readRuleAttr(&r, nil, c.kind, c.value); r.Other != c.want {
			t.Errorf("attribute %d: other %q, want %q", c.kind, r.Other, c.want)
		}
	}
}

func TestSinglePortIsNothingElse(t *testing.T) {
	b := newBench(t)
	b.IP(strings.Fields("rule add priority 100 ipproto 6 sport 7 dport 80-90 table 70")...)
	if got := b.get(resource.RuleKey(resource.IPv4, 100)).Resource.(resource.Rule).Other; got != "" {
		t.Errorf("other is %q", got)
	}
}

// TestRouteWithOtherAttributes keeps what is beyond words on a route of
// somebody else's, and shows what a change drops.
func TestRouteWithOtherAttributes(t *testing.T) {
	for _, c := range []struct{ words, other string }{
		{"via 10.0.0.254 advmss 1400", "advmss 1400"},
		{"via 10.0.0.254 mtu lock 1300", "lock 4"},
		{"via 10.0.0.254 realm 7", "realms 7"},
		{"via 10.0.0.254 initcwnd 20 congctl reno", "initcwnd 20, congctl reno"},
	} {
		t.Run(c.words, func(t *testing.T) {
			b := newBench(t)
			ground(b)
			b.IP(strings.Fields("route add 198.51.100.0/24 " + c.words)...)
			want := via("198.51.100.0/24", "10.0.0.254", "a0")
			have := b.get(want.Key()).Resource.(resource.Route)
			if have.Other != c.other {
				t.Fatalf("other is %q, want %q", have.Other, c.other)
			}
			leftOut(t, b, "route 198.51.100.0/24: it has "+c.other)
			if kept := want.Inherit(have); !kept.Equal(have) {
				t.Errorf("a declared route of somebody else's is changed to %+v", kept)
			}
			want.Hops[0].Via = ip("10.0.0.253")
			changed := want.Inherit(have)
			if !drops(resource.Changes(have, changed), "other", c.other) {
				t.Errorf("changes %v do not show what goes", resource.Changes(have, changed))
			}
			b.do(update(have, changed))
			if got := b.get(want.Key()).Resource; !got.Equal(changed) {
				t.Errorf("made %+v, want %+v", got, changed)
			}
		})
	}
}

func TestRoutePreference(t *testing.T) {
	b := newBench(t)
	ground(b)
	b.IP(strings.Fields("-6 route add 2001:db8:9::/48 dev a0 pref high")...)
	b.IP(strings.Fields("-6 route add 2001:db8:a::/48 dev a0 pref medium")...)
	for to, other := range map[string]string{"2001:db8:9::/48": "pref 1", "2001:db8:a::/48": ""} {
		if got := b.get(resource.RouteKey(pfx(to), 254, 1024)).Resource.(resource.Route).Other; got != other {
			t.Errorf("%s: other is %q, want %q", to, got, other)
		}
	}
}

// TestRouteOfATypeOfService is an object of its own: it neither hides the route
// without one nor goes with it.
func TestRouteOfATypeOfService(t *testing.T) {
	b := newBench(t)
	ground(b)
	plain := via("198.51.100.0/24", "10.0.0.254", "a0")
	b.make(plain)
	b.IP(strings.Fields("route add 198.51.100.0/24 via 10.0.0.253 tos 0x10 proto static")...)
	leftOut(t, b, "route 198.51.100.0/24 tos 0x10: it has a type of service")
	b.isSo(plain)
	b.do(remove(plain))
	tos := plain
	tos.TOS = 16
	b.do(remove(b.get(tos.Key()).Resource))
	if out := b.IP("route", "show", "198.51.100.0/24"); strings.TrimSpace(out) != "" {
		t.Errorf("left:\n%s", out)
	}
}

// TestRulesOfOnePriority are all shown; ours stands for its priority, and goes
// without the others.
func TestRulesOfOnePriority(t *testing.T) {
	b := newBench(t)
	ours := resource.Rule{Family: resource.IPv4, Priority: 100, From: pfx("192.0.2.0/24"), Action: resource.Lookup, Table: 70, Protocol: resource.Protocol}
	for _, words := range []string{"to 198.51.100.0/24 table 71", "from 192.0.2.0/24 table 70 protocol 210", "fwmark 7 table 72"} {
		b.IP(strings.Fields("rule add priority 100 " + words)...)
	}
	b.isSo(ours)
	for _, twin := range []struct {
		number, table uint32
	}{{2, 71}, {3, 72}} {
		r := ours
		r.Twin = twin.number
		if got := b.get(r.Key()).Resource.(resource.Rule).Table; got != twin.table {
			t.Errorf("%s leads to table %d, want %d", r.Key(), got, twin.table)
		}
		leftOut(t, b, "rule ipv4 100 #"+number(twin.number)+": it has the priority of another one")
	}
	if plan := b.plan(setOf(ours)); !plan.Empty() {
		t.Errorf("planned %+v", plan.Ops)
	}
	b.converge(setOf())
	if out := b.IP("rule", "show", "priority", "100"); strings.Count(out, "\n") != 2 || strings.Contains(out, "192.0.2.0") {
		t.Errorf("left:\n%s", out)
	}
}

// TestTwinOfOurs is what a crash in the middle of a change leaves: one goes.
func TestTwinOfOurs(t *testing.T) {
	b := newBench(t)
	want := resource.Rule{Family: resource.IPv4, Priority: 100, From: pfx("192.0.2.0/24"), Action: resource.Lookup, Table: 71, Protocol: resource.Protocol}
	for _, words := range []string{"from 192.0.2.0/24 table 70 protocol 210", "from 192.0.2.0/24 table 71 protocol 210"} {
		b.IP(strings.Fields("rule add priority 100 " + words)...)
	}
	b.converge(setOf(want))
	if out := b.IP("rule", "show", "priority", "100"); strings.Count(out, "\n") != 1 || !strings.Contains(out, "lookup 71") {
		t.Errorf("left:\n%s", out)
	}
}
