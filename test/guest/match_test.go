package main

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"reconciler/internal/testns"
)

// TestGuestMatch binds cards by what only ethtool knows of them, and changes
// them, with the program as users have it.
func TestGuestMatch(t *testing.T) {
	guestOnly(t)
	h := host{testns.New(t), t, t.TempDir()}
	virtio, e1000 := h.card("0000:00:"+virtioSlot+".0"), h.card("0000:00:"+e1000Slot+".0")
	h.write(`
version: 1
interfaces:
  wan: {match: {pci: "0000:00:` + virtioSlot + `.0"}, mtu: 1400, addresses: [192.0.2.1/24]}
  lan: {match: {driver: e1000}, mtu: 1300}
`)
	h.run(0, "apply")
	h.run(0, "diff")
	if got := h.mtu(virtio); got != 1400 {
		t.Errorf("matched by PCI address, %s has mtu %d, want 1400", virtio, got)
	}
	if got := h.mtu(e1000); got != 1300 {
		t.Errorf("matched by driver, %s has mtu %d, want 1300", e1000, got)
	}
	if addrs := h.IP("address", "show", "dev", virtio); !strings.Contains(addrs, "192.0.2.1/24") {
		t.Errorf("what is declared for wan is not on %s:\n%s", virtio, addrs)
	}

	h.write(`
version: 1
interfaces:
  wan: {match: {pci: "0000:00:1f.7", driver: virtio_net}, mtu: 1500}
`)
	if out := h.run(1, "diff"); !strings.Contains(out, "no such interface") {
		t.Errorf("an address that no card has is not told as absent:\n%s", out)
	}
	if got := h.mtu(virtio); got != 1400 {
		t.Errorf("by its driver alone %s was taken for another: mtu %d", virtio, got)
	}
}

// card moves the card at a PCI address into the namespace and returns its name.
// With the namespace's end it goes back by itself.
func (h host) card(pci string) string {
	h.t.Helper()
	device := filepath.Join("/sys/bus/pci/devices", pci)
	for _, below := range []string{"net/*", "virtio*/net/*"} {
		found, err := filepath.Glob(filepath.Join(device, below))
		if err != nil {
			h.t.Fatal(err)
		}
		if len(found) == 1 {
			name := filepath.Base(found[0])
			h.adopt(name)
			return name
		}
	}
	h.t.Fatalf("no card at %s", pci)
	return ""
}

// adopt moves a link of the guest into the namespace.
func (h host) adopt(link string) {
	h.t.Helper()
	if out, err := exec.Command("ip", "link", "set", link, "netns", h.Name).CombinedOutput(); err != nil {
		h.t.Fatalf("move %s: %v\n%s", link, err, out)
	}
}

// mtu is the MTU of a link in bytes, as iproute2 tells it.
func (h host) mtu(link string) int {
	h.t.Helper()
	var links []struct{ MTU int }
	h.JSON([]string{"link", "show", "dev", link}, &links)
	return links[0].MTU
}
