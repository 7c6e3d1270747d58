package driver

import (
	"context"
	"net/netip"
	"time"

	"reconciler/internal/diff"
)

// Explainer is a driver that picks a backend for each flow. Explain tells which
// one a flow has now, and which one once operations are done; it changes
// nothing. A driver that knows nothing of the flow's destination says NotVIP.
type Explainer interface {
	Explain(ctx context.Context, f Flow, ops []diff.Op) (Explanation, error)
}

// Flow is one that somebody asks about.
type Flow struct {
	Protocol uint8          `json:"protocol"` // as IP numbers it
	Src      netip.AddrPort `json:"src"`      // ports are 0 where the protocol has none
	Dst      netip.AddrPort `json:"dst"`
}

// Explanation is where a flow goes.
type Explanation struct {
	Now   Way `json:"now"`
	After Way `json:"after"` // once the operations are done; Now where there are none
}

// Way is how a flow comes to its backend.
type Way struct {
	VIP    string `json:"vip,omitempty"`           // the name of its key; empty: none claims the flow
	Slot   uint32 `json:"slot"`                    // of the ring
	Moved  bool   `json:"moved"`                   // the slot had another owner lately
	Sticky bool   `json:"src-ip-sticky,omitempty"` // the slot is told by the client's address alone
	// Left is how long flows of moved slots stay yet.
	Left time.Duration `json:"left,omitempty"`

	New   Choice `json:"new"`         // a packet that begins a flow
	Known Choice `json:"established"` // one of a flow that began before
}

// Choice is the backend of a packet.
type Choice struct {
	Backend string `json:"backend,omitempty"` // the name of its key; empty: none
	Why     Why    `json:"why"`
	// Unreachable says that there is no way to it: packets are dropped.
	Unreachable bool `json:"unreachable,omitempty"`
}

// Why says what a choice follows from.
type Why string

// The reasons.
const (
	NotVIP      Why = "not-a-vip"
	NotClaimed  Why = "not-claimed"  // the address is a VIP's, the protocol or the port is not
	NoBackend   Why = "no-backend"   // its slot of the ring has none
	ByRing      Why = "ring"         // the slot did not move
	ByNewOwner  Why = "new-owner"    // the slot moved, and this is a new flow
	ByPrevious  Why = "former-owner" // the slot moved: flows stay with whom they had
	ByFlowTable Why = "flow-table"   // the slot moved, and the flow is known by name
)
