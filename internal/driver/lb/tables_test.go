package lb

import (
	"testing"

	"reconciler/internal/resource"
)

func TestIsTable(t *testing.T) {
	own := "/sys/fs/bpf/reconciler/host/maps/" + dirName(resource.DefaultCapacities()) + "/lb_rings"
	for path, want := range map[string]bool{
		own: true, "/sys/fs/bpf/reconciler/host/maps/lb_rings": false, "/sys/fs/bpf/reconciler/host/maps/lb1/x": false,
	} {
		if got := IsTable(path); got != want {
			t.Errorf("%s is a table: %v", path, got)
		}
	}
}
