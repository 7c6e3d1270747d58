package resource

import "time"

// HandoverDriver is the driver of the reconciler's own process.
const HandoverDriver = "handover"

// KindSelf is the reconciler that runs.
const KindSelf Kind = "self"

// Self is the reconciler that runs, as a version of an upgrade.
type Self struct {
	Upgrade string `json:"upgrade"`
	Root    string `json:"root"`
	Dir     string `json:"dir,omitempty"` // the version that runs; empty: none of Root
	Ready   Ready  `json:"ready,omitzero"`

	Seen SelfSeen `json:"seen,omitzero"`
}

// SelfSeen is what is known of the process and of the one that is to take over.
type SelfSeen struct {
	Started time.Duration `json:"started,omitempty"` // in ns of CLOCK_BOOTTIME
	Next    string        `json:"next,omitempty"`    // the version that is to take over, while it starts
	Standby bool          `json:"standby,omitempty"` // the former version waits to take over again
	// Failed is the version that was to take over last and did not, or not for
	// long, and Reason is why.
	Failed string `json:"failed,omitempty"`
	Reason string `json:"reason,omitempty"`
}

// SelfKey identifies the process by the upgrade.
func SelfKey(upgrade string) Key { return Key{HandoverDriver, KindSelf, upgrade} }

// Key identifies the process.
func (s Self) Key() Key { return SelfKey(s.Upgrade) }

// Requires the version to be in use on disk: what starts next after a crash is
// that.
func (s Self) Requires() []Key { return []Key{CurrentKey(s.Upgrade)} }

// Equal compares the versions, and whether the former one still stands by: to
// want it no longer is to let it go.
func (s Self) Equal(o Resource) bool {
	t, ok := o.(Self)
	return ok && s.Key() == t.Key() && s.Dir == t.Dir && s.Seen.Standby == t.Seen.Standby
}

// Fields lists what runs.
func (s Self) Fields() []Field {
	var f fields
	f.add("version", s.Dir)
	return f
}
