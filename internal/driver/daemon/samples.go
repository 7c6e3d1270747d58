package daemon

import (
	"reconciler/internal/driver"
	"reconciler/internal/resource"
)

// Samples tells of each daemon that is wanted or there whether it is up, how often
// it was started and what it uses.
func (d *Driver) Samples(want *resource.Set) []driver.Sample {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := make(map[instance]*tally)
	of := func(one resource.Daemon) *tally {
		key := instance{one.Name, one.Link}
		if all[key] == nil {
			all[key] = &tally{}
		}
		return all[key]
	}
	want.Each(func(_ resource.Key, o resource.Object) bool {
		if one, ok := o.Resource.(resource.Daemon); ok {
			of(one)
		}
		return true
	})
	for _, p := range d.known {
		t := of(p.Daemon)
		t.up = t.up || p.State == resource.DaemonRunning && p.Ready != 0
		t.memory += d.groups.used(p.group())
	}
	var out []driver.Sample
	for key, t := range all {
		labels := []driver.Label{{Name: "daemon", Value: key.name}, {Name: "interface", Value: key.link}}
		out = append(out,
			driver.Sample{Name: "daemon_up", Help: "Whether a process of a daemon runs and is ready: 1 or 0.", Kind: driver.Gauge, Labels: labels, Value: oneIf(t.up)},
			driver.Sample{Name: "daemon_starts_total", Help: "Processes of a daemon that were started.", Kind: driver.Counter, Labels: labels, Value: float64(d.starts[key])},
			driver.Sample{Name: "daemon_memory_bytes", Help: "Memory of the processes of a daemon, where cgroups count it.", Kind: driver.Gauge, Labels: labels, Value: float64(t.memory)})
	}
	return out
}

// instance is a daemon, and whose it is.
type instance struct{ name, link string }

// tally is what the processes of an instance come to.
type tally struct {
	up     bool
	memory uint64
}

func oneIf(v bool) float64 {
	if v {
		return 1
	}
	return 0
}
