package netlink

import (
	"strings"
	"testing"

	"reconciler/internal/diff"
	"reconciler/internal/resource"
)

// stranger makes a link of somebody else's, a0, which no plan removes.
func stranger(b *bench) {
	b.IP("link", "add", "a0", "type", "bridge")
	b.IP("link", "set", "a0", "up")
}

// TestPeerIsDrift: an address that was put back with a peer is not the one that
// was declared, whoever did it.
func TestPeerIsDrift(t *testing.T) {
	for declared, words := range map[string]string{
		"10.7.0.1/24":       "10.7.0.1 peer 10.7.0.9/24",
		"2001:db8:7::1/128": "2001:db8:7::1 peer 2001:db8:7::9/128",
	} {
		b := newBench(t)
		stranger(b)
		want := addr("a0", declared)
		b.make(want)
		b.IP("addr", "del", declared, "dev", "a0")
		b.IP(strings.Fields("addr add dev a0 " + words)...)
		plan := b.plan(setOf(want))
		if len(plan.Notes) != 1 || plan.Notes[0].Code != diff.Conflict || !strings.Contains(plan.Notes[0].Text, "peer") {
			t.Errorf("%s: noted %+v, want a conflict that names the peer", declared, plan.Notes)
		}
		want.Adopt = true
		plan = b.converge(setOf(want))
		if len(plan.Ops) != 1 || plan.Ops[0].Verb != diff.Replace {
			t.Fatalf("%s: planned %+v, want one replacement", declared, plan.Ops)
		}
		if out := b.IP("addr", "show", "dev", "a0"); strings.Contains(out, "peer") {
			t.Errorf("%s: the peer is still there:\n%s", declared, out)
		}
	}
}

// TestLifetimeIsDrift: what is declared stays for good. Some kernels take the
// mark off an address that is changed without it, so it may be nobody's by then.
func TestLifetimeIsDrift(t *testing.T) {
	for _, prefix := range []string{"10.7.0.1/24", "2001:db8:7::1/64"} {
		b := newBench(t)
		stranger(b)
		want := addr("a0", prefix)
		b.make(want)
		b.IP("addr", "change", prefix, "dev", "a0", "valid_lft", "1000", "preferred_lft", "500")
		plan := b.converge(setOf(want))
		if len(plan.Ops) != 1 || plan.Ops[0].Verb != diff.Update {
			t.Errorf("%s: planned %+v, want one change", prefix, plan.Ops)
		}
		if out := b.IP("addr", "show", "dev", "a0", "to", prefix); strings.Contains(out, "1000sec") || strings.Contains(out, "dynamic") {
			t.Errorf("%s: still expires:\n%s", prefix, out)
		}
	}
}

func TestDynamicIsLeftOut(t *testing.T) {
	b := newBench(t)
	stranger(b)
	b.IP("addr", "add", "10.7.0.1/24", "dev", "a0", "valid_lft", "1000", "preferred_lft", "500")
	b.IP(strings.Fields("-6 route add 2001:db8:9::/48 dev a0 expires 1000")...)
	leftOut(t, b, "address 10.7.0.1/24 dev a0: it has a lifetime: it is dynamic")
	leftOut(t, b, "route 2001:db8:9::/48: it has a lifetime: it is dynamic")
}

// TestAddressBeyondWords is told by capture, which writes the address without.
func TestAddressBeyondWords(t *testing.T) {
	b := newBench(t)
	stranger(b)
	for words, left := range map[string]string{
		"10.7.0.1/24 label a0:7":            "label a0:7",
		"10.6.0.1/24 broadcast 10.6.0.7":    "broadcast 10.6.0.7",
		"10.5.0.1/24 broadcast + metric 77": "metric 77",
		"10.4.0.1/24 broadcast +":           "",
	} {
		b.IP(strings.Fields("addr add dev a0 " + words)...)
		prefix := strings.Fields(words)[0]
		if got := b.get(resource.AddressKey("a0", pfx(prefix))).Resource.(resource.Address).Other; got != left {
			t.Errorf("%s: beyond words is %q, want %q", words, got, left)
		}
		if left != "" {
			leftOut(t, b, left+" of address "+prefix+" dev a0")
		}
	}
}
