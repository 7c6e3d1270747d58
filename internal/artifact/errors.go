package artifact

import (
	"errors"
	"fmt"
	"syscall"
)

// What can be wrong with an artifact, besides the host's own errors.
var (
	// ErrRef: a Ref that cannot be fetched wherever it leads.
	ErrRef = errors.New("bad reference")
	// ErrNotFetched: it is not in the cache, or not whole; Fetch helps.
	ErrNotFetched = errors.New("not fetched")
	// ErrDigest: the bytes are others than those that were pinned.
	ErrDigest = errors.New("wrong digest")
	// ErrTooLarge: a bound of Options is exceeded.
	ErrTooLarge = errors.New("too large")
	// ErrFormat: neither an ELF object nor an archive.
	ErrFormat = errors.New("neither an ELF object, nor a tar.gz, nor a zip")
	// ErrArchive: an archive that is broken, or holds what none should.
	ErrArchive = errors.New("bad archive")
	// ErrMember: the archive is fine and has no such object.
	ErrMember = errors.New("no such object")
	// ErrStalled: the server took longer than one of the timeouts.
	ErrStalled = errors.New("stalled")
	// ErrStatus: the server answered, and not with 200.
	ErrStatus = errors.New("refused by the server")
	// ErrRedirect: a redirect that is not followed.
	ErrRedirect = errors.New("bad redirect")
	// ErrChanged: a file was written to while it was read.
	ErrChanged = errors.New("changed while it was read")
)

// explain says "disk full" where the kernel's words are easily overlooked.
func explain(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("disk full: %w", err)
	}
	return err
}
