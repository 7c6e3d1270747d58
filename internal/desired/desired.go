// Package desired turns a tree of YAML files into a set of wanted resources.
//
//	files -> values -> merged values -> document -> resources
//	       parse     layers, identity  decode     build, cross references
//
// What is as written has types of its own (linkYAML, routeYAML, …), apart from
// the checked resources they become; both stand in the file named for their
// kind. Merging works on values, so a new section needs no code for it.
//
// It owns the language: strict decoding with bounds, layers and merging, cross
// references, and every fault with its position. It reports all faults of a
// tree in one pass. Of other files it reads the objects that programs name. It needs no root, kernel or network and imports only
// resource and strict.
package desired

import (
	"io/fs"
	"time"

	"reconciler/internal/resource"
	"reconciler/internal/strict"
)

// Options say for whom a tree is resolved.
type Options struct {
	// Host fills {hostname} in layers and picks the entry of fleet:.
	Host string
	// Labels are the agent's own. Nil takes those of fleet: for Host, as CI
	// does; otherwise a difference from fleet: is a fault.
	Labels map[string]string
	// Rescue is a last layer from outside the tree, as path and content; nil
	// for none.
	Rescue *File
	// Arch is the architecture of the host, as Go names it. Empty is that of
	// this build.
	Arch string
	// Version is the version of this build, compared with min-version. Empty
	// is a development build, which counts as the newest.
	Version string
	// Now is what the ends of drains are compared with. Zero: they are not.
	Now time.Time
	// Balancer is the load balancer of this build; nil: VIPs are Unsupported.
	Balancer *Balancer
}

// File is a file outside the tree.
type File struct {
	Path    string
	Content []byte
}

// Desired is a tree, resolved for one host.
type Desired struct {
	// Want holds what is declared. Each object's Origin is file:line of its
	// declaration, relative to the tree.
	Want *resource.Set
	// Warnings do not make a tree invalid.
	Warnings []*strict.Fault
	// Hosts are the hosts that fleet: names, sorted.
	Hosts []string
	// Layers are the paths of the layers in use, lowest first; "." for a tree
	// of one layer.
	Layers []string
	// Merged is the merged document, for render.
	Merged *Merged
	// WayOut is what a tree with a newer min-version says of upgrades of
	// reconciler itself: by it an older build becomes one that can read the
	// tree. Nil where there is none.
	WayOut *resource.Set

	at map[resource.Key]*strict.Value // of what is wanted
}

// Load resolves a tree for one host. The error, if any, is a *multierror.Error
// of *strict.Fault, in the order of file, line and column, errors only. What
// could be read is returned beside it (Hosts, Layers, Warnings, and Merged
// where there is one); Want is nil then.
//
// A tree with layers needs Options.Host.
func Load(tree fs.FS, o Options) (*Desired, error) { return load(tree, o) }

// Check finds every fault of a tree. With a Host it is Load. Without one, a
// tree with layers is resolved for each host of fleet:, every file of a layer
// is checked by itself, whether a host has it or not, and each fault is
// reported once; the result then has neither Want nor Merged.
func Check(tree fs.FS, o Options) (*Desired, error) { return check(tree, o) }

// Schema is the JSON Schema of the files of a tree, reconciler.yaml included.
func Schema() []byte { return schema() }
