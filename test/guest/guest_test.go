package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

func guestOnly(t *testing.T) {
	t.Helper()
	if os.Getenv("RECONCILER_GUEST") != "1" {
		t.Skip("for a guest kernel: make test-guest")
	}
}

// TestGuestKinds holds the guest to its purpose: the kinds of link that the
// modules were loaded for can be made.
func TestGuestKinds(t *testing.T) {
	guestOnly(t)
	ip := func(args ...string) {
		t.Helper()
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	ip("link", "add", "d0", "type", "dummy")
	for _, kind := range []string{"bridge", "bond", "veth"} {
		ip("link", "add", "a-"+kind, "type", kind)
	}
	ip("link", "add", "vrf0", "type", "vrf", "table", "100")
	ip("link", "add", "vlan0", "link", "d0", "type", "vlan", "id", "7")
	ip("link", "add", "mv0", "link", "d0", "type", "macvlan")
	ip("link", "add", "vx0", "type", "vxlan", "id", "9", "dstport", "4789")
	ip("link", "add", "t4", "type", "ipip", "local", "192.0.2.1")
	ip("link", "add", "t6", "type", "ip6tnl", "mode", "any", "local", "2001:db8::1")
	ip("address", "add", "192.0.2.1/24", "dev", "vlan0")
	ip("link", "set", "d0", "up")
	ip("link", "set", "vlan0", "up")
	ip("route", "add", "198.51.100.0/24", "via", "192.0.2.2")
}

// TestConsole judges what guests may say.
func TestConsole(t *testing.T) {
	for _, tt := range []struct{ name, says, err string }{
		{"all is well", "--- PASS: TestGuestA (0.1s)\nPASS\n=== GUEST DONE\n", ""},
		{"a test fails", "--- PASS: TestGuestA\n--- FAIL: TestGuestB\n=== GUEST DONE\n", "1 failures"},
		{"a part of a test skips", "--- PASS: TestGuestA\n    --- SKIP: TestGuestA/x\n=== GUEST DONE\n", "1 failures"},
		{"the kernel panics", "--- PASS: TestGuestA\n[  3.1] Kernel panic - not syncing\n", "Kernel panic"},
		{"it stops in between", "--- PASS: TestGuestA\n", "before its tests were through"},
		{"nothing ran", "=== GUEST DONE\n", "no test ran"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := guest{}.listen(strings.NewReader(tt.says))
			err := c.verdict()
			if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("verdict %v, want %q", err, tt.err)
			}
		})
	}
}
