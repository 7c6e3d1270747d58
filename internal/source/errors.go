package source

import "errors"

// What a source's health can be, besides well. The last tree stays whatever
// it is.
var (
	// ErrUnreachable: the place does not answer, in time or at all.
	ErrUnreachable = errors.New("unreachable")
	// ErrAuth: the place refuses our credentials, or these cannot be read.
	ErrAuth = errors.New("not authorised")
	// ErrMissing: there is no such directory, repository or path in it.
	ErrMissing = errors.New("missing")
	// ErrEmpty: there is nothing in it, no commit or no YAML.
	ErrEmpty = errors.New("empty")
	// ErrNoRef: the repository has no such branch, tag or commit.
	ErrNoRef = errors.New("no such ref")
	// ErrRewritten: the branch no longer contains the commit of it that was
	// accepted last.
	ErrRewritten = errors.New("rewritten")
	// ErrTooLarge: a bound is exceeded.
	ErrTooLarge = errors.New("too large")
	// ErrUnreadable: something with a name of YAML or of an object is no
	// readable file.
	ErrUnreadable = errors.New("unreadable")
	// ErrCorrupt: what was stored or received is not what was written.
	ErrCorrupt = errors.New("corrupt")
	// ErrDisk: the local disk refuses the cache.
	ErrDisk = errors.New("disk")
)
