package artifact

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// pinned reads an object from the cache. What is damaged there is removed.
func (s *Store) pinned(p place) (object, error) {
	dir := s.tree(p.sum)
	members, err := readSums(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return s.blobObject(p)
	}
	var o object
	if err == nil {
		o, err = s.memberObject(dir, members, p.member)
	}
	return o, s.condemn(dir, err)
}

// condemn removes what an error says is damaged.
func (s *Store) condemn(path string, err error) error {
	if !missing(err) {
		return err
	}
	if err := s.discard(path); err != nil {
		return fmt.Errorf("remove what is damaged: %w", err)
	}
	return fmt.Errorf("%w: what was there is damaged: %w", ErrNotFetched, err)
}

func (s *Store) memberObject(dir string, members []member, want string) (object, error) {
	m, err := choose(members, want)
	if err != nil {
		return object{}, err
	}
	return s.verified(filepath.Join(dir, files, m.name), m.sum)
}

// verified reads an object whose digest is known.
func (s *Store) verified(path, sum string) (object, error) {
	o, err := s.read(path, func(f *os.File, size int64) ([]byte, error) { return s.readObject(f, size) })
	if err == nil {
		err = compare(o.sum, sum)
	}
	if err == nil {
		err = checkObject(o.data)
	}
	return o, err
}

// blobObject reads an artifact that is an object itself.
func (s *Store) blobObject(p place) (object, error) {
	path := s.blob(p.sum)
	f, _, err := openRegular(path)
	if errors.Is(err, fs.ErrNotExist) {
		return object{}, ErrNotFetched
	}
	if err != nil {
		return object{}, err
	}
	what, err := sniff(f)
	f.Close()
	if err != nil {
		return object{}, err
	}
	if what == formTarGz || what == formZip {
		return object{}, fmt.Errorf("%w: it is not unpacked", ErrNotFetched)
	}
	if p.member != "" {
		return object{}, bare(p.member)
	}
	o, err := s.verified(path, p.sum)
	return o, s.condemn(path, err)
}
