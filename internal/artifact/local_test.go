package artifact

import (
	"archive/tar"
	"bytes"
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

func tar8(name string, size int) tar.Header { return tar.Header{Name: name, Size: int64(size)} }

// age waits until a file's times are old enough to be believed.
func age(t *testing.T, path string) {
	t.Helper()
	info, err := os.Stat(path)
	must(t, err)
	for !(object{stamp: stampOf(info)}).settled() {
		time.Sleep(10 * time.Millisecond)
	}
}

func TestLocalIsLive(t *testing.T) {
	s := open(t, Options{})
	path := put(t, elf("one"))
	ref := Ref{URL: "file://" + path}
	wantObject(t, s, ref, elf("one"))
	for _, c := range []struct {
		name   string
		change func() error
		want   []byte
	}{
		{"written at once", func() error { return os.WriteFile(path, elf("two"), 0o644) }, elf("two")},
		{"of the same size and time", func() error {
			age(t, path)
			info, err := os.Stat(path)
			must(t, err)
			wantObject(t, s, ref, elf("two"))
			must(t, os.WriteFile(path, elf("six"), 0o644))
			return os.Chtimes(path, info.ModTime(), info.ModTime())
		}, elf("six")},
		{"replaced by a rename", func() error {
			write(t, path+".new", elf("ten"))
			return os.Rename(path+".new", path)
		}, elf("ten")},
		{"by an archive", func() error { return os.WriteFile(path, tgz(t, file("a.o")), 0o644) }, content("a.o", 8)},
	} {
		must(t, c.change())
		wantObject(t, s, ref, c.want)
	}
	must(t, os.Remove(path))
	_, _, err := s.Object(ref)
	wantError(t, err, fs.ErrNotExist)
	wantError(t, s.Fetch(context.Background(), ref), fs.ErrNotExist)
	if left := listing(t, filepath.Join(s.dir, blobs)); len(left) != 1 {
		t.Errorf("a file that is not pinned was stored: %v", left)
	}
}

// TestUnchangedIsNotRead tells what was read anew by where it is in memory.
func TestUnchangedIsNotRead(t *testing.T) {
	s := open(t, Options{})
	data := tgz(t, file("a.o"))
	path := put(t, data)
	pinned := Ref{File: path, SHA256: digest(data)}
	fetch(t, s, pinned)
	age(t, filepath.Join(s.tree(pinned.SHA256), files, "a.o"))
	for _, ref := range []Ref{{File: path}, pinned} {
		first, _, err := s.Object(ref)
		must(t, err)
		second, _, err := s.Object(ref)
		must(t, err)
		if &first[0] != &second[0] {
			t.Errorf("%v was read twice", ref)
		}
	}
}

func TestLocalRefusals(t *testing.T) {
	dir := t.TempDir()
	must(t, syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o644))
	write(t, filepath.Join(dir, "text"), []byte("text"))
	write(t, filepath.Join(dir, "large"), append(elf(""), make([]byte, 100)...))
	write(t, filepath.Join(dir, "large.zip"), zipOf(t, zipFile("a.o"), zipFile("b")))
	write(t, filepath.Join(dir, "link.tgz"), tgz(t, file("a.o"), tar.Header{Name: "l", Typeflag: tar.TypeSymlink, Linkname: "a.o"}))
	write(t, filepath.Join(dir, "fine"), elf(""))
	must(t, os.Symlink("fine", filepath.Join(dir, "symlink")))
	for _, c := range []struct {
		name string
		want error
	}{
		{"fifo", ErrFormat}, {".", ErrFormat}, {"text", ErrFormat}, {"large", ErrTooLarge}, {"large.zip", ErrTooLarge},
		{"link.tgz", ErrArchive}, {"absent", fs.ErrNotExist}, {"fine", nil}, {"symlink", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := open(t, Options{MaxObject: 50, MaxDownload: 200})
			_, _, err := s.Object(Ref{File: filepath.Join(dir, c.name)})
			wantError(t, err, c.want)
		})
	}
}

// TestWrittenWhileRead reads a file that somebody writes to.
func TestWrittenWhileRead(t *testing.T) {
	s := open(t, Options{})
	path := put(t, elf("half"))
	_, err := s.read(path, func(f *os.File, size int64) ([]byte, error) {
		data, err := s.readObject(f, size)
		write(t, path, elf("half and half"))
		return data, err
	})
	wantError(t, err, ErrChanged)
	o, err := s.read(path, func(f *os.File, size int64) ([]byte, error) { return s.readObject(f, size) })
	must(t, err)
	if !bytes.Equal(o.data, elf("half and half")) {
		t.Errorf("read %q", o.data)
	}
}
