package desired

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"path"
	"time"

	"reconciler/internal/resource"
	"reconciler/internal/strict"
)

// maxObject bounds an object of the tree, in bytes; sources have it too.
const maxObject = 4 << 20

// surroundings are what a document is built in: the host, and the tree with
// the objects that programs name.
type surroundings struct {
	fs   fs.FS
	arch string // as Go names it
	now  time.Time
	// balancer is what the build has of one; nil for nothing.
	balancer *Balancer
	layered  bool
	objects  map[string]*resource.Blob // by path, once they are read
}

// path is that of a file of the tree that a file of YAML names. A layer is
// moved as a whole, so its files name each other from where they are.
func (s *surroundings) path(from *strict.File, name string) string {
	if !s.layered {
		return name
	}
	return path.Join(path.Dir(from.Name), name)
}

// object reads an object, once for all hosts.
func (s *surroundings) object(name string) (*resource.Blob, *strict.Problem) {
	if blob := s.objects[name]; blob != nil {
		return blob, nil
	}
	info, err := fs.Stat(s.fs, name)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrInvalid):
		return nil, strict.Problemf("missing-file", "there is no %s in the tree", name).Hinted("an absolute path is the host's")
	case err != nil:
		return nil, strict.Problemf("unreadable", "read %s: %s", name, err)
	case !info.Mode().IsRegular():
		return nil, strict.Problemf("unreadable", "%s is no regular file", name)
	case info.Size() > maxObject:
		return nil, strict.Problemf("too-large", "%s has %d bytes, more than %d", name, info.Size(), maxObject)
	}
	content, err := fs.ReadFile(s.fs, name)
	if err != nil {
		return nil, strict.Problemf("unreadable", "read %s: %s", name, err)
	}
	sum := sha256.Sum256(content)
	blob := &resource.Blob{SHA256: hex.EncodeToString(sum[:]), Bytes: content}
	s.objects[name] = blob
	return blob, nil
}
