package resource

import (
	"slices"
	"strings"
	"time"
)

// ReleaseDriver is the driver of versions on disk.
const ReleaseDriver = "release"

// The kinds of what an upgrade is made of: the journal is written before the
// current version changes, and that only to a release that is there and whole.
const (
	KindRelease Kind = "release" // a version: a verified tree
	KindJournal Kind = "journal" // what is being tried, and what was bad
	KindCurrent Kind = "current" // the symlink latest
)

// Signature is what an artifact is signed with.
type Signature struct {
	Type string `json:"type"` // minisign
	Key  string `json:"key"`  // the public one, as minisign prints it
}

// Preflight is what a version must do before it is tried.
type Preflight struct {
	Version []string      `json:"version,omitempty"` // arguments with which it prints its version
	Check   []string      `json:"check,omitempty"`   // arguments with which it exits 0; {dir} is its folder
	Timeout time.Duration `json:"timeout,omitempty"` // of each, in ns
}

// Release is one version of an upgrade, below versions.
type Release struct {
	Upgrade   string       `json:"upgrade"`
	Root      string       `json:"root"` // the folder of versions and latest
	Version   string       `json:"version"`
	Dir       string       `json:"dir"` // within versions: VERSION-DIGEST
	Source    ObjectSource `json:"source,omitzero"`
	Signature Signature    `json:"signature,omitzero"`
	Command   string       `json:"command,omitempty"` // what Preflight runs, relative to the version's folder
	Preflight Preflight    `json:"preflight,omitzero"`

	Damage []string `json:"damage,omitempty"` // how it differs from what was verified
}

// ReleaseDir is the folder of a version within versions.
func ReleaseDir(version, sha256 string) string {
	return version + "-" + sha256[:min(len(sha256), digestInNames)]
}

// ReleaseVersion is the version that a folder holds, as far as its name tells.
func ReleaseVersion(dir string) string {
	dir = dir[strings.LastIndexByte(dir, '/')+1:]
	if i := len(dir) - digestInNames - 1; i > 0 && dir[i] == '-' {
		return dir[:i]
	}
	return dir
}

// ReleaseKey identifies a version by its folder.
func ReleaseKey(upgrade, dir string) Key { return Key{ReleaseDriver, KindRelease, upgrade + "/" + dir} }

// Key identifies the version.
func (r Release) Key() Key { return ReleaseKey(r.Upgrade, r.Dir) }

// Requires nothing.
func (r Release) Requires() []Key { return nil }

// Equal reports that the version is whole: its digest is in its key.
func (r Release) Equal(o Resource) bool {
	s, ok := o.(Release)
	return ok && r.Key() == s.Key() && r.Root == s.Root && slices.Equal(r.Damage, s.Damage)
}

// IsSpare lets a former version stay until the new one is confirmed.
func (r Release) IsSpare() {}

// Fields lists what it is made from.
func (r Release) Fields() []Field {
	var f fields
	f.add("version", r.Version)
	f.add("path", r.Root+"/versions/"+r.Dir)
	f.add("damage", strings.Join(r.Damage, ", "))
	return f
}

// StartMode says who runs a version.
type StartMode string

// The modes of start.
const (
	StartNone     StartMode = "none"     // nobody: what is there is used by others
	StartDaemon   StartMode = "daemon"   // a process of daemons
	StartHandover StartMode = "handover" // the reconciler itself
	StartUnit     StartMode = "unit"     // a unit of systemd
)

// Current is the version that is in use, and how another one comes into use.
type Current struct {
	Upgrade string `json:"upgrade"`
	Root    string `json:"root"`
	// Dir is what latest points to, seen from versions: ../v1.2.3 is one that
	// somebody put beside them. Empty: there is no such link.
	Dir string `json:"dir,omitempty"`

	// What deciders go by; the disk knows nothing of it.

	Version         string        `json:"version,omitempty"`
	Mode            StartMode     `json:"mode,omitempty"`
	Daemon          string        `json:"daemon,omitempty"` // of StartDaemon
	Unit            string        `json:"unit,omitempty"`   // of StartUnit
	Ready           Ready         `json:"ready,omitzero"`
	Soak            time.Duration `json:"soak,omitempty"` // in ns, from when it is ready
	Keep            int           `json:"keep,omitempty"` // versions that stay, the current one included
	AllowDowngrade  bool          `json:"allow-downgrade,omitempty"`
	AllowDisruption bool          `json:"allow-disruption,omitempty"`
}

// CurrentKey identifies the version in use of an upgrade.
func CurrentKey(upgrade string) Key { return Key{ReleaseDriver, KindCurrent, upgrade} }

// Key identifies the link.
func (c Current) Key() Key { return CurrentKey(c.Upgrade) }

// Requires the version, and that what happens is written down first.
func (c Current) Requires() []Key {
	return []Key{ReleaseKey(c.Upgrade, c.Dir), JournalKey(c.Upgrade)}
}

// Equal compares what the link points to.
func (c Current) Equal(o Resource) bool {
	d, ok := o.(Current)
	return ok && c.Key() == d.Key() && c.Root == d.Root && c.Dir == d.Dir
}

// Fields lists what is in use.
func (c Current) Fields() []Field {
	var f fields
	f.add("version", c.Dir)
	return f
}

// JournalState is where an upgrade stands.
type JournalState string

// The states. The zero value is that of an upgrade that rests.
const (
	JournalIdle     JournalState = ""
	JournalTrying   JournalState = "trying"       // To is in use until it has shown itself, or failed
	JournalRollback JournalState = "rolling-back" // From is put back
)

// MaxReleaseStarts is how often a version that is tried is started before it is
// left. What counts is starts, not time: no clock can be trusted over them.
const MaxReleaseStarts = 3

// BadRelease is a version that failed.
type BadRelease struct {
	Dir    string    `json:"dir"`
	Reason string    `json:"reason"`
	At     time.Time `json:"at"`
}

// MaxBad bounds how many failed versions are remembered; the oldest goes.
const MaxBad = 16

// Journal is what is known of an upgrade over restarts and power cuts. It is
// never declared: who decides writes it, before each effect.
type Journal struct {
	Upgrade  string        `json:"upgrade"`
	Root     string        `json:"root"`
	State    JournalState  `json:"state,omitempty"`
	From     string        `json:"from,omitempty"`     // the version to go back to; empty: there was none
	To       string        `json:"to,omitempty"`       // the version that is tried
	Attempt  uint32        `json:"attempt,omitempty"`  // how often a start found it being tried
	Since    time.Duration `json:"since,omitempty"`    // of State, in ns of CLOCK_BOOTTIME
	Boot     string        `json:"boot,omitempty"`     // which boot Since is of
	Previous string        `json:"previous,omitempty"` // the version before the current one
	Bad      []BadRelease  `json:"bad,omitempty"`      // oldest first
}

// JournalKey identifies the journal of an upgrade.
func JournalKey(upgrade string) Key { return Key{ReleaseDriver, KindJournal, upgrade} }

// Key identifies the journal.
func (j Journal) Key() Key { return JournalKey(j.Upgrade) }

// Requires nothing.
func (j Journal) Requires() []Key { return nil }

// Equal compares all of it.
func (j Journal) Equal(o Resource) bool {
	k, ok := o.(Journal)
	bad := slices.EqualFunc(j.Bad, k.Bad, func(a, b BadRelease) bool {
		return a.Dir == b.Dir && a.Reason == b.Reason && a.At.Equal(b.At)
	})
	j.Bad, k.Bad = nil, nil
	return ok && bad && j.plain() == k.plain()
}

// plain is the journal without what cannot be compared.
func (j Journal) plain() [9]any {
	return [9]any{j.Upgrade, j.Root, j.State, j.From, j.To, j.Attempt, j.Since, j.Boot, j.Previous}
}

// Fault is why a version is bad; empty where it is not known to be.
func (j Journal) Fault(dir string) string {
	for _, b := range j.Bad {
		if b.Dir == dir {
			return b.Reason
		}
	}
	return ""
}

// Fields lists where it stands.
func (j Journal) Fields() []Field {
	var f fields
	f.add("state", string(j.State))
	f.add("from", j.From)
	f.add("to", j.To)
	f.add("previous", j.Previous)
	return f
}
