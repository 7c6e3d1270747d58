package source

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"
)

// large is an object that a bound of YAML would refuse, and that Git packs as
// it is.
func large() string { return noise(MaxFile + 4096) }

// holds wants exactly these files in a tree, also as a file system.
func holds(t *testing.T, tree Tree, want map[string]string) {
	t.Helper()
	if len(tree.Files) != len(want) {
		t.Errorf("%d files, want %d", len(tree.Files), len(want))
	}
	for name, content := range want {
		got, err := fs.ReadFile(tree.FS(), name)
		if err != nil || string(got) != content {
			t.Errorf("%s: %d bytes, %v; want %d", name, len(got), err, len(content))
		}
	}
}

func TestDirCarriesObjects(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	write(t, root+"/net.yaml", "one")
	write(t, root+"/bpf/count.bpf.o", large())
	write(t, root+"/bpf/count.bpf.c", "int x;")
	r := start(t, NewDir(root, DirOptions{}))
	first := r.tree(1, waitLong)
	holds(t, first, map[string]string{"net.yaml": "one", "bpf/count.bpf.o": large()})
	write(t, root+"/bpf/count.bpf.o", "two")
	second := r.tree(2, waitLong)
	holds(t, second, map[string]string{"net.yaml": "one", "bpf/count.bpf.o": "two"})
	if first.Revision == second.Revision {
		t.Error("another object is the same revision")
	}
}

func TestGitCarriesObjects(t *testing.T) {
	t.Parallel()
	repo := newRepository(t)
	write(t, repo.work+"/edge/bpf/count.bpf.o", large())
	write(t, repo.work+"/elsewhere.o", "not below the path")
	repo.push("edge/net.yaml", "one")
	r := start(t, repo.source(GitOptions{Path: "edge"}))
	holds(t, r.tree(1, waitLong), map[string]string{"net.yaml": "one", "bpf/count.bpf.o": large()})
	repo.push("edge/bpf/count.bpf.o", "two")
	holds(t, r.tree(2, waitLong), map[string]string{"net.yaml": "one", "bpf/count.bpf.o": "two"})
}

// TestObjectsHaveBoundsOfTheirOwn writes a directory, and the same to Git, and
// wants the trouble to name the file that is one too many.
func TestObjectsHaveBoundsOfTheirOwn(t *testing.T) {
	for _, c := range []struct {
		name  string
		files map[string]int // sizes
		want  error
		names string
	}{
		{"beside a full measure of YAML", map[string]int{"a.yaml": MaxFile, "b.yaml": MaxFile, "c.o": MaxObject}, nil, ""},
		{"full measure", sized(8, MaxObject), nil, ""},
		{"large object", map[string]int{"a.yaml": 1, "big.o": MaxObject + 1}, ErrTooLarge, "big.o"},
		{"many objects", sized(9, MaxObject), ErrTooLarge, ".o"},
		{"objects alone", map[string]int{"a.o": 1}, ErrEmpty, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			repo := newRepository(t)
			for name, size := range c.files {
				write(t, repo.work+"/"+name, strings.Repeat("x", size))
			}
			tree, err := ReadDir(repo.work)
			refuses(t, err, c.want, c.names)
			if err == nil && len(tree.Files) != len(c.files) {
				t.Errorf("%d files, want %d", len(tree.Files), len(c.files))
			}
			repo.push("readme", "x")
			r := start(t, repo.source(GitOptions{}))
			if c.want == nil {
				r.tree(1, waitLong)
				return
			}
			refuses(t, r.sick(waitLong, isErr(c.want)), c.want, c.names)
		})
	}
}

func refuses(t *testing.T, err, want error, name string) {
	t.Helper()
	if !errors.Is(err, want) || want != nil && !strings.Contains(err.Error(), name) {
		t.Errorf("got %v, want %v with %s", err, want, name)
	}
}

// sized is a file of YAML and n objects of a size.
func sized(n, size int) map[string]int {
	files := map[string]int{"a.yaml": 1}
	for i := range n {
		files[fmt.Sprintf("%d.o", i)] = size
	}
	return files
}

func TestStoreKeepsObjects(t *testing.T) {
	dir := t.TempDir()
	saved := tree("aaaa1", "one")
	saved.Files["bpf/count.bpf.o"] = []byte(large())
	must(t, openStore(t, dir).Save(saved))
	got, err := openStore(t, dir).Get("aaaa1")
	must(t, err)
	holds(t, got, map[string]string{"net.yaml": "one", "bpf/count.bpf.o": large()})
	saved.Files["bpf/count.bpf.o"] = []byte("two")
	s := openStore(t, dir)
	must(t, s.Mark("aaaa1", Bad, "why"))
	must(t, s.Save(saved))
	if snap, _ := s.Current(); snap.Verdict != Unjudged {
		t.Errorf("the verdict on another object stays %s", snap.Verdict)
	}
}

func TestObjectThatIsNoFile(t *testing.T) {
	root := t.TempDir()
	write(t, root+"/net.yaml", "one")
	must(t, os.Symlink("gone.o", root+"/count.o"))
	_, err := ReadDir(root)
	if !errors.Is(err, ErrMissing) {
		t.Errorf("got %v, want ErrMissing", err)
	}
}
