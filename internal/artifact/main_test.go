package artifact

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wantError fails unless an error is the one that is wanted, or none if that is
// nil.
func wantError(t testing.TB, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Fatalf("error %q, want %v", fmt.Sprint(got), want)
	}
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// elf is what this package takes for an object.
func elf(content string) []byte { return []byte("\x7fELF" + content) }

func write(t testing.TB, path string, data []byte) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(t, os.WriteFile(path, data, 0o644))
}

// put writes a file into a folder of its own and returns its path.
func put(t testing.TB, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "artifact")
	write(t, path, data)
	return path
}

func open(t testing.TB, o Options) *Store {
	t.Helper()
	s, err := Open(filepath.Join(t.TempDir(), "cache"), o)
	must(t, err)
	return s
}

func fetch(t testing.TB, s *Store, ref Ref) {
	t.Helper()
	must(t, s.Fetch(context.Background(), ref))
}

// wantObject fails unless the cache has the object.
func wantObject(t testing.TB, s *Store, ref Ref, want []byte) {
	t.Helper()
	data, sum, err := s.Object(ref)
	must(t, err)
	if !bytes.Equal(data, want) || sum != digest(want) {
		t.Fatalf("object of %v is %q (%s), want %q", ref, data, sum, want)
	}
}

// wantClean fails if something unfinished stands in the cache.
func wantClean(t testing.TB, s *Store) {
	t.Helper()
	entries, err := os.ReadDir(s.dir)
	must(t, err)
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), tmpPrefix) {
			t.Errorf("%s is left", e.Name())
		}
	}
}

// listing is each file and folder below a folder, with its mode, sorted.
func listing(t testing.TB, dir string) (found []string) {
	t.Helper()
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		found = append(found, info.Mode().String()+" "+rel)
		return err
	}))
	return found
}

// tarred is a tar of headers. A regular file holds its own size in bytes, an
// object where the name ends in .o.
func tarred(t testing.TB, headers ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		if h.Typeflag == 0 {
			h.Typeflag = tar.TypeReg
		}
		if h.Mode == 0 && h.Typeflag != tar.TypeXGlobalHeader {
			h.Mode = 0o644
		}
		must(t, w.WriteHeader(&h))
		if h.Typeflag == tar.TypeReg {
			_, err := w.Write(content(h.Name, int(h.Size)))
			must(t, err)
		}
	}
	must(t, w.Close())
	return b.Bytes()
}

func content(name string, size int) []byte {
	data := bytes.Repeat([]byte{'x'}, size)
	if strings.HasSuffix(name, ".o") {
		copy(data, elf(""))
	}
	return data
}

func gzipped(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write(data)
	must(t, err)
	must(t, w.Close())
	return b.Bytes()
}

func tgz(t testing.TB, headers ...tar.Header) []byte {
	t.Helper()
	return gzipped(t, tarred(t, headers...))
}

// file is the header of a regular file.
func file(name string) tar.Header { return tar.Header{Name: name, Size: 8} }

// zipOf is a zip of headers, filled as a tar would be with 8 bytes a file.
func zipOf(t testing.TB, headers ...zip.FileHeader) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, h := range headers {
		out, err := w.CreateHeader(&h)
		must(t, err)
		if !strings.HasSuffix(h.Name, "/") {
			_, err = out.Write(content(h.Name, 8))
			must(t, err)
		}
	}
	must(t, w.Close())
	return b.Bytes()
}

func zipFile(name string) zip.FileHeader {
	return zip.FileHeader{Name: name, Method: zip.Deflate}
}

func zipMode(name string, mode fs.FileMode) zip.FileHeader {
	h := zipFile(name)
	h.SetMode(mode)
	return h
}
