package state

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

var testIdentity = Identity{Name: "4026532177", Cookie: 7, Boot: "boot-1"}

func mustOpen(t *testing.T, base string, id Identity) *Dir {
	t.Helper()
	d, err := open(base, id)
	if err != nil {
		t.Fatal(err)
	}
	d.mutator = testMutator(base)
	return d
}

func TestOpenMakesAPrivateDirectory(t *testing.T) {
	base := filepath.Join(t.TempDir(), "lib", "reconciler")
	d := mustOpen(t, base, testIdentity)
	info, err := os.Stat(filepath.Join(base, testIdentity.Name))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o700 {
		t.Errorf("mode %v, want 0700", info.Mode().Perm())
	}
	if got, want := d.Path("x"), filepath.Join(base, testIdentity.Name, "x"); got != want {
		t.Errorf("path %s, want %s", got, want)
	}
	if d.Identity() != testIdentity {
		t.Errorf("identity %v", d.Identity())
	}
}

func TestOpenNarrowsALooseDirectory(t *testing.T) {
	base := t.TempDir()
	mustOpen(t, base, testIdentity)
	path := filepath.Join(base, testIdentity.Name)
	if err := os.Remove(filepath.Join(path, identityFile)); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o755); err != nil {
		t.Fatal(err)
	}
	mustOpen(t, base, testIdentity)
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o700 {
		t.Errorf("mode %v, want 0700", info.Mode().Perm())
	}
}

// What is found must prove that it belongs to the live namespace.
func TestOpenKeepsOnlyItsOwn(t *testing.T) {
	host := Identity{Name: Host, Cookie: 1, Boot: "boot-1"}
	for _, c := range []struct {
		name       string
		was, is    Identity
		keeps      bool
		corruption string // written over the proof
	}{
		{"the same", testIdentity, testIdentity, true, ""},
		{"inode used again", testIdentity, Identity{testIdentity.Name, 8, "boot-1"}, false, ""},
		{"inode used again after a boot", testIdentity, Identity{testIdentity.Name, 7, "boot-2"}, false, ""},
		{"host after a boot", host, Identity{Host, 1, "boot-2"}, true, ""},
		{"no proof", testIdentity, testIdentity, false, "{"},
		{"another's proof", testIdentity, testIdentity, false, `{"name":"4026532999","cookie":7,"boot":"boot-1"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			base := t.TempDir()
			d := mustOpen(t, base, c.was)
			if err := d.WriteFile("undo.json", []byte("way back")); err != nil {
				t.Fatal(err)
			}
			if c.corruption != "" {
				if err := d.WriteFile(identityFile, []byte(c.corruption)); err != nil {
					t.Fatal(err)
				}
			}
			again := mustOpen(t, base, c.is)
			data, err := again.ReadFile("undo.json")
			if c.keeps {
				if string(data) != "way back" {
					t.Fatalf("lost its content: %v", err)
				}
				return
			}
			if !errors.Is(err, fs.ErrNotExist) {
				t.Fatalf("kept what is not its own: %q, %v", data, err)
			}
			aside, _ := os.ReadFile(filepath.Join(base, c.was.Name+staleSuffix, "undo.json"))
			if string(aside) != "way back" {
				t.Error("not set aside")
			}
			if id, err := readIdentity(again.path); err != nil || id != c.is {
				t.Errorf("proof %v, %v; want %v", id, err, c.is)
			}
		})
	}
}

func TestOneGenerationIsSetAside(t *testing.T) {
	base := t.TempDir()
	for cookie := range uint64(4) {
		d := mustOpen(t, base, Identity{testIdentity.Name, cookie + 1, "boot-1"})
		if err := d.WriteFile("n", []byte{byte('1' + cookie)}); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := filepath.Glob(filepath.Join(base, "4*"))
	if err != nil || len(entries) != 2 {
		t.Fatalf("want the directory and one .stale, got %v, %v", entries, err)
	}
	if data, _ := os.ReadFile(filepath.Join(base, testIdentity.Name+staleSuffix, "n")); string(data) != "3" {
		t.Errorf("set aside %q, want the latest", data)
	}
}

// A crash between setting aside, making the directory and writing the proof
// leaves something without proof, which the next start replaces.
func TestOpenAfterACrashInOpen(t *testing.T) {
	for name, leave := range map[string]func(path string) error{
		"set aside only": func(path string) error { return os.Rename(path, path+staleSuffix) },
		"no proof yet":   func(path string) error { return os.Remove(filepath.Join(path, identityFile)) },
		"half a proof": func(path string) error {
			return os.Rename(filepath.Join(path, identityFile), filepath.Join(path, tmpPrefix+identityFile+"-1"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			base := t.TempDir()
			d := mustOpen(t, base, testIdentity)
			if err := leave(d.path); err != nil {
				t.Fatal(err)
			}
			d = mustOpen(t, base, testIdentity)
			if err := d.WriteFile("a", []byte("b")); err != nil {
				t.Fatal(err)
			}
			if id, err := readIdentity(d.path); err != nil || id != testIdentity {
				t.Errorf("proof %v, %v", id, err)
			}
		})
	}
}

func TestOpenTogether(t *testing.T) {
	base := t.TempDir()
	mustOpen(t, base, Identity{testIdentity.Name, 1, "boot-0"})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := open(base, testIdentity); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if id, err := readIdentity(filepath.Join(base, testIdentity.Name)); err != nil || id != testIdentity {
		t.Errorf("proof %v, %v", id, err)
	}
}

func TestRemove(t *testing.T) {
	d := mustOpen(t, t.TempDir(), testIdentity)
	if err := d.WriteFile("a", nil); err != nil {
		t.Fatal(err)
	}
	for range 2 { // none is no error
		if err := d.Remove("a"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := d.ReadFile("a"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("still there: %v", err)
	}
}
