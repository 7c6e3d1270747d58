package resource

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// KindVIP is a service: the addresses of one family that a balancer answers
// for, and the backends behind them.
const KindVIP Kind = "vip"

// NoBackend is what becomes of a packet of a VIP that has no backend.
type NoBackend string

// What becomes of it.
const (
	NoBackendDrop   NoBackend = "drop"
	NoBackendPass   NoBackend = "pass"   // to the host's own stack
	NoBackendReject NoBackend = "reject" // TCP reset, or ICMP unreachable
)

// ServicePort is a protocol and a port of it. Port 0 is every port.
type ServicePort struct {
	Protocol string `json:"protocol"` // tcp, udp
	Number   uint16 `json:"port,omitempty"`
}

func (p ServicePort) String() string {
	if p.Number == 0 {
		return p.Protocol
	}
	return fmt.Sprintf("%s/%d", p.Protocol, p.Number)
}

// Pool is a set of backends that serve together.
type Pool struct {
	Name    string   `json:"name"`
	Members []Member `json:"members"`
}

// Member is a backend in a pool of a VIP.
type Member struct {
	Backend   string        `json:"backend"` // the name of its Key
	Weight    uint8         `json:"weight"`  // 0-100
	Drain     time.Duration `json:"drain"`   // how long its flows may stay after it left; in ns
	SlowStart time.Duration `json:"slow-start,omitempty"`
}

// Share is the effective weight of a backend in a ring.
type Share struct {
	Backend string `json:"backend"` // the name of its Key
	Weight  uint8  `json:"weight"`  // 1-100
}

// MaxChurn bounds how much of a VIP's flows one change of YAML may move.
type MaxChurn struct {
	Limit uint16        `json:"limit"`           // of slots, in permille; 0: no bound
	Step  time.Duration `json:"every,omitempty"` // go there in steps, so long apart; 0: refuse
}

// Announce puts the addresses of a VIP on a link while it is up.
type Announce struct {
	Link          string        `json:"interface"`
	Always        bool          `json:"always,omitempty"` // also while it is not up
	WithdrawAfter time.Duration `json:"withdraw-after,omitempty"`
	ReturnAfter   time.Duration `json:"return-after,omitempty"`
}

// VIP is a service of one family.
type VIP struct {
	Name      string        `json:"name"` // as in YAML; two families share it
	Family    Family        `json:"family"`
	Addresses []netip.Addr  `json:"addresses"`       // sorted
	Ports     []ServicePort `json:"ports,omitempty"` // sorted; none: every packet
	Sticky    bool          `json:"src-ip-sticky,omitempty"`
	NoBackend NoBackend     `json:"no-backend"`
	// Shares are what its ring is made of, in the order of the backends'
	// names: see intent.Weights, which decides them.
	Shares []Share `json:"shares,omitempty"`
	// Flush are backends that lose what flows they still have.
	Flush []string `json:"flush,omitempty"`

	// What deciders go by; the dataplane knows nothing of it.

	Description string   `json:"description,omitempty"`
	Pools       []Pool   `json:"pools,omitempty"` // the first one with a live backend serves
	FlushOnDown bool     `json:"flush-on-down,omitempty"`
	MaxChurn    MaxChurn `json:"max-churn,omitzero"`
	MinHealthy  uint16   `json:"min-healthy,omitempty"` // of backends, in permille
	Announce    Announce `json:"announce,omitzero"`

	Seen VIPSeen `json:"seen,omitzero"`
}

// VIPSeen is what only reading back tells.
type VIPSeen struct {
	Index    uint16   `json:"index"`              // of the service
	Ring     uint16   `json:"ring"`               // the buffer in use
	Checksum uint64   `json:"checksum"`           // of the ring, the same on each host that has its shares
	Draining []string `json:"draining,omitempty"` // backends that left, and whose flows stay until the drain ends

	Packets   uint64 `json:"packets,omitempty"`
	Bytes     uint64 `json:"bytes,omitempty"`
	NewFlows  uint64 `json:"new-flows,omitempty"`
	NoBackend uint64 `json:"without-backend,omitempty"` // packets
	TooBig    uint64 `json:"too-big,omitempty"`         // packets

	// Damage is what is not as it was made: slots of the ring, entries of the
	// VIP table.
	Damage []string `json:"damage,omitempty"`
}

// VIPKey identifies the service of one family.
func VIPKey(name string, f Family) Key { return VIPNamed(name + "/" + string(f)) }

// VIPNamed is the key of a service by its whole name.
func VIPNamed(name string) Key { return Key{LBDriver, KindVIP, name} }

// Key identifies the service.
func (v VIP) Key() Key { return VIPKey(v.Name, v.Family) }

// Requires the balancer and the backends in its ring.
func (v VIP) Requires() []Key {
	keys := make([]Key, 0, 1+len(v.Shares))
	keys = append(keys, BalancerKey())
	for _, s := range v.Shares {
		keys = append(keys, BackendNamed(s.Backend))
	}
	return keys
}

// Equal compares what the dataplane holds, and wants no damage.
func (v VIP) Equal(o Resource) bool {
	w, ok := o.(VIP)
	return ok && v.Key() == w.Key() && slices.Equal(v.Addresses, w.Addresses) && slices.Equal(v.Ports, w.Ports) &&
		v.Sticky == w.Sticky && v.NoBackend == w.NoBackend && slices.Equal(v.Shares, w.Shares) &&
		slices.Equal(v.Seen.Damage, w.Seen.Damage) && !v.flushes(w) && !w.flushes(v)
}

// flushes reports that a backend is to lose flows that the other one still lets
// it have.
func (v VIP) flushes(have VIP) bool {
	return slices.ContainsFunc(v.Flush, func(b string) bool { return slices.Contains(have.Seen.Draining, b) })
}

// Inherit takes what only reading back tells, but for what is to be cut.
func (v VIP) Inherit(have Resource) Resource {
	if h, ok := have.(VIP); ok {
		v.Seen = h.Seen
		v.Seen.Damage = nil
		v.Seen.Draining = slices.DeleteFunc(slices.Clone(h.Seen.Draining), func(b string) bool { return slices.Contains(v.Flush, b) })
	}
	return v
}

// Rename passes the name of the link on that has its addresses.
func (v VIP) Rename(to func(string) string) Resource {
	if v.Announce.Link != "" {
		v.Announce.Link = to(v.Announce.Link)
	}
	return v
}

// Replaces reports that flows are told apart in another way, so that no ring of
// before has a say.
func (v VIP) Replaces(from Resource) bool {
	w, ok := from.(VIP)
	return ok && v.Sticky != w.Sticky
}

// Fields lists what it answers for, and its ring.
func (v VIP) Fields() []Field {
	var f fields
	f.add("addresses", joined(v.Addresses))
	f.add("ports", joined(v.Ports))
	if v.Sticky {
		f.add("src-ip-sticky", "true")
	}
	f.add("no-backend", string(v.NoBackend))
	for _, s := range v.Shares {
		f.add(s.Backend, fmt.Sprint(s.Weight))
	}
	f.add("damage", strings.Join(v.Seen.Damage, ", "))
	return f
}

// Summary tells the changes of shares by the names of backends, as in web3 100
// -> 0, before those of all else.
func (v VIP) Summary(from, to Resource) string {
	was, had := from.(VIP)
	next, stays := to.(VIP)
	if !had || !stays {
		shown := next
		if !stays {
			shown = was
		}
		return shown.text()
	}
	parts := shareChanges(was.Shares, next.Shares)
	was.Shares, next.Shares = nil, nil
	return strings.Join(append(parts, changeTexts(was, next, was.Seen.Damage)...), ", ")
}

// changeTexts lists the fields that differ; of damage, what it is.
func changeTexts(from, to Resource, damage []string) (out []string) {
	for _, c := range Changes(from, to) {
		if c.Name == "damage" {
			out = append(out, damage...)
			continue
		}
		out = append(out, strings.TrimSpace(fmt.Sprintf("%s %s -> %s", c.Name, c.From, c.To)))
	}
	return out
}

// text is what it answers for, and how many share it.
func (v VIP) text() string {
	ports := joined(v.Ports)
	if ports == "" {
		ports = "all packets"
	}
	return fmt.Sprintf("%s  %s  %s", joined(v.Addresses), ports, plural(len(v.Shares), "backend", "backends"))
}

// shareChanges lists the backends whose share differs, by the names in YAML.
func shareChanges(was, next []Share) (out []string) {
	weights := func(shares []Share) map[string]uint8 {
		m := make(map[string]uint8, len(shares))
		for _, s := range shares {
			m[s.Backend] = s.Weight
		}
		return m
	}
	before, after := weights(was), weights(next)
	keys := slices.Collect(maps.Keys(before))
	for k := range after {
		if _, ok := before[k]; !ok {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	for _, k := range keys {
		if before[k] != after[k] {
			name, _, _ := strings.Cut(k, "/")
			out = append(out, fmt.Sprintf("%s %d -> %d", name, before[k], after[k]))
		}
	}
	return out
}

func joined[T fmt.Stringer](all []T) string {
	words := make([]string, len(all))
	for i, a := range all {
		words[i] = a.String()
	}
	return strings.Join(words, " ")
}
