package source

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// noise does not compress.
func noise(n int) string {
	b := make([]byte, n)
	x := uint64(88172645463325252)
	for i := range b {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		b[i] = byte(x)
	}
	return string(b)
}

// A cache of another repository or ref is no reason to hold anything.
func TestGitAnotherOrigin(t *testing.T) {
	one, two := newRepository(t), newRepository(t)
	one.push("a.yaml", "one")
	two.push("b.yaml", "two")
	cache := t.TempDir()
	t.Run("one", func(t *testing.T) {
		start(t, one.source(GitOptions{Ref: "main", Cache: cache})).tree(1, waitLong)
	})
	r := start(t, two.source(GitOptions{Ref: "main", Cache: cache}))
	if got := show(r.tree(1, waitLong)); got != "b.yaml=two;" {
		t.Errorf("got %s", got)
	}
}

// Whatever a power cut or a broken disk makes of the cache, it is replaced.
func TestGitCorruptCache(t *testing.T) {
	each := func(pattern string, harm func(path string) error) func(*testing.T, string) {
		return func(t *testing.T, cache string) {
			found, err := filepath.Glob(cache + "/repo.git/" + pattern)
			must(t, err)
			if len(found) == 0 {
				t.Fatalf("nothing matches %s", pattern)
			}
			for _, path := range found {
				must(t, os.Chmod(path, 0o644))
				must(t, harm(path))
			}
		}
	}
	truncate := func(path string) error { return os.Truncate(path, 30) }
	scribble := func(path string) error {
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		return os.WriteFile(path, []byte(noise(int(info.Size()))), 0o644)
	}
	for name, harm := range map[string]func(t *testing.T, cache string){
		"pack truncated":   each("objects/pack/*.pack", truncate),
		"pack scribbled":   each("objects/pack/*.pack", scribble),
		"pack removed":     each("objects/pack/*.pack", os.Remove),
		"index truncated":  each("objects/pack/*.idx", truncate),
		"index scribbled":  each("objects/pack/*.idx", scribble),
		"index removed":    each("objects/pack/*.idx", os.Remove),
		"memory scribbled": func(t *testing.T, cache string) { must(t, scribble(cache+"/accepted.json")) },
		"repository a file": func(t *testing.T, cache string) {
			must(t, os.RemoveAll(cache+"/repo.git"))
			write(t, cache+"/repo.git", "x")
		},
	} {
		for _, push := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, push %v", name, push), func(t *testing.T) {
				t.Parallel()
				repo := newRepository(t)
				want := repo.push("a.yaml", "one")
				cache := t.TempDir()
				t.Run("first life", func(t *testing.T) {
					start(t, repo.source(GitOptions{Ref: "main", Cache: cache})).tree(1, waitLong)
				})
				harm(t, cache)
				if push {
					want = repo.push("b.yaml", "two")
				}
				r := start(t, repo.source(GitOptions{Ref: "main", Cache: cache}))
				if got := r.tree(1, waitLong); got.Revision != want || string(got.Files["a.yaml"]) != "one" {
					t.Errorf("got %s %s", got.Revision, show(got))
				}
				r.well(waitLong)
			})
		}
	}
}

func TestGitSweepsItsCache(t *testing.T) {
	repo := newRepository(t)
	repo.push("a.yaml", "one")
	cache := t.TempDir()
	left := cache + "/repo.git/objects/pack/tmp_pack_123"
	write(t, left, "half a pack")
	start(t, repo.source(GitOptions{Ref: "main", Cache: cache})).tree(1, waitLong)
	if _, err := os.Stat(left); err == nil {
		t.Error("what a kill left behind is still there")
	}
}

// Each push adds a pack; their number does not grow for ever.
func TestGitCacheStaysSmall(t *testing.T) {
	repo := newRepository(t)
	repo.push("a.yaml", "zero")
	cache := t.TempDir()
	s := repo.source(GitOptions{Ref: "main", Cache: cache, Poll: never})
	r := start(t, s)
	r.tree(1, waitLong)
	most := 0
	for i := range maxPacks + 3 {
		repo.push("a.yaml", fmt.Sprint(i))
		s.Sync()
		r.tree(i+2, waitLong)
		packs, err := filepath.Glob(cache + "/repo.git/objects/pack/*.pack")
		must(t, err)
		most = max(most, len(packs))
	}
	if most > maxPacks || most < maxPacks/2 {
		t.Errorf("%d packs at the most, want no more than %d", most, maxPacks)
	}
}

func TestGitRestartDownloadsNothing(t *testing.T) {
	repo := newRepository(t)
	repo.push("a.yaml", "one")
	f := newForge(t, repo)
	opt := f.options()
	opt.Cache = t.TempDir()
	for life := range 3 {
		t.Run(fmt.Sprint("life ", life), func(t *testing.T) {
			start(t, repo.source(opt)).tree(1, waitLong)
		})
	}
	if n := f.packs.Load(); n != 1 {
		t.Errorf("%d downloads in three lives", n)
	}
}

func TestGitFullDisk(t *testing.T) {
	repo := newRepository(t)
	repo.push("a.yaml", "one")
	r := start(t, repo.source(GitOptions{Ref: "main", Cache: smallDisk(t, "256k")}))
	r.tree(1, waitLong)
	repo.push("noise.bin", noise(1<<20))
	err := r.sick(waitLong, isErr(ErrDisk))
	t.Log(err)
	if r.count() != 1 {
		t.Error("a tree out of nowhere")
	}
}
