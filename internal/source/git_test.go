package source

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// repository is a bare repository with a working tree to push from.
type repository struct {
	t          *testing.T
	bare, work string
}

func newRepository(t *testing.T) *repository {
	t.Helper()
	r := &repository{t: t, bare: t.TempDir() + "/repo.git", work: t.TempDir()}
	r.git("init", "-q", "--bare", "-b", "main", r.bare)
	r.git("-C", r.bare, "config", "receive.denyDeleteCurrent", "ignore")
	r.git("init", "-q", "-b", "main", r.work)
	r.git("remote", "add", "origin", r.bare)
	return r
}

// git runs the git binary in the working tree and returns what it says.
func (r *repository) git(args ...string) string {
	r.t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = r.work
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null",
		"GIT_AUTHOR_NAME=Ann", "GIT_AUTHOR_EMAIL=ann@example.net",
		"GIT_COMMITTER_NAME=Ann", "GIT_COMMITTER_EMAIL=ann@example.net")
	out, err := cmd.CombinedOutput()
	if err != nil {
		r.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// push commits a file, pushes main, and returns the commit's hash.
func (r *repository) push(name, content string) string {
	r.t.Helper()
	write(r.t, r.work+"/"+name, content)
	r.git("add", "-A")
	r.git("commit", "-q", "-m", "set "+name)
	r.git("push", "-q", "origin", "HEAD:main")
	return r.git("rev-parse", "HEAD")
}

func (r *repository) source(opt GitOptions) Source {
	r.t.Helper()
	if opt.URL == "" {
		opt.URL = r.bare
	}
	if opt.Cache == "" {
		opt.Cache = r.t.TempDir()
	}
	if opt.Poll == 0 {
		opt.Poll = 100 * time.Millisecond
	}
	s, err := NewGit(opt)
	if err != nil {
		r.t.Fatal(err)
	}
	return s
}

func TestGitFollowsPushes(t *testing.T) {
	repo := newRepository(t)
	first := repo.push("a.yaml", "one")
	r := start(t, repo.source(GitOptions{Ref: "main"}))
	got := r.tree(1, waitLong)
	if got.Revision != first || got.Title != "set a.yaml" || got.Author != "Ann <ann@example.net>" {
		t.Errorf("got %+v", got)
	}
	second := repo.push("hosts/b.yaml", "two")
	got = r.tree(2, waitLong)
	if got.Revision != second || show(got) != "a.yaml=one;hosts/b.yaml=two;" {
		t.Errorf("got %s %s", got.Revision, show(got))
	}
}

// TestGitPaths are the ways to write a directory of a repository: the agent's
// file says "." for the root.
func TestGitPaths(t *testing.T) {
	repo := newRepository(t)
	repo.push("edge/a.yaml", "one")
	for path, want := range map[string]string{
		"": "edge/a.yaml=one;", ".": "edge/a.yaml=one;", "./": "edge/a.yaml=one;", "/": "edge/a.yaml=one;",
		"edge": "a.yaml=one;", "./edge/": "a.yaml=one;",
	} {
		r := start(t, repo.source(GitOptions{Ref: "main", Path: path}))
		if got := show(r.tree(1, waitLong)); got != want {
			t.Errorf("path %q: got %s, want %s", path, got, want)
		}
	}
}

func TestGitRefs(t *testing.T) {
	repo := newRepository(t)
	first := repo.push("a.yaml", "one")
	repo.git("tag", "light")
	repo.git("tag", "-a", "-m", "annotated", "heavy")
	repo.git("push", "-q", "origin", "light", "heavy", "HEAD:refs/heads/old", "HEAD:refs/heads/team/net")
	second := repo.push("a.yaml", "two")
	f := newForge(t, repo)
	for _, c := range []struct{ ref, want string }{
		{"", second}, {"HEAD", second}, {"main", second}, {"refs/heads/main", second},
		{"old", first}, {"team/net", first},
		{"light", first}, {"heavy", first}, {"refs/tags/heavy", first},
		{first, first}, {second, second},
	} {
		for name, opt := range map[string]GitOptions{"file": {URL: "file://" + repo.bare}, "https": f.options()} {
			t.Run(name+" "+c.ref, func(t *testing.T) {
				opt.Ref = c.ref
				got := start(t, repo.source(opt)).tree(1, 10*time.Second)
				if got.Revision != c.want {
					t.Errorf("got %s, want %s", got.Revision, c.want)
				}
			})
		}
	}
}

// A commit that is here needs no far side at all.
func TestGitPinnedCommitIsNotPolled(t *testing.T) {
	repo := newRepository(t)
	first := repo.push("a.yaml", "one")
	repo.push("a.yaml", "two")
	cache := t.TempDir()
	start(t, repo.source(GitOptions{Ref: first, Cache: cache})).tree(1, waitLong)
	must(t, os.Rename(repo.bare, repo.bare+".off"))
	r := start(t, repo.source(GitOptions{Ref: first, Cache: cache}))
	if got := show(r.tree(1, waitLong)); got != "a.yaml=one;" {
		t.Errorf("got %s", got)
	}
}

// Whatever is wrong, it is a condition with a name; the last tree stays; and
// once it is mended, the next one comes.
func TestGitTroubles(t *testing.T) {
	for _, c := range []struct {
		name   string
		opt    GitOptions
		change func(repo *repository)
		want   error
		mend   func(repo *repository)
	}{
		{
			name:   "repository gone",
			change: func(repo *repository) { must(repo.t, os.Rename(repo.bare, repo.bare+".off")) },
			want:   ErrMissing,
			mend: func(repo *repository) {
				must(repo.t, os.Rename(repo.bare+".off", repo.bare))
				repo.push("b.yaml", "two")
			},
		}, {
			name:   "branch deleted",
			change: func(repo *repository) { repo.git("push", "-q", "origin", "HEAD:side", ":main") },
			want:   ErrNoRef,
			mend:   func(repo *repository) { repo.push("b.yaml", "two") },
		}, {
			name: "branch rewritten",
			change: func(repo *repository) {
				repo.git("commit", "-q", "--amend", "-m", "another first")
				repo.git("push", "-q", "-f", "origin", "HEAD:main")
			},
			want: ErrRewritten,
			mend: func(repo *repository) {
				repo.git("reset", "-q", "--hard", "first")
				write(repo.t, repo.work+"/b.yaml", "two")
				repo.git("add", "-A")
				repo.git("commit", "-q", "-m", "descends")
				repo.git("push", "-q", "-f", "origin", "HEAD:main")
			},
		}, {
			name:   "branch set back",
			change: func(repo *repository) { repo.git("push", "-q", "-f", "origin", "first~1:main") },
			want:   ErrRewritten,
			mend:   func(repo *repository) { repo.push("b.yaml", "two") },
		}, {
			name: "another history",
			change: func(repo *repository) {
				repo.git("checkout", "-q", "--orphan", "alien")
				write(repo.t, repo.work+"/alien.yaml", "x")
				repo.git("add", "-A")
				repo.git("commit", "-q", "-m", "alien")
				repo.git("push", "-q", "-f", "origin", "HEAD:main")
			},
			want: ErrRewritten,
			mend: func(repo *repository) {
				repo.git("checkout", "-q", "-f", "first")
				write(repo.t, repo.work+"/b.yaml", "two")
				repo.git("add", "-A")
				repo.git("commit", "-q", "-m", "descends")
				repo.git("push", "-q", "-f", "origin", "HEAD:main")
			},
		}, {
			name:   "large file",
			change: func(repo *repository) { repo.push("big.yaml", strings.Repeat("x", MaxFile+1)) },
			want:   ErrTooLarge,
			mend:   func(repo *repository) { repo.push("big.yaml", "small") },
		}, {
			name: "large download",
			opt:  GitOptions{MaxRepo: 64 << 10},
			change: func(repo *repository) {
				repo.push("noise.bin", noise(256<<10))
			},
			want: ErrTooLarge,
			mend: func(repo *repository) {
				repo.git("reset", "-q", "--hard", "first")
				write(repo.t, repo.work+"/b.yaml", "two")
				repo.git("add", "-A")
				repo.git("commit", "-q", "-m", "without it")
				repo.git("push", "-q", "-f", "origin", "HEAD:main")
			},
		}, {
			name:   "path gone",
			opt:    GitOptions{Path: "fleet"},
			change: func(repo *repository) { repo.git("mv", "fleet", "float"); repo.push("b.yaml", "two") },
			want:   ErrMissing,
			mend:   func(repo *repository) { repo.push("fleet/b.yaml", "two") },
		}, {
			name: "nothing left",
			change: func(repo *repository) {
				repo.git("rm", "-q", "-r", "a.yaml", "fleet")
				repo.push("readme", "no YAML")
			},
			want: ErrEmpty,
			mend: func(repo *repository) { repo.push("b.yaml", "two") },
		}, {
			name: "symbolic link",
			change: func(repo *repository) {
				must(repo.t, os.Symlink("fleet", repo.work+"/hosts"))
				repo.push("b.yaml", "two")
			},
			want: ErrUnreadable,
			mend: func(repo *repository) { must(repo.t, os.Remove(repo.work+"/hosts")); repo.push("b.yaml", "three") },
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			repo := newRepository(t)
			repo.push("fleet/net.yaml", "zero")
			repo.push("a.yaml", "one")
			repo.git("tag", "first")
			c.opt.Ref = "main"
			r := start(t, repo.source(c.opt))
			r.tree(1, waitLong)
			c.change(repo)
			r.sick(waitLong, isErr(c.want))
			if n := r.count(); n != 1 {
				t.Fatalf("%d trees, want the first to stay", n)
			}
			c.mend(repo)
			r.tree(2, waitLong)
			r.well(waitLong)
		})
	}
}

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

func TestGitEmptyRepository(t *testing.T) {
	repo := newRepository(t)
	f := newForge(t, repo)
	for name, opt := range map[string]GitOptions{"file": {URL: repo.bare}, "https": f.options()} {
		r := start(t, repo.source(opt))
		err := r.sick(waitLong, isErr(ErrEmpty))
		t.Logf("%s: %v", name, err)
		if name == "https" {
			repo.push("a.yaml", "one")
			r.tree(1, waitLong)
			r.well(waitLong)
			return
		}
	}
}

// That a branch was rewritten is known after a restart as well, and with the
// cache corrupt.
func TestGitRewrittenWhileDown(t *testing.T) {
	for name, harm := range map[string]func(t *testing.T, cache string){
		"sound cache": func(*testing.T, string) {},
		"no cache":    func(t *testing.T, cache string) { must(t, os.RemoveAll(cache+"/repo.git")) },
	} {
		t.Run(name, func(t *testing.T) {
			repo := newRepository(t)
			repo.push("a.yaml", "one")
			cache := t.TempDir()
			t.Run("first life", func(t *testing.T) {
				start(t, repo.source(GitOptions{Ref: "main", Cache: cache})).tree(1, waitLong)
			})
			repo.git("commit", "-q", "--amend", "-m", "other")
			repo.git("push", "-q", "-f", "origin", "HEAD:main")
			harm(t, cache)
			t.Run("held", func(t *testing.T) {
				r := start(t, repo.source(GitOptions{Ref: "main", Cache: cache}))
				r.sick(waitLong, isErr(ErrRewritten))
				if r.count() != 0 {
					t.Error("taken nevertheless")
				}
			})
			t.Run("allowed", func(t *testing.T) {
				r := start(t, repo.source(GitOptions{Ref: "main", Cache: cache, AllowRewrite: true}))
				if got := r.tree(1, waitLong); got.Title != "other" {
					t.Errorf("got %q", got.Title)
				}
			})
		})
	}
}

// What never was in force may be taken back; what was, by a person's word.
func TestGitWayBackFromARewrite(t *testing.T) {
	repo := newRepository(t)
	good := repo.push("a.yaml", "good")
	src := repo.source(GitOptions{Ref: "main"})
	r := &running{t: t, source: src}
	startWith(t, r, r.deliver)
	r.tree(1, waitLong)
	history := src.(Historian)
	history.Accepted(good)
	repo.push("a.yaml", "bad")
	r.tree(2, waitLong)
	repo.git("push", "-q", "-f", "origin", good+":main")
	if got := r.tree(3, waitLong); got.Revision != good {
		t.Errorf("took %s, want %s back", got.Revision, good)
	}
	repo.git("reset", "-q", "--hard", good)
	repo.git("commit", "-q", "--amend", "-m", "other")
	repo.git("push", "-q", "-f", "origin", "HEAD:main")
	r.sick(waitLong, isErr(ErrRewritten))
	history.Accepted("dir-0123") // of another source
	history.Forgive()
	if got := r.tree(4, waitLong); got.Title != "other" {
		t.Errorf("got %q", got.Title)
	}
	r.well(waitLong)
	repo.git("commit", "-q", "--amend", "-m", "third")
	repo.git("push", "-q", "-f", "origin", "HEAD:main")
	r.sick(waitLong, isErr(ErrRewritten)) // one word is for one rewrite
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

func TestGitForeignTextIsPrintable(t *testing.T) {
	repo := newRepository(t)
	write(t, repo.work+"/a.yaml", "one")
	repo.git("add", "-A")
	repo.git("-c", "user.name=x", "commit", "-q", "-m", "red \x1b[31m"+strings.Repeat("long ", 100)+"\n\nbody")
	repo.git("push", "-q", "origin", "HEAD:main")
	got := start(t, repo.source(GitOptions{Ref: "main"})).tree(1, waitLong)
	if strings.ContainsAny(got.Title, "\x1b\n") || len([]rune(got.Title)) != 200 || !strings.HasPrefix(got.Title, "red ") {
		t.Errorf("title %q", got.Title)
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

func TestGitPause(t *testing.T) {
	g := &git{opt: GitOptions{Poll: time.Minute}}
	within := func(got, want time.Duration) {
		t.Helper()
		if got < want*9/10 || got > want*11/10 {
			t.Errorf("pause %v, want %v ±10 %%", got, want)
		}
	}
	within(g.pause(nil), time.Minute)
	for _, want := range []time.Duration{7500 * time.Millisecond, 15 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 4 * time.Minute, 5 * time.Minute, 5 * time.Minute} {
		within(g.pause(ErrUnreachable), want)
	}
	within(g.pause(nil), time.Minute)
	within(g.pause(ErrUnreachable), 7500*time.Millisecond)
}

// An operation that does not hear is left alone, and only one at a time.
func TestOperationsThatHang(t *testing.T) {
	var o operations
	let := make(chan struct{})
	deaf := func(context.Context) error { <-let; return nil }
	if err := o.Run(t.Context(), 10*time.Millisecond, deaf); !errors.Is(err, ErrUnreachable) {
		t.Fatalf("got %v", err)
	}
	ran := false
	op := func(context.Context) error { ran = true; return nil }
	if err := o.Run(t.Context(), time.Second, op); !errors.Is(err, ErrUnreachable) || ran {
		t.Fatalf("a second operation beside one that hangs: %v", err)
	}
	close(let)
	wait(t, time.Second, "free again", func() bool { return o.Run(t.Context(), time.Second, op) == nil })
	if !ran {
		t.Error("did not run")
	}
}

func TestOperationsThatPanic(t *testing.T) {
	var o operations
	err := o.Run(t.Context(), time.Second, func(context.Context) error { panic("index out of range") })
	if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "index out of range") {
		t.Errorf("got %v", err)
	}
}
