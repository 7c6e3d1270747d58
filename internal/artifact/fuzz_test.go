package artifact

import (
	"archive/tar"
	"archive/zip"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// FuzzUnpack unpacks anything. What comes out stays below its folder, within
// its bounds, is made of files and folders alone, and has the digests that
// were noted; what is refused is refused as an archive, not by the disk.
func FuzzUnpack(f *testing.F) {
	f.Add(tgz(f, file("a.o"), tar.Header{Name: "d/", Typeflag: tar.TypeDir}, file("d/b")))
	f.Add(tgz(f, file("../a.o")))
	f.Add(tgz(f, file("a"), tar.Header{Name: "l", Typeflag: tar.TypeSymlink, Linkname: "/etc"}, file("l/b")))
	f.Add(zipOf(f, zipFile("a.o"), zipMode("d/", fs.ModeDir|0o755), zip.FileHeader{Name: "d/b"}))
	f.Add(zipOf(f, zipMode("l", fs.ModeSymlink|0o777), zipFile("l/b")))
	opt := Options{MaxUnpacked: 64 << 10, MaxEntries: 16}.withDefaults()
	f.Fuzz(func(t *testing.T, data []byte) {
		top := t.TempDir()
		dir := filepath.Join(top, "tree")
		must(t, os.Mkdir(dir, 0o755))
		src, err := os.Create(filepath.Join(top, "artifact"))
		must(t, err)
		defer src.Close()
		_, err = src.Write(data)
		must(t, err)

		s := &Store{opt: opt}
		err = s.grow(context.Background(), src, dir)
		if err == nil {
			must(t, verifyTree(dir))
		} else if !errors.Is(err, ErrArchive) && !errors.Is(err, ErrTooLarge) && !errors.Is(err, ErrFormat) {
			t.Errorf("refused by %v", err)
		}
		wantBounded(t, top, opt)
	})
}

// wantBounded looks at all that was written.
func wantBounded(t *testing.T, top string, opt Options) {
	t.Helper()
	var count int
	var size int64
	must(t, filepath.WalkDir(filepath.Join(top, "tree", files), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if !d.IsDir() {
			size += info.Size()
		}
		if count++; !d.IsDir() && !d.Type().IsRegular() {
			t.Errorf("%s is %v", path, d.Type())
		}
		return nil
	}))
	if count > opt.MaxEntries+1 || size > opt.MaxUnpacked {
		t.Errorf("%d entries of %d bytes came out", count-1, size)
	}
	entries, err := os.ReadDir(top)
	must(t, err)
	if len(entries) != 2 {
		t.Errorf("something came out beside the tree: %v", entries)
	}
}
