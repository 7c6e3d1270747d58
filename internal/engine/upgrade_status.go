package engine

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"reconciler/internal/intent"
	"reconciler/internal/resource"
)

// Upgrades is how versions and processes are.
type Upgrades struct {
	Upgrades []UpgradeStatus `json:"upgrades"`
	Daemons  []DaemonStatus  `json:"daemons"`
}

// UpgradeStatus is how one upgrade is. Versions go by their folders.
type UpgradeStatus struct {
	Name     string                `json:"name"`
	Root     string                `json:"root"`
	Mode     resource.StartMode    `json:"mode"`
	Wanted   string                `json:"wanted"`            // in YAML
	Current  string                `json:"current,omitempty"` // what latest leads to
	Runs     string                `json:"runs,omitempty"`    // of the reconciler itself
	Previous string                `json:"previous,omitempty"`
	State    resource.JournalState `json:"state,omitempty"`
	From     string                `json:"from,omitempty"`
	To       string                `json:"to,omitempty"`
	Attempt  uint32                `json:"attempt,omitempty"`
	Note     string                `json:"note,omitempty"` // what it waits for, or why it is not done
	Versions []VersionStatus       `json:"versions"`
	Bad      []resource.BadRelease `json:"bad,omitempty"`
}

// VersionStatus is a version on disk.
type VersionStatus struct {
	Version string   `json:"version"`
	Dir     string   `json:"dir"`
	Damage  []string `json:"damage,omitempty"`
	Bad     string   `json:"bad,omitempty"` // why it failed
}

// DaemonStatus is how one process is.
type DaemonStatus struct {
	Name     string               `json:"name"`
	Link     string               `json:"link,omitempty"`
	Version  string               `json:"version,omitempty"`
	State    resource.DaemonState `json:"state"`
	Since    time.Time            `json:"since,omitzero"`
	Ready    bool                 `json:"ready"`
	PID      int                  `json:"pid,omitempty"`
	Restarts uint32               `json:"restarts,omitempty"`
	Memory   uint64               `json:"memory,omitempty"` // bytes in use
	Reason   string               `json:"reason,omitempty"`
	Command  []string             `json:"command"`
	Note     string               `json:"note,omitempty"`
}

// Upgrades tells how versions and processes are, as they were last seen.
func (e *Engine) Upgrades(ctx context.Context) (Upgrades, error) {
	var out Upgrades
	err := e.do(ctx, func(_ context.Context, l *loop) error {
		if l.planned.Bound == nil {
			return ErrNoDesired
		}
		all := l.upgradeStatus()
		for _, name := range slices.Sorted(maps.Keys(all)) {
			out.Upgrades = append(out.Upgrades, *all[name])
		}
		out.Daemons = l.daemonStatus()
		return nil
	})
	return out, err
}

// upgradeStatus is by name.
func (l *loop) upgradeStatus() map[string]*UpgradeStatus {
	out := make(map[string]*UpgradeStatus)
	if l.planned.Bound == nil {
		return out
	}
	l.planned.Bound.Each(func(k resource.Key, o resource.Object) bool {
		if c, ok := o.Resource.(resource.Current); ok {
			out[c.Upgrade] = &UpgradeStatus{Name: c.Upgrade, Root: c.Root, Mode: c.Mode, Wanted: c.Dir, Note: l.noted(k)}
		}
		return true
	})
	l.planned.Have.Objects.Each(func(_ resource.Key, o resource.Object) bool {
		tellVersions(out, o.Resource)
		return true
	})
	for _, s := range out {
		for i, v := range s.Versions {
			j := resource.Journal{Bad: s.Bad}
			s.Versions[i].Bad = j.Fault(v.Dir)
		}
	}
	return out
}

func tellVersions(out map[string]*UpgradeStatus, r resource.Resource) {
	switch r := r.(type) {
	case resource.Release:
		if s := out[r.Upgrade]; s != nil {
			s.Versions = append(s.Versions, VersionStatus{Version: r.Version, Dir: r.Dir, Damage: r.Damage})
		}
	case resource.Current:
		if s := out[r.Upgrade]; s != nil {
			s.Current = r.Dir
		}
	case resource.Self:
		if s := out[r.Upgrade]; s != nil {
			s.Runs = r.Dir
		}
	case resource.Journal:
		if s := out[r.Upgrade]; s != nil {
			s.State, s.From, s.To, s.Attempt, s.Previous, s.Bad = r.State, r.From, r.To, r.Attempt, r.Previous, r.Bad
		}
	}
}

func (l *loop) daemonStatus() []DaemonStatus {
	now := l.now()
	var out []DaemonStatus
	l.planned.Have.Objects.Each(func(k resource.Key, o resource.Object) bool {
		d, ok := o.Resource.(resource.Daemon)
		if !ok {
			return true
		}
		s := DaemonStatus{
			Name: d.Name, Link: d.Link, Version: resource.ReleaseVersion(d.Release), State: d.Seen.State, Ready: d.Seen.Ready != 0, PID: d.Seen.PID,
			Restarts: d.Seen.Restarts, Memory: d.Seen.Memory, Reason: d.Seen.Reason, Command: d.Argv, Note: l.noted(k),
		}
		if at := cmp.Or(d.Seen.Ended, d.Seen.Started); at != 0 {
			s.Since = now.Wall.Add(intent.Instant(at).Sub(now.At))
		}
		out = append(out, s)
		return true
	})
	return out
}

// noted is what the last plan said of a key.
func (l *loop) noted(k resource.Key) string {
	for _, n := range l.planned.Plan.Notes {
		if n.Key == k {
			return n.Text
		}
	}
	return ""
}
