package engine

import (
	"context"
	"strings"
	"testing"
	"time"

	"reconciler/internal/diff"
	"reconciler/internal/driver/netlink"
	"reconciler/internal/resource"
)

// interrupted is the driver with somebody else who acts in the middle of an
// apply.
type interrupted struct {
	*netlink.Driver
	before func(diff.Op)
}

func (d interrupted) Apply(ctx context.Context, ops []diff.Op) []error {
	for _, op := range ops {
		if d.before != nil {
			d.before(op)
		}
	}
	return d.Driver.Apply(ctx, ops)
}

// vanishBefore deletes a link once, when the batch with an address is about to
// go out: what that batch needs was there when it was planned.
func (k *kernel) vanishBefore(address, link string) {
	gone := false
	k.before = func(op diff.Op) {
		if !gone && op.Verb == diff.Create && op.Key.Kind == resource.KindAddress && op.Key.Name == address {
			gone = true
			k.IP("link", "delete", link)
		}
	}
}

// TestKernelOurLinkVanishes: a link that we made goes between two batches of
// the apply that needs it. What does not need it is done; it is made again.
func TestKernelOurLinkVanishes(t *testing.T) {
	k := newKernel(t)
	k.vanishBefore("192.0.2.1/24 dev br0", "br0")
	k.start()
	p := k.push("rev-vanish", `interfaces:
  br0:
    kind: bridge
    addresses:
      - 192.0.2.1/24
  up0: {addresses: [198.51.100.1/24]}
routes:
  - {to: 203.0.113.0/24, via: 192.0.2.254, dev: br0}
  - {to: 198.18.0.0/15, via: 198.51.100.254}
`)
	const want = "net.yaml:6: create address 192.0.2.1/24 dev br0: no such link: br0 (blocks 1 more)"
	if p.Outcome != OutcomeFailed || !strings.HasPrefix(p.Error, want) {
		t.Errorf("the pass %s with %q, want %q first", p.Outcome, p.Error, want)
	}
	k.independentIsDone("up0")
	k.inSync("rev-vanish")
	if !k.shows("192.0.2.1/24", "addr", "show", "dev", "br0") || !k.shows("via 192.0.2.254 dev br0", "route") {
		t.Error("a later pass did not bring the link back with all that was on it")
	}
}

// TestKernelExistingLinkVanishes: one that only exists cannot be made again. It
// is told as absent until somebody brings it back.
func TestKernelExistingLinkVanishes(t *testing.T) {
	k := newKernel(t)
	k.settings.Resync = time.Minute // an event, not the clock, ends it
	k.vanishBefore("192.0.2.1/24 dev up0", "up0")
	k.start()
	p := k.push("rev-vanish", `interfaces:
  up0:
    addresses:
      - 192.0.2.1/24
  br0: {kind: bridge, addresses: [198.51.100.1/24]}
routes:
  - {to: 203.0.113.0/24, via: 192.0.2.254, dev: up0}
  - {to: 198.18.0.0/15, via: 198.51.100.254}
`)
	const want = "net.yaml:5: create address 192.0.2.1/24 dev up0: "
	if p.Outcome != OutcomeFailed || !strings.HasPrefix(p.Error, want) || !strings.Contains(p.Error, "(ENODEV) (blocks 1 more)") {
		t.Errorf("the pass %s with %q, want %q and ENODEV", p.Outcome, p.Error, want)
	}
	k.independentIsDone("br0")
	absent := k.engine.Status().Condition(CondAbsent)
	for _, line := range []string{"net.yaml:3: link up0: no such interface", "net.yaml:5: address 192.0.2.1/24 dev up0: "} {
		if !absent.Raised || !strings.Contains(absent.Message, line) {
			t.Errorf("the condition says %q, want %q in it", absent.Message, line)
		}
	}
	k.IP("link", "add", "up0", "type", "veth", "peer", "name", "far0")
	k.IP("link", "set", "up0", "up")
	k.inSync("rev-vanish")
	if !k.shows("via 192.0.2.254 dev up0", "route") {
		t.Error("the route did not come back with its link")
	}
}

// independentIsDone wants what stands on the link that stayed.
func (k *kernel) independentIsDone(link string) {
	k.t.Helper()
	if !k.shows("198.51.100.1/24", "addr", "show", "dev", link) || !k.shows("198.18.0.0/15 via 198.51.100.254", "route") {
		k.t.Errorf("what does not need the link was not done:\n%s%s", k.IP("addr"), k.IP("route"))
	}
}
