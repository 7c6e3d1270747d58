package artifact

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// Tree is where all that is in an archive stands, executables as such, as long
// as the cache has it. It fails with ErrNotFetched where it does not.
func (s *Store) Tree(ref Ref) (string, error) {
	p, err := ref.place()
	if err == nil {
		err = verifyTree(s.tree(p.sum))
	}
	if missing(err) {
		err = ErrNotFetched
	}
	if err != nil {
		return "", fmt.Errorf("read %v: %w", ref, err)
	}
	return filepath.Join(s.tree(p.sum), files), nil
}

// Move takes all that is in an archive out of the cache, to a path on the same
// file system that is not there. The archive stays, so Fetch unpacks it again
// without a network.
func (s *Store) Move(ref Ref, to string) error {
	if err := s.move(ref, to); err != nil {
		return fmt.Errorf("move %v: %w", ref, explain(err))
	}
	return nil
}

func (s *Store) move(ref Ref, to string) error {
	lock, err := s.lock(syscall.LOCK_SH)
	if err != nil {
		return err
	}
	defer lock.Close()
	from, err := s.Tree(ref)
	if err != nil {
		return err
	}
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return errors.Join(syncDir(filepath.Dir(to)), s.discard(filepath.Dir(from)))
}
