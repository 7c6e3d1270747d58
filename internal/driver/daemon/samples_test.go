package daemon

import (
	"testing"

	"reconciler/internal/resource"
)

// samples are the values of one metric, by daemon.
func (r *rig) samples(name string, want *resource.Set) map[string]float64 {
	out := make(map[string]float64)
	for _, s := range r.Samples(want) {
		if s.Name == name {
			out[s.Labels[0].Value+"@"+s.Labels[1].Value] = s.Value
		}
	}
	return out
}

// Metrics tell of what runs, of what ended, and of what is wanted and not there.
func TestSamples(t *testing.T) {
	r := newRig(t)
	d, other := r.daemon("sleep"), r.daemon("exit", "3")
	other.Name, other.Link = "other", "eth0"
	missing := r.daemon()
	missing.Name = "missing"
	want := resource.NewSet(1)
	want.Put(resource.Object{Resource: missing})
	if got := r.samples("daemon_up", nil); len(got) != 0 {
		t.Errorf("of nothing: %v", got)
	}
	r.apply(create(d), create(other))
	r.awaitState(other, resource.DaemonExited)
	r.waitFor("readiness", func() bool { return r.seen(d).Ready != 0 })
	if got := r.samples("daemon_up", want); len(got) != 3 || got["one@"] != 1 || got["other@eth0"] != 0 || got["missing@"] != 0 {
		t.Errorf("up: %v", got)
	}
	r.apply(create(other))
	if got := r.samples("daemon_starts_total", want); got["one@"] != 1 || got["other@eth0"] != 2 || got["missing@"] != 0 {
		t.Errorf("starts: %v", got)
	}
	if got := r.samples("daemon_memory_bytes", want); len(r.groups.dirs("")) > 0 && got["one@"] == 0 {
		t.Errorf("memory: %v", got)
	}
}
