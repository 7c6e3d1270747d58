package resource

import (
	"slices"
	"strings"
	"time"
)

// ChainDriver is the driver of BPF programs, their maps, and the chains they run in.
const ChainDriver = "chain"

// KindProgram is a BPF program that is loaded, with its maps.
const KindProgram Kind = "program"

// Bounds of what is asked of the kernel.
const (
	MaxSlots      = 16 // programs of one chain
	digestShown   = 6  // digits that people read
	digestInNames = 12 // digits in keys and pins
)

// ObjectSource is where the bytes of an object come from: exactly one of URL
// and File is set.
type ObjectSource struct {
	URL    string `json:"url,omitempty"`    // http, https or file, with nothing left to fill in
	File   string `json:"file,omitempty"`   // absolute: of the host; relative: of the tree
	Path   string `json:"path,omitempty"`   // the object within an archive; empty: the one that is there
	SHA256 string `json:"sha256,omitempty"` // of what is at URL or File, in hex; required for what is downloaded
	// Tree is the content of a file of the tree.
	Tree *Blob `json:"tree,omitempty"`
}

// NewVersion says what becomes of the contents of maps when a program is
// loaded anew.
type NewVersion string

// What becomes of maps. The zero value is Reuse where a map's layout is the
// same, else Fresh.
const (
	Reuse NewVersion = "reuse" // the same map; a fault where its layout differs
	Copy  NewVersion = "copy"  // a new map, with the contents of the old one where key and value have their sizes
	Fresh NewVersion = "fresh" // a new map
)

// MapSettings are what YAML says of one map of a program, but for its contents.
type MapSettings struct {
	Name       string `json:"name"`
	MaxEntries uint32 `json:"max-entries,omitempty"` // 0: as in the object
	// Pin is a path below the pins of the namespace, or an absolute one below
	// /sys/fs/bpf, under which the map stays and is found by others; programs
	// that name the same path share the map.
	Pin      string `json:"pin,omitempty"`
	External bool   `json:"external,omitempty"` // written by others: neither compared nor replaced
}

// MapLayout is what a map is like.
type MapLayout struct {
	Name       string `json:"name"`
	Type       string `json:"type"`
	KeySize    uint32 `json:"key-size"`   // bytes
	ValueSize  uint32 `json:"value-size"` // bytes
	MaxEntries uint32 `json:"max-entries"`
	Flags      uint32 `json:"flags,omitempty"`

	// What is read for statistics only.

	Entries int    `json:"entries,omitempty"` // how many it holds
	ID      uint32 `json:"id,omitempty"`      // the kernel's
	Pin     string `json:"pin,omitempty"`     // the path that others find it by, where it has one
}

// Fate is what becomes of a map when a program is loaded anew, was being that
// of the former version.
func (n NewVersion) Fate(was, next MapLayout) (NewVersion, bool) {
	for _, m := range []*MapLayout{&was, &next} {
		m.Entries, m.ID, m.Pin = 0, 0, ""
	}
	same := was == next
	sizes := was.Type == next.Type && was.KeySize == next.KeySize && was.ValueSize == next.ValueSize
	switch {
	case n == Fresh, n == "" && !same:
		return Fresh, true
	case n == Copy:
		return Copy, sizes
	}
	return Reuse, same
}

// MetricKind says how a value of a map becomes a metric.
type MetricKind string

// The kinds of metric.
const (
	MetricScalar  MetricKind = "scalar"   // the value as it is
	MetricCounter MetricKind = "counter"  // summed over CPUs; what is less than before began anew
	MetricMaxRate MetricKind = "max-rate" // the highest increase a second within the window
	MetricAvg     MetricKind = "avg"      // the mean of the values within the window
)

// Metric is a value of a map that is published.
type Metric struct {
	Map    string        `json:"map"`
	Key    Value         `json:"key"`
	Name   string        `json:"name"`
	As     MetricKind    `json:"as"`
	Window time.Duration `json:"window,omitempty"` // in ns; of max-rate and avg
	Field  string        `json:"field,omitempty"`  // of a value that is a struct; empty: the value itself
}

// Program is one instance of a program: an object that is loaded once, for one
// interface or for all.
type Program struct {
	Name         string        `json:"name"`           // as in YAML
	Link         string        `json:"link,omitempty"` // whose instance it is; empty: shared
	Version      string        `json:"version,omitempty"`
	Source       ObjectSource  `json:"source"`
	Entry        string        `json:"entry,omitempty"` // the function; empty: the one of the hook's type
	Hooks        []Hook        `json:"hooks,omitempty"` // where it runs, sorted
	Constants    []NamedValue  `json:"constants,omitempty"`
	Maps         []MapSettings `json:"maps,omitempty"`
	Metrics      []Metric      `json:"metrics,omitempty"`
	OnNewVersion NewVersion    `json:"on-new-version,omitempty"`

	// What is known once the object is at hand (see driver.Resolver).

	// Digest is SHA-256, in hex, over all that decides on what is loaded.
	Digest string `json:"digest,omitempty"`
	// Functions are those that are loaded, sorted.
	Functions []string `json:"functions,omitempty"`
	// Frags says that it is loaded for packets in several buffers: all
	// programs of its XDP chains can take them.
	Frags bool `json:"frags,omitempty"`

	// Layout is what the maps are like: in the object, or as read back. It is
	// known where a person reads the plan, or something changes.
	Layout []MapLayout `json:"layout,omitempty"`
	// Loaded is when the kernel took it, since boot; 0 where it is not asked for.
	Loaded time.Duration `json:"loaded,omitempty"`
	// Pins is the directory of its pins; empty where it is not asked for.
	Pins string `json:"pins,omitempty"`

	// Damage is what is missing of an instance that was read back.
	Damage []string `json:"damage,omitempty"`
}

// Instance is the name of a program and the interface it is loaded for.
func Instance(program, link string) string {
	if link == "" {
		return program
	}
	return program + "@" + link
}

// ProgramKey identifies what is loaded: another digest is another thing, which
// stands beside the former until the chain has let go of that.
func ProgramKey(program, link, digest string) Key {
	return Key{ChainDriver, KindProgram, loaded(program, link, digest)}
}

// loaded is an instance with the digest that tells its versions apart; without
// one it is an instance whose object is not at hand.
func loaded(program, link, digest string) string {
	name := Instance(program, link)
	if digest == "" {
		return name
	}
	return name + "#" + digest[:min(len(digest), digestInNames)]
}

// Key identifies the instance and its digest.
func (p Program) Key() Key { return ProgramKey(p.Name, p.Link, p.Digest) }

// Requires the balancer if it is its program, which runs on its maps. An
// instance outlives its interface's absence.
func (p Program) Requires() []Key {
	if p.Name == BalancerProgram {
		return []Key{BalancerKey()}
	}
	return nil
}

// Equal reports that what is loaded is whole: its digest is in its key.
func (p Program) Equal(o Resource) bool {
	q, ok := o.(Program)
	return ok && p.Key() == q.Key() && slices.Equal(p.Damage, q.Damage)
}

// IsSpare lets a former version stay until the new one is confirmed.
func (p Program) IsSpare() {}

// Rename passes the name of the interface on.
func (p Program) Rename(to func(string) string) Resource {
	if p.Link != "" {
		p.Link = to(p.Link)
	}
	return p
}

// Fields lists what tells versions apart.
func (p Program) Fields() []Field {
	var f fields
	f.add("version", p.Version)
	f.add("functions", strings.Join(p.Functions, " "))
	f.add("damage", strings.Join(p.Damage, ", "))
	return f
}

// ShortDigest is as much of a digest as people read.
func ShortDigest(digest string) string { return digest[:min(len(digest), digestShown)] }
