package demo

import (
	"strings"
	"testing"

	"reconciler/internal/testns"
)

// A condition that holds when it should not would make every scene a lie.
func TestConditionsAgreeWithTheKernel(t *testing.T) {
	ns := testns.New(t)
	ns.IP("link", "add", "br0", "mtu", "1400", "up", "type", "bridge")
	ns.IP("address", "add", "10.0.0.1/24", "dev", "br0")
	ns.IP("route", "add", "203.0.113.0/25", "via", "10.0.0.254")
	ns.IP("route", "add", "default", "via", "10.0.0.254")
	ns.IP("link", "add", "br1", "type", "bridge")
	for _, c := range []struct {
		condition
		holds bool
	}{
		{address("10.0.0.1/24", "br0"), true},
		{address("10.0.0.1/25", "br0"), false},
		{address("10.0.0.1/24", "br1"), false},
		{address("10.0.0.1/24", "none"), false},
		{mtu("br0", 1400), true},
		{mtu("br0", 1500), false},
		{up("br0"), true},
		{up("br1"), false},
		{via("203.0.113.0/25", "10.0.0.254", "br0"), true},
		{via("203.0.113.0/24", "10.0.0.254", "br0"), false},
		{via("203.0.113.0/25", "10.0.0.253", "br0"), false},
		{via("203.0.113.0/25", "10.0.0.254", "br1"), false},
		{via("0.0.0.0/0", "10.0.0.254", "br0"), true},
		{all(up("br0"), mtu("br0", 1400)), true},
		{all(up("br0"), mtu("br0", 1401)), false},
		{without(up("br1")), true},
		{without(up("br0")), false},
	} {
		err := namespace(ns.Name).demand(c.condition)
		if got := err == nil; got != c.holds {
			t.Errorf("%s: holds = %t, want %t", c.what, got, c.holds)
		}
		if err != nil && !strings.Contains(err.Error(), c.what) {
			t.Errorf("error %q does not name %q", err, c.what)
		}
	}
}

func TestMonitorHearsAndStaysQuiet(t *testing.T) {
	ns := testns.New(t)
	for _, c := range []struct {
		do    []string
		least int
	}{{[]string{"link", "add", "br0", "type", "bridge"}, 1}, {[]string{"address", "add", "10.0.0.1/24", "dev", "br0"}, 1}, {[]string{"link", "show"}, 0}} {
		m, err := newMonitor(namespace(ns.Name))
		if err != nil {
			t.Fatal(err)
		}
		ns.IP(c.do...)
		heard, err := m.count()
		if err != nil {
			t.Fatal(err)
		}
		if heard < c.least || c.least == 0 && heard > 0 {
			t.Errorf("ip %v: heard %d changes, want at least %d", c.do, heard, c.least)
		}
	}
}
