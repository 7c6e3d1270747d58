package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"reconciler/internal/testns"
)

// host is a namespace that the built program is let loose on.
type host struct {
	*testns.NS
	t    *testing.T
	tree string
}

// write makes a file the whole tree.
func (h host) write(yaml string) {
	h.t.Helper()
	if err := os.WriteFile(filepath.Join(h.tree, "net.yaml"), []byte(yaml), 0o644); err != nil {
		h.t.Fatal(err)
	}
}

// run runs the program and wants an exit status.
func (h host) run(status int, args ...string) string {
	h.t.Helper()
	cmd := exec.Command("reconciler", append(args, "--netns", h.Name, h.tree)...)
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		h.t.Fatal(err)
	}
	if got := cmd.ProcessState.ExitCode(); got != status {
		h.t.Fatalf("%s: exit status %d, want %d\n%s", strings.Join(cmd.Args, " "), got, status, out)
	}
	return string(out)
}

// vlan is the id of a vlan link, as iproute2 tells it.
func (h host) vlan(name string) int {
	h.t.Helper()
	var links []struct {
		LinkInfo struct {
			Data struct{ ID int } `json:"info_data"`
		}
	}
	if err := json.Unmarshal([]byte(h.IP("-d", "-j", "link", "show", name)), &links); err != nil {
		h.t.Fatal(err)
	}
	return links[0].LinkInfo.Data.ID
}

// TestGuestApply takes a dummy and a vlan through their life with the program
// as users have it.
func TestGuestApply(t *testing.T) {
	guestOnly(t)
	h := host{testns.New(t), t, t.TempDir()}
	const first = `
version: 1
interfaces:
  d0: {kind: dummy, mtu: 9000}
  d0.7: {kind: vlan, parent: d0, vlan: {id: 7}, addresses: [192.0.2.10/24]}
routes:
  - {to: 198.51.100.0/24, via: 192.0.2.1, dev: d0.7}
`
	h.write(first)
	h.run(1, "diff")
	h.run(0, "apply")
	h.run(0, "diff")
	if id := h.vlan("d0.7"); id != 7 {
		t.Errorf("vlan id %d, want 7", id)
	}

	// An id is fixed when the link is made: replaced, with all that stands on it.
	h.write(strings.ReplaceAll(first, "id: 7", "id: 8"))
	h.run(0, "apply")
	h.run(0, "diff")
	if id := h.vlan("d0.7"); id != 8 {
		t.Errorf("vlan id %d, want 8", id)
	}
	if routes := h.IP("route"); !strings.Contains(routes, "198.51.100.0/24 via 192.0.2.1 dev d0.7") {
		t.Errorf("the route did not come back:\n%s", routes)
	}

	// Nothing is wanted any more: held, and then let go.
	h.write("version: 1\n")
	h.run(5, "apply")
	h.run(0, "apply", "--allow-prune")
	if links := h.IP("-brief", "link"); strings.Contains(links, "d0") {
		t.Errorf("links are left:\n%s", links)
	}
}

// TestGuestLowerLinkDown takes the link below a vlan down and up again: the plan
// tells what the kernel does, and one apply does all of it.
func TestGuestLowerLinkDown(t *testing.T) {
	guestOnly(t)
	h := host{testns.New(t), t, t.TempDir()}
	const up = `
version: 1
interfaces:
  d0: {kind: dummy, state: up}
  d0.7: {kind: vlan, parent: d0, vlan: {id: 7}, addresses: [192.0.2.10/24, "2001:db8::1/64"]}
routes:
  - {to: 198.51.100.0/24, via: 192.0.2.1, dev: d0.7}
`
	down := strings.ReplaceAll(up, "state: up", "state: down")
	h.write(up)
	h.run(0, "apply")
	h.write(down)
	plan := h.run(1, "diff")
	for _, line := range []string{
		"the kernel takes its vlans down with it: d0.7",
		"+ address 2001:db8::1/64 dev d0.7",
		"takes along route 198.51.100.0/24",
		"absent: interface d0.7: interface d0 is to be down",
	} {
		if !strings.Contains(plan, line) {
			t.Errorf("the plan does not say %q:\n%s", line, plan)
		}
	}
	h.run(4, "apply") // the vlan cannot be up, nor have a route
	if addrs := h.IP("address", "show", "dev", "d0.7"); !strings.Contains(addrs, "2001:db8::1/64") {
		t.Errorf("the IPv6 address did not come back:\n%s", addrs)
	}
	h.write(up)
	h.run(0, "apply")
	h.run(0, "diff")
}
