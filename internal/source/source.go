// Package source brings trees of YAML, and the objects of programs that lie
// beside it, from where people write them: a watched directory or a Git
// repository. It also keeps snapshots of them, so that boot and rollback need
// no network.
//
// It owns fetching, watching and revisions. It never parses YAML. Of ours it
// imports state, for files that survive a power cut.
package source

import "context"

// Source is a place that trees come from.
type Source interface {
	// String names it, without secrets: git https://…#main, dir /srv/edge.
	String() string
	// Run follows the place until the context ends, and then returns nil. It
	// delivers every new revision, the first as soon as there is one, and
	// every change of its own health: an error that wraps one of the
	// sentinels of this package, or nil once it is well, also the first time.
	// Health comes before the tree that it belongs to. A trouble never ends
	// Run. Both functions are called from the goroutine of Run, which goes on
	// once they return.
	Run(ctx context.Context, deliver func(Tree), health func(error)) error
	// Sync asks for a look now. It returns at once.
	Sync()
}
