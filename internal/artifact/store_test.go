package artifact

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"reconciler/internal/testns"
)

func TestRestartNeedsNoNetwork(t *testing.T) {
	data := tgz(t, file("d/a.o"), file("README"))
	srv := serve(t, data, (*httptest.Server).Start)
	s := open(t, Options{})
	ref := Ref{URL: srv.URL + "/x", SHA256: strings.ToUpper(digest(data))}
	_, _, err := s.Object(ref)
	wantError(t, err, ErrNotFetched)
	fetch(t, s, ref)
	srv.CloseClientConnections()

	again, err := Open(s.dir, Options{})
	must(t, err)
	again.transport = nil // a request would panic
	fetch(t, again, ref)
	wantObject(t, again, ref, content("a.o", 8))
}

func TestMembers(t *testing.T) {
	one := tgz(t, file("d/a.o"), file("README"))
	two := zipOf(t, zipFile("a.o"), zipFile("b.o"), zipFile("README"))
	for _, c := range []struct {
		name string
		data []byte
		path string
		want error
	}{
		{"the only object", one, "", nil},
		{"one by name", two, "b.o", nil},
		{"which of two", two, "", ErrMember},
		{"absent", two, "c.o", ErrMember},
		{"a folder", one, "d", ErrMember},
		{"none", tgz(t, file("README")), "", ErrMember},
		{"no object", one, "README", ErrFormat},
		{"member of an object", elf("x"), "a.o", ErrMember},
		{"object that is none", tgz(t, tar8("a.o", 2)), "", ErrFormat},
		{"too large", tgz(t, tar8("a.o", 101)), "", ErrTooLarge},
	} {
		for _, sum := range []string{digest(c.data), ""} {
			t.Run(fmt.Sprintf("%s, pinned %v", c.name, sum != ""), func(t *testing.T) {
				s := open(t, Options{MaxObject: 100})
				ref := Ref{URL: "file://" + put(t, c.data), SHA256: sum, Path: c.path}
				if err := s.Fetch(context.Background(), ref); sum != "" {
					must(t, err)
				} else {
					wantError(t, err, c.want)
				}
				_, _, err := s.Object(ref)
				wantError(t, err, c.want)
			})
		}
	}
}

// TestBitRot flips each file of the cache in turn, and a fetch mends it.
func TestBitRot(t *testing.T) {
	archive := tgz(t, file("a.o"), file("other"))
	for _, c := range []struct {
		name    string
		data    []byte
		damage  func(s *Store, sum string) error
		noticed bool // by Object
		asked   int64
	}{
		{"object", elf("abc"), func(s *Store, sum string) error { return flip(s.blob(sum), 5) }, true, 2},
		{"magic of an object", elf("abc"), func(s *Store, sum string) error { return flip(s.blob(sum), 0) }, true, 2},
		{"object cut", elf("abc"), func(s *Store, sum string) error { return os.Truncate(s.blob(sum), 5) }, true, 2},
		{"object gone", elf("abc"), func(s *Store, sum string) error { return os.Remove(s.blob(sum)) }, true, 2},
		{"member", archive, func(s *Store, sum string) error { return flip(filepath.Join(s.tree(sum), files, "a.o"), 5) }, true, 1},
		{"member gone", archive, func(s *Store, sum string) error { return os.Remove(filepath.Join(s.tree(sum), files, "a.o")) }, true, 1},
		{"other member", archive, func(s *Store, sum string) error { return flip(filepath.Join(s.tree(sum), files, "other"), 5) }, false, 1},
		{"sums", archive, func(s *Store, sum string) error { return flip(filepath.Join(s.tree(sum), sums), 80) }, true, 1},
		{"sums gone", archive, func(s *Store, sum string) error { return os.Remove(filepath.Join(s.tree(sum), sums)) }, true, 1},
		{"sums cut", archive, func(s *Store, sum string) error { return os.Truncate(filepath.Join(s.tree(sum), sums), 0) }, true, 1},
		{"tree gone", archive, func(s *Store, sum string) error { return os.RemoveAll(s.tree(sum)) }, true, 1},
		{"tree and blob", archive, func(s *Store, sum string) error {
			return errors.Join(os.RemoveAll(s.tree(sum)), flip(s.blob(sum), 20))
		}, true, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			srv := serve(t, c.data, (*httptest.Server).Start)
			s := open(t, Options{})
			ref := Ref{URL: srv.URL + "/x", SHA256: digest(c.data)}
			fetch(t, s, ref)
			want, _, err := s.Object(ref)
			must(t, err)
			must(t, c.damage(s, ref.SHA256))
			if c.noticed {
				_, _, err = s.Object(ref)
				wantError(t, err, ErrNotFetched)
				_, _, err = s.Object(ref)
				wantError(t, err, ErrNotFetched)
			}
			fetch(t, s, ref)
			wantObject(t, s, ref, want)
			if c.data[0] == 0x1f {
				must(t, verifyTree(s.tree(ref.SHA256)))
			}
			if n := srv.asked.Load(); n != c.asked {
				t.Errorf("%d requests, want %d", n, c.asked)
			}
			wantClean(t, s)
		})
	}
}

func flip(path string, at int) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return os.WriteFile(path, flipped(data, at), 0o644)
}

// TestLeftovers finds what a kill left, and what is in use by another process.
func TestLeftovers(t *testing.T) {
	s := open(t, Options{})
	write(t, filepath.Join(s.dir, tmpPrefix+"1"), elf("half"))
	write(t, filepath.Join(s.dir, tmpPrefix+"2", files, "a.o"), elf("half"))
	lock, err := s.lock(syscall.LOCK_SH)
	must(t, err)
	_, err = Open(s.dir, Options{})
	must(t, err)
	if _, err := os.Stat(filepath.Join(s.dir, tmpPrefix+"1")); err != nil {
		t.Errorf("what a fetch works on was collected: %v", err)
	}
	must(t, lock.Close())
	_, err = Open(s.dir, Options{})
	must(t, err)
	wantClean(t, s)
}

func TestConcurrentFetchers(t *testing.T) {
	data := tgz(t, file("a.o"), file("d/b"), file("d/e/c"))
	srv := serve(t, data, (*httptest.Server).Start)
	dir := t.TempDir()
	ref := Ref{URL: srv.URL + "/x", SHA256: digest(data)}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() { // each as a process of its own would
			for range 5 {
				s, err := Open(dir, Options{})
				if err == nil {
					err = s.Fetch(context.Background(), ref)
				}
				if err == nil {
					_, _, err = s.Object(ref)
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	s, err := Open(dir, Options{})
	must(t, err)
	wantClean(t, s)
	wantObject(t, s, ref, content("a.o", 8))
}

// TestTreeOfAnother plants a tree where another fetcher was first.
func TestTreeOfAnother(t *testing.T) {
	s := open(t, Options{})
	data := tgz(t, file("a.o"))
	ref := Ref{File: put(t, data), SHA256: digest(data)}
	fetch(t, s, ref)
	must(t, s.unfold(context.Background(), ref.SHA256))
	wantClean(t, s)
	wantObject(t, s, ref, content("a.o", 8))
}

func TestDiskFull(t *testing.T) {
	testns.NeedRoot(t)
	noise := make([]byte, 1<<20) // does not compress
	random := rand.New(rand.NewPCG(1, 2))
	for i := range noise {
		noise[i] = byte(random.Uint32())
	}
	zeros := tgz(t, tar8("a.o", 4<<20))
	for _, c := range []struct {
		name string
		data []byte
	}{
		{"downloading", append(elf(""), noise...)},
		{"unpacking", zeros},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			must(t, syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=512k"))
			defer func() { must(t, syscall.Unmount(dir, 0)) }()
			s, err := Open(dir, Options{})
			must(t, err)
			srv := serve(t, c.data, (*httptest.Server).Start)
			ref := Ref{URL: srv.URL + "/x", SHA256: digest(c.data)}
			err = s.Fetch(context.Background(), ref)
			wantError(t, err, syscall.ENOSPC)
			if !strings.Contains(err.Error(), "disk full") {
				t.Errorf("error %v, want one that says disk full", err)
			}
			wantClean(t, s)
			_, _, err = s.Object(ref)
			wantError(t, err, ErrNotFetched)
			small := tgz(t, file("b.o"))
			fetch(t, s, Ref{File: put(t, small), SHA256: digest(small)})
		})
	}
}

func TestKeep(t *testing.T) {
	s := open(t, Options{})
	var refs []Ref
	for i := range rollbacks + 4 {
		data := tgz(t, tar8("a.o", 8+i))
		ref := Ref{File: put(t, data), SHA256: digest(data)}
		fetch(t, s, ref)
		then := time.Now().Add(time.Duration(i-100) * time.Minute)
		must(t, os.Chtimes(s.blob(ref.SHA256), then, then))
		must(t, os.Chtimes(s.tree(ref.SHA256), then, then))
		refs = append(refs, ref)
	}
	keep := func(wanted []Ref, gone ...int) {
		t.Helper()
		must(t, s.Keep(wanted))
		for i, ref := range refs {
			_, _, err := s.Object(ref)
			want := error(nil)
			for _, g := range gone {
				if g == i {
					want = ErrNotFetched
				}
			}
			wantError(t, err, want)
			if _, err := os.Stat(s.blob(ref.SHA256)); (err == nil) != (want == nil) {
				t.Errorf("blob %d: %v", i, err)
			}
		}
		wantClean(t, s)
	}
	lock, err := s.lock(syscall.LOCK_SH)
	must(t, err)
	keep(refs[:2]) // nothing goes while somebody fetches
	must(t, lock.Close())
	keep(refs[:2], 2, 3)       // 4 to 11 are the last 8
	keep(refs[1:2], 2, 3, 4)   // 0, the oldest, was in use until now
	keep(nil, 2, 3, 4, 5)      // and so was 1
	keep(refs[:2], 2, 3, 4, 5) // back again
}

// TestKeepForgets lets go of what is in memory.
func TestKeepForgets(t *testing.T) {
	s := open(t, Options{})
	path := put(t, elf("x"))
	age(t, path)
	wantObject(t, s, Ref{File: path}, elf("x"))
	if len(s.objects) != 1 {
		t.Fatalf("%d objects in memory, want 1", len(s.objects))
	}
	must(t, s.Keep([]Ref{{File: path}}))
	if len(s.objects) != 1 {
		t.Error("an object that is wanted was forgotten")
	}
	must(t, s.Keep(nil))
	if len(s.objects) != 0 {
		t.Error("an object that nobody wants is still in memory")
	}
}

func TestOpenFails(t *testing.T) {
	if _, err := Open(put(t, nil), Options{}); !errors.Is(err, syscall.ENOTDIR) {
		t.Errorf("error %v, want ENOTDIR", err)
	}
}

// TestLimitsOfDownloads meets them with local files.
func TestLimitsOfDownloads(t *testing.T) {
	data := append(elf(""), bytes.Repeat([]byte{0}, 1000)...)
	ref := Ref{File: put(t, data), SHA256: digest(data)}
	fetch(t, open(t, Options{}), ref)
	wantError(t, open(t, Options{MaxDownload: 1003}).Fetch(context.Background(), ref), ErrTooLarge)
	wantError(t, open(t, Options{MaxObject: 1003}).Fetch(context.Background(), ref), ErrTooLarge)
}
