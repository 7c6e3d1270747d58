package release

import (
	"reconciler/internal/driver"
	"reconciler/internal/resource"
)

// Samples tells of each upgrade which version is in use, what it does, and how many
// versions have failed, as the last look saw it.
func (d *Driver) Samples(*resource.Set) []driver.Sample {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []driver.Sample
	gauge := func(name, help string, value float64, labels ...driver.Label) {
		out = append(out, driver.Sample{Name: name, Help: help, Kind: driver.Gauge, Labels: labels, Value: value})
	}
	if d.last.Objects == nil {
		return nil
	}
	for _, o := range d.last.Objects.All() {
		switch r := o.Resource.(type) {
		case resource.Current:
			gauge("upgrade_version_info", "The version of an upgrade that is in use: 1.", 1,
				driver.Label{Name: "upgrade", Value: r.Upgrade}, driver.Label{Name: "version", Value: resource.ReleaseVersion(r.Dir)})
		case resource.Journal:
			of := driver.Label{Name: "upgrade", Value: r.Upgrade}
			for state, name := range map[resource.JournalState]string{
				resource.JournalIdle: "idle", resource.JournalTrying: "trying", resource.JournalRollback: "rolling-back",
			} {
				value := 0.0
				if r.State == state {
					value = 1
				}
				gauge("upgrade_state", "What an upgrade does: 1 or 0.", value, of, driver.Label{Name: "state", Value: name})
			}
			gauge("upgrade_failed_versions", "Versions of an upgrade that failed, and are not tried again.", float64(len(r.Bad)), of)
		}
	}
	return out
}
