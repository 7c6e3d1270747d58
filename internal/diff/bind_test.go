package diff_test

import (
	"strings"
	"testing"

	"reconciler/internal/diff"
	"reconciler/internal/observed"
	"reconciler/internal/resource"
)

// cards is a host with two ports of one card and a card of another driver.
func cards() observed.State {
	have := observed.State{Objects: resource.NewSet(3)}
	for name, seen := range map[string]resource.Seen{
		"eth0": {Driver: "virtio_net", PCI: "0000:00:03.0"},
		"eth1": {Driver: "mlx4_en", PCI: "0000:00:04.0"},
		"eth2": {Driver: "mlx4_en", PCI: "0000:00:04.0"},
	} {
		have.Objects.Put(resource.Object{Resource: resource.Link{Name: name, MTU: 1500, State: resource.Up, Seen: seen}, Owner: resource.Kernel})
	}
	return have
}

func TestBindByCard(t *testing.T) {
	for _, c := range []struct {
		name  string
		match resource.Match
		to    string        // the link that is bound
		code  diff.NoteCode // else why none is
		text  string
	}{
		{"a PCI address", resource.Match{PCI: "0000:00:03.0"}, "eth0", "", ""},
		{"a PCI address of two ports", resource.Match{PCI: "0000:00:04.0"}, "", diff.Ambiguous, "eth1, eth2"},
		{"a PCI address that is not there", resource.Match{PCI: "0000:00:05.0"}, "", diff.Absent, "no such interface"},
		{"a part of a PCI address", resource.Match{PCI: "00:03.0"}, "", diff.Absent, "no such interface"},
		{"a PCI address and a name", resource.Match{PCI: "0000:00:04.0", Name: "*2"}, "eth2", "", ""},
		{"a PCI address and the driver of another", resource.Match{PCI: "0000:00:03.0", Driver: "mlx4_en"}, "", diff.Absent, "no such interface"},
		{"a driver", resource.Match{Driver: "virtio_net"}, "eth0", "", ""},
		{"a driver of two ports", resource.Match{Driver: "mlx4_en"}, "", diff.Ambiguous, "eth1, eth2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			bound, notes := diff.Bind(setOf(of(resource.Link{Name: "wan", Match: c.match, MTU: 1400})), cards())
			if c.to != "" {
				o, ok := bound.Get(resource.LinkKey(c.to))
				if l, _ := o.Resource.(resource.Link); !ok || l.Label != "wan" || l.MTU != 1400 || len(notes) > 0 {
					t.Errorf("want wan to be %s; %s is %+v, notes %v", c.to, c.to, o.Resource, notes)
				}
				return
			}
			if bound.Len() > 0 || len(notes) != 1 || notes[0].Code != c.code || !strings.Contains(notes[0].Text, c.text) {
				t.Errorf("%d links bound, notes %v; want none, and %s with %q", bound.Len(), notes, c.code, c.text)
			}
		})
	}
}
