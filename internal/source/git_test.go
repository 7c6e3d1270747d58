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
	got := r.tree(1, 5*time.Second)
	if got.Revision != first || got.Title != "set a.yaml" || got.Author != "Ann <ann@example.net>" {
		t.Errorf("got %+v", got)
	}
	second := repo.push("hosts/b.yaml", "two")
	got = r.tree(2, 5*time.Second)
	if got.Revision != second || show(got) != "a.yaml=one;hosts/b.yaml=two;" {
		t.Errorf("got %s %s", got.Revision, show(got))
	}
}
