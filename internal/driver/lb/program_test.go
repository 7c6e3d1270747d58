package lb

import (
	"path/filepath"
	"testing"

	"reconciler/internal/driver/bpffs"
)

// TestMapsStandWhereTheProgramLooks holds what a chain is told against what the
// driver makes before anything is applied.
func TestMapsStandWhereTheProgramLooks(t *testing.T) {
	n := newNet(t)
	one := balancer()
	if err := n.d.prepareBalancer(one); err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, m := range Maps(one.Capacities) {
		names[m.Name] = true
		if !m.External || m.MaxEntries == 0 || !bpffs.Exists(filepath.Join(n.d.root.Dir(), shared, m.Pin)) {
			t.Errorf("%+v", m)
		}
	}
	if !names["lb_rings"] || !names["lb_flows"] || names["lb_weights"] {
		t.Errorf("maps %v", names)
	}
	if a, b := Maps(one.Capacities)[0].Pin, Maps(larger(1021).Capacities)[0].Pin; a == b {
		t.Errorf("tables of other sizes stand at %s too", a)
	}
}
