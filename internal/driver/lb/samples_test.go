package lb

import (
	"slices"
	"testing"

	"reconciler/internal/driver"
)

func TestSamples(t *testing.T) {
	n, _ := serving(t)
	value := func(name string, labels ...driver.Label) float64 {
		t.Helper()
		for _, s := range n.d.Samples(nil) {
			same := s.Name == name
			for _, l := range labels {
				same = same && has(s.Labels, l)
			}
			if same {
				return s.Value
			}
		}
		t.Fatalf("no sample %s %v", name, labels)
		return 0
	}
	www := driver.Label{Name: "vip", Value: "www"}
	if got, want := value("vip_ring_checksum", www), float64(n.vip("www").Seen.Checksum>>16); got != want || got == 0 {
		t.Errorf("checksum %v, want %v", got, want)
	}
	if got := value("vip_ring_checksum", driver.Label{Name: "vip", Value: "dns"}); got != value("vip_ring_checksum", www) {
		t.Error("equal rings have other sums")
	}
	if got := value("vip_packets_total", www); got != 0 {
		t.Errorf("%v packets before any", got)
	}
	value("backend_packets_total", driver.Label{Name: "backend", Value: "a"}, driver.Label{Name: "address", Value: "192.0.2.2"})
	value("balancer_packets_total", driver.Label{Name: "reason", Value: "too-big"})
}

func has(labels []driver.Label, l driver.Label) bool { return slices.Contains(labels, l) }
