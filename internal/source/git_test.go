package source

import (
	"os"
	"os/exec"
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
