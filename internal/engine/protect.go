package engine

import "net/netip"

// Auto names a way by which links are protected without being named.
type Auto string

// Automatic protections.
const (
	AutoDefaultRoute Auto = "default-route" // carries a default route of the main table
	AutoSource       Auto = "source"        // carries the way to the Git host
	AutoSSH          Auto = "ssh-sessions"  // carries an established ssh session to this host
)

// Protection says which links keep themselves, their addresses and their
// routes, whatever a plan says.
type Protection struct {
	Names []string
	Auto  []Auto
	// Source is where the source is fetched from, for AutoSource. Resolve
	// fills it; empty for a directory.
	Source []netip.Addr
}
