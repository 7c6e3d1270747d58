package artifact

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"syscall"
	"time"
)

// racy is how old a change must be for the next one to be sure to show in the
// file's times.
const racy = time.Second

// stamp changes when a file does.
type stamp struct {
	dev, ino     uint64
	size         int64
	mtime, ctime syscall.Timespec
}

func stampOf(info fs.FileInfo) stamp {
	st := info.Sys().(*syscall.Stat_t)
	return stamp{uint64(st.Dev), uint64(st.Ino), st.Size, st.Mtim, st.Ctim}
}

// object is what was read last for a Ref, and what it was read from.
type object struct {
	path  string
	stamp stamp
	data  []byte
	sum   string
}

func (o object) fresh() bool {
	info, err := os.Stat(o.path)
	return err == nil && stampOf(info) == o.stamp
}

// settled tells that another change would change the stamp as well.
func (o object) settled() bool {
	return time.Since(time.Unix(o.stamp.ctime.Unix())) > racy
}

// Object is the object that ref means and its SHA-256 in hex, from the disk
// alone. It fails with ErrNotFetched where Fetch would help: what is not as it
// was written is removed from the cache. The caller must not change the data.
func (s *Store) Object(ref Ref) (data []byte, sum string, err error) {
	p, err := ref.place()
	var o object
	if err == nil {
		o, err = s.object(ref, p)
	}
	if err != nil {
		return nil, "", fmt.Errorf("read %v: %w", ref, err)
	}
	return o.data, o.sum, nil
}

func (s *Store) object(ref Ref, p place) (object, error) {
	s.mu.Lock()
	o, ok := s.objects[ref]
	s.mu.Unlock()
	if ok && o.fresh() {
		return o, nil
	}
	read := s.pinned
	if p.sum == "" {
		read = s.live
	}
	o, err := read(p)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil && o.settled() {
		s.objects[ref] = o
	} else {
		delete(s.objects, ref)
	}
	return o, err
}

// live reads a local file as it is now.
func (s *Store) live(p place) (object, error) {
	return s.read(p.file, func(f *os.File, size int64) ([]byte, error) {
		what, err := sniff(f)
		switch {
		case err != nil:
			return nil, err
		case what == formless:
			return nil, ErrFormat
		case what == formELF && p.member != "":
			return nil, bare(p.member)
		case what == formELF:
			return s.readObject(f, size)
		case size > s.opt.MaxDownload:
			return nil, fmt.Errorf("%w: %d bytes, more than %d", ErrTooLarge, size, s.opt.MaxDownload)
		}
		picked := picker{store: s, want: p.member}
		if err := unpack(context.Background(), f, s.opt, &picked); err != nil {
			return nil, err
		}
		return picked.object()
	})
}

func bare(member string) error {
	return fmt.Errorf("%w: %q in an object that is no archive", ErrMember, member)
}

// read reads a regular file by a function, and sees whether somebody wrote to
// it meanwhile.
func (s *Store) read(path string, by func(f *os.File, size int64) ([]byte, error)) (object, error) {
	f, info, err := openRegular(path)
	if err != nil {
		return object{}, err
	}
	defer f.Close()
	data, readErr := by(f, info.Size())
	after, err := f.Stat()
	switch {
	case err != nil:
		return object{}, err
	case stampOf(after) != stampOf(info):
		return object{}, ErrChanged
	case readErr != nil:
		return object{}, readErr
	}
	sum := sha256.Sum256(data)
	return object{path, stampOf(info), data, hex.EncodeToString(sum[:])}, nil
}

// readObject reads what is size bytes long, or should be.
func (s *Store) readObject(r io.Reader, size int64) ([]byte, error) {
	if err := s.fits(size); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if _, err := b.ReadFrom(io.LimitReader(r, s.opt.MaxObject+1)); err != nil {
		return nil, err
	}
	if err := s.fits(int64(b.Len())); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func checkObject(data []byte) error {
	if formOf(data) != formELF {
		return fmt.Errorf("%w: it is no ELF object", ErrFormat)
	}
	return nil
}

// openRegular opens a file, and does not wait for one that is a pipe.
func openRegular(path string) (*os.File, fs.FileInfo, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%w: %s is no regular file", ErrFormat, path)
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, info, nil
}

// picker is a sink that keeps the one object that is wanted, in memory.
type picker struct {
	store   *Store
	want    string
	members []member
	kept    string
	data    []byte
}

func (p *picker) folder(string) error { return nil }

func (p *picker) file(name string, _ bool, r io.Reader) error {
	p.members = append(p.members, member{name: name})
	if p.kept != "" || name != p.want && (p.want != "" || path.Ext(name) != ".o") {
		_, err := io.Copy(io.Discard, r)
		return err
	}
	data, err := p.store.readObject(r, 0)
	p.kept, p.data = name, data
	return err
}

func (p *picker) object() ([]byte, error) {
	if _, err := choose(p.members, p.want); err != nil {
		return nil, err
	}
	return p.data, checkObject(p.data)
}
