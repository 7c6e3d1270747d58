package resource

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// KindBackend is a server that a balancer sends to: one address of it, by one
// encapsulation.
const KindBackend Kind = "backend"

// Encap is how packets get to a backend.
type Encap string

// The encapsulations.
const (
	IPIP  Encap = "ipip"  // IPv4 in IPv4 (RFC 2003), IPv4 or IPv6 in IPv6 (RFC 2473), as the families need
	L2DSR Encap = "l2dsr" // the frame as it is, to the backend's MAC
)

// HealthState is what is known of a backend.
type HealthState string

// The states. The dataplane keeps the last one that was known, so that whoever
// comes next need not begin with nothing.
const (
	HealthUnknown HealthState = "unknown" // not asked yet
	HealthUp      HealthState = "up"
	HealthDown    HealthState = "down"
)

// Label is a word that YAML gives a backend, to select it by.
type Label struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// DrainOrder is a wish to take backends out, from the drains of YAML.
type DrainOrder struct {
	Name   string    `json:"name"`
	Until  time.Time `json:"until,omitzero"` // zero: as long as it stands there
	Reason string    `json:"reason,omitempty"`
}

// Backend is one record of the dataplane: an address and how to get there.
type Backend struct {
	Name    string     `json:"name"` // as in YAML; several records may share it
	Address netip.Addr `json:"address"`
	Encap   Encap      `json:"encap"`
	Table   uint32     `json:"table,omitempty"` // of the routes to it; 0: as rules say

	// State is decided (see intent.Balance) and kept beside the record.
	State HealthState `json:"state,omitempty"`

	// What deciders go by; the dataplane knows nothing of it.

	Description string       `json:"description,omitempty"`
	Labels      []Label      `json:"labels,omitempty"` // sorted
	Check       Check        `json:"check,omitzero"`   // zero: always up
	Disabled    bool         `json:"disabled,omitempty"`
	Flush       bool         `json:"flush,omitempty"` // cut its flows when it is disabled
	Drains      []DrainOrder `json:"drains,omitempty"`

	Seen BackendSeen `json:"seen,omitzero"`
}

// BackendSeen is what only reading back tells.
type BackendSeen struct {
	Index uint16 `json:"index"` // of its record
	// Link, VLAN, MAC and Source are the next hop as the record has it; Link is
	// empty where it has none, so that packets for it are dropped and counted.
	Link   string     `json:"link,omitempty"`
	VLAN   uint16     `json:"vlan,omitempty"`
	MAC    MAC        `json:"mac,omitzero"`
	MTU    uint32     `json:"mtu,omitempty"`
	Source netip.Addr `json:"source,omitzero"` // of the outer header, where no prefix is declared

	Packets uint64 `json:"packets,omitempty"`
	Bytes   uint64 `json:"bytes,omitempty"`

	// Damage is how the record differs from the way there is.
	Damage []string `json:"damage,omitempty"`
	// Moved says that it is the way that changed, and nobody the record.
	Moved bool `json:"moved,omitempty"`
}

// BackendKey identifies a record by the backend's name, the address and the
// encapsulation.
func BackendKey(name string, a netip.Addr, e Encap) Key {
	return BackendNamed(name + "/" + a.String() + "/" + string(e))
}

// BackendNamed is the key of a record by its whole name, as members and shares of
// VIPs have it.
func BackendNamed(name string) Key { return Key{LBDriver, KindBackend, name} }

// Key identifies the record.
func (b Backend) Key() Key { return BackendKey(b.Name, b.Address, b.Encap) }

// Requires the balancer. Without a route it is there, and drops.
func (b Backend) Requires() []Key { return []Key{BalancerKey()} }

// Equal compares what the dataplane holds, and wants no damage.
func (b Backend) Equal(o Resource) bool {
	c, ok := o.(Backend)
	return ok && b.Key() == c.Key() && b.Table == c.Table && b.State == c.State && slices.Equal(b.Seen.Damage, c.Seen.Damage)
}

// Inherit takes what only reading back tells.
func (b Backend) Inherit(have Resource) Resource {
	if h, ok := have.(Backend); ok {
		b.Seen = h.Seen
		b.Seen.Damage, b.Seen.Moved = nil, false
		if b.State == "" {
			b.State = h.State
		}
	}
	return b
}

// Summary tells of a backend that comes or goes no more than the name does, and
// of one that stays what differs, and how its record is not as it should be.
func (b Backend) Summary(from, to Resource) string {
	was, had := from.(Backend)
	next, stays := to.(Backend)
	if had && stays {
		return strings.Join(changeTexts(was, next, was.Seen.Damage), ", ")
	}
	if b.Table != 0 {
		return fmt.Sprintf("table %d", b.Table)
	}
	return ""
}

// Fields lists what it is reached by.
func (b Backend) Fields() []Field {
	var f fields
	f.add("address", b.Address.String())
	f.add("encap", string(b.Encap))
	if b.Table != 0 {
		f.add("table", fmt.Sprint(b.Table))
	}
	f.add("state", string(b.State))
	f.add("damage", strings.Join(b.Seen.Damage, ", "))
	return f
}
