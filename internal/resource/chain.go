package resource

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// KindChain is an ordered list of programs on one hook of an interface.
const KindChain Kind = "chain"

// Hook is a place of an interface where a chain runs.
type Hook string

// The hooks.
const (
	XDPIngress Hook = "xdp-ingress"
	TCIngress  Hook = "tc-ingress"
	TCEgress   Hook = "tc-egress"
)

// Hooks lists the hooks.
func Hooks() []Hook { return []Hook{XDPIngress, TCIngress, TCEgress} }

// IsXDP tells the type of the programs of a hook.
func (h Hook) IsXDP() bool { return h == XDPIngress }

// XDPMode is how XDP runs on an interface.
type XDPMode string

// The modes of XDP.
const (
	Native  XDPMode = "native"  // in the interface's driver
	Generic XDPMode = "generic" // in the stack, after the packet became an skb
	Auto    XDPMode = "auto"    // native, or else generic, which is told
)

// Proceed is the set of return codes after which the next program of a chain
// runs: bit n for code n of XDP, bit n+1 for code n of TC, which begins at -1.
type Proceed uint32

// verdicts are the names of return codes, by their bit (linux/bpf.h,
// linux/pkt_cls.h).
func (h Hook) verdicts() []string {
	if h.IsXDP() {
		return []string{"aborted", "drop", "pass", "tx", "redirect"}
	}
	return []string{"unspec", "ok", "reclassify", "shot", "pipe", "stolen", "queued", "repeat", "redirect"}
}

// Verdicts lists the names of the return codes of a hook.
func (h Hook) Verdicts() []string { return slices.Clone(h.verdicts()) }

// ProceedOn is the set of named return codes; false if a name is none.
func (h Hook) ProceedOn(names ...string) (Proceed, bool) {
	var p Proceed
	for _, n := range names {
		i := slices.Index(h.verdicts(), n)
		if i < 0 {
			return 0, false
		}
		p |= 1 << i
	}
	return p, true
}

// DefaultProceed is pass of XDP, and unspec, ok and pipe of TC.
func (h Hook) DefaultProceed() Proceed {
	if h.IsXDP() {
		return 1 << 2
	}
	return 1<<0 | 1<<1 | 1<<4
}

// Text names the return codes of a set.
func (h Hook) Text(p Proceed) string { return strings.Join(h.names(p), " ") }

func (h Hook) names(p Proceed) []string {
	var names []string
	for i, n := range h.verdicts() {
		if p&(1<<i) != 0 {
			names = append(names, n)
		}
	}
	return names
}

// Slot is one program of a chain.
type Slot struct {
	Program  string  `json:"program"`
	Link     string  `json:"link,omitempty"` // of its instance; empty: shared
	Version  string  `json:"version,omitempty"`
	Digest   string  `json:"digest,omitempty"` // of the Program
	Function string  `json:"function,omitempty"`
	Proceed  Proceed `json:"proceed"`
	// Maps are those of its program whose contents are declared: they are put in
	// before it runs.
	Maps []string `json:"maps,omitempty"`
	// ID is the kernel's id of the program in the slot that was read back.
	ID uint32 `json:"id,omitempty"`
}

// same compares what is wanted of a slot; the version is a word for people, and
// told by the digest.
func (s Slot) same(o Slot) bool {
	return s.Program == o.Program && s.Link == o.Link && s.Digest == o.Digest && s.Function == o.Function && s.Proceed == o.Proceed
}

// text is a slot as people read it.
func (s Slot) text() string {
	return strings.Join(slices.DeleteFunc([]string{s.Program, s.Version, ShortDigest(s.Digest)}, func(w string) bool { return w == "" }), " ")
}

// Chain is what runs on one hook of an interface.
type Chain struct {
	Link     string  `json:"link"`
	Hook     Hook    `json:"hook"`
	Label    string  `json:"label,omitempty"` // its name in YAML
	Mode     XDPMode `json:"mode,omitempty"`  // of XDP
	Slots    []Slot  `json:"slots,omitempty"`
	Bypass   string  `json:"bypass,omitempty"`   // frames that skip the slots, as the agent's settings name them
	Takeover bool    `json:"takeover,omitempty"` // evict a foreign XDP program
	// Frags says that all programs take packets in several buffers; known once
	// the objects are.
	Frags bool `json:"frags,omitempty"`

	Seen ChainSeen `json:"seen,omitzero"`
}

// ChainSeen is what only reading back tells.
type ChainSeen struct {
	Generation uint32 `json:"generation,omitempty"`
	Dispatcher uint32 `json:"dispatcher,omitempty"` // the kernel's id of the program that is attached
	Attach     string `json:"attach,omitempty"`     // xdp-native, xdp-generic, tcx, clsact
	ABI        uint32 `json:"abi,omitempty"`
	// Runs and RunTime are the kernel's statistics of the whole chain, which
	// tells none of programs that another one calls; 0 where they are off
	// (sysctl kernel.bpf_stats_enabled) or not asked for.
	Runs    uint64        `json:"runs,omitempty"`
	RunTime time.Duration `json:"run-time,omitempty"`
	Auto    bool          `json:"auto,omitempty"` // generic XDP only because there is no native one
	// Damage is what is not as the chain was made: a slot that is empty, a pin
	// that is gone, a program before it.
	Damage []string `json:"damage,omitempty"`
	// Severed says that the attachment can never be updated again: detached by
	// force, or its interface was replaced.
	Severed bool `json:"severed,omitempty"`
}

// ChainKey identifies a chain by interface and hook.
func ChainKey(link string, hook Hook) Key {
	return Key{ChainDriver, KindChain, link + "/" + string(hook)}
}

// Key identifies the chain.
func (c Chain) Key() Key { return ChainKey(c.Link, c.Hook) }

// Requires the interface and the programs.
func (c Chain) Requires() []Key {
	keys := []Key{LinkKey(c.Link)}
	for _, s := range c.Slots {
		k := ProgramKey(s.Program, s.Link, s.Digest)
		if !slices.Contains(keys, k) {
			keys = append(keys, k)
		}
		for _, m := range s.Maps {
			keys = append(keys, Map{Program: s.Program, Link: s.Link, Digest: s.Digest, Name: m}.Key())
		}
	}
	return keys
}

// Parent is the interface.
func (c Chain) Parent() string { return c.Link }

// Equal compares what is wanted, and wants no damage.
func (c Chain) Equal(o Resource) bool {
	d, ok := o.(Chain)
	return ok && c.Key() == d.Key() && slices.EqualFunc(c.Slots, d.Slots, Slot.same) && c.Bypass == d.Bypass &&
		c.sameMode(d) && slices.Equal(c.Seen.Damage, d.Seen.Damage) && c.Seen.ABI == d.Seen.ABI
}

// sameMode lets auto be either; what is not attached has none.
func (c Chain) sameMode(d Chain) bool {
	return c.Mode == d.Mode || c.Mode == Auto || d.Mode == Auto || c.Mode == "" || d.Mode == ""
}

// Inherit takes what only reading back tells, so that an update is one of the
// kernel's attachment.
func (c Chain) Inherit(have Resource) Resource {
	if h, ok := have.(Chain); ok {
		c.Seen = h.Seen
		c.Seen.Damage, c.Seen.Severed = nil, false
		c.Seen.ABI = ChainABI
		return c
	}
	return c
}

// Mended is the chain without its damage, where the kernel still tells what ran
// in it.
func (c Chain) Mended(want Resource) Resource {
	if len(c.Slots) == 0 || c.Seen.ABI != ChainABI {
		return c
	}
	if w, ok := want.(Chain); ok && c.Mode == "" {
		c.Mode = w.Mode
	}
	c.Seen.Damage, c.Seen.Severed = nil, false
	return c
}

// ChainABI is the version of what a dispatcher says of itself.
const ChainABI = 1

// Evicts reports that a foreign XDP program has to go. Other hooks have room
// for many.
func (c Chain) Evicts() bool { return c.Takeover }

// EvictHint names the key of YAML.
func (c Chain) EvictHint() string { return " (takeover: true evicts it)" }

// Replaces reports a change of the mode: XDP has to be taken off for it, if
// what is there is attached and ours.
func (c Chain) Replaces(from Resource) bool {
	d, ok := from.(Chain)
	return ok && d.Seen.Generation != 0 && !d.Seen.Severed && !c.sameMode(d)
}

// Rename passes the name of the interface on.
func (c Chain) Rename(to func(string) string) Resource {
	c.Link = to(c.Link)
	c.Slots = slices.Clone(c.Slots)
	for i := range c.Slots {
		if c.Slots[i].Link != "" {
			c.Slots[i].Link = to(c.Slots[i].Link)
		}
	}
	return c
}

// Fields lists the programs in their order, and how they run.
func (c Chain) Fields() []Field {
	var f fields
	f.add("mode", string(c.Mode))
	var programs []string
	for _, s := range c.Slots {
		text := s.text()
		if s.Proceed != c.Hook.DefaultProceed() {
			text += " proceed-on [" + c.Hook.Text(s.Proceed) + "]"
		}
		programs = append(programs, text)
	}
	f.add("programs", strings.Join(programs, ", "))
	f.add("bypass", c.Bypass)
	if c.Seen.Generation != 0 {
		f.add("gen", fmt.Sprint(c.Seen.Generation))
	}
	f.add("damage", strings.Join(c.Seen.Damage, ", "))
	return f
}

// Summary tells the generation, and what a new chain holds.
func (c Chain) Summary(from, to Resource) string {
	was, had := from.(Chain)
	next, stays := to.(Chain)
	switch {
	case !had:
		return next.text()
	case !stays:
		return fmt.Sprintf("gen %d detached", was.Seen.Generation)
	}
	text := fmt.Sprintf("gen %d -> %d, atomic", was.Seen.Generation, was.Seen.Generation+1)
	if next.Replaces(was) {
		text = fmt.Sprintf("mode %s -> %s", was.Mode, next.Mode)
	}
	if was.Seen.Severed {
		text = "attached anew"
	}
	if was.Seen.Generation == 0 && !was.Seen.Severed && was.Seen.Dispatcher != 0 {
		text = fmt.Sprintf("takes the place of program %d", was.Seen.Dispatcher)
	}
	if was.Seen.Generation != 0 && was.Bypass != next.Bypass {
		text += fmt.Sprintf(", bypass [%s] -> [%s]", was.Bypass, next.Bypass)
	}
	if len(was.Seen.Damage) > 0 {
		text += "; " + strings.Join(was.Seen.Damage, ", ")
	}
	return text
}

func (c Chain) text() string {
	var parts []string
	for _, s := range c.Slots {
		parts = append(parts, s.text())
	}
	return strings.Join(parts, " | ")
}
