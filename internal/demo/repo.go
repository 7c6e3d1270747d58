package demo

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// tree is what the first push brings; later ones edit it.
//
//go:embed net.yaml
var tree string

// repo is a bare repository and the clone that somebody works in.
type repo struct {
	bare, work string
}

const treeFile = "net.yaml"

func newRepo(ctx context.Context, dir string) (*repo, error) {
	r := &repo{bare: filepath.Join(dir, "net.git"), work: filepath.Join(dir, "work")}
	if _, err := command(ctx, "git", "init", "--quiet", "--bare", "--initial-branch=main", r.bare); err != nil {
		return nil, err
	}
	if _, err := command(ctx, "git", "init", "--quiet", "--initial-branch=main", r.work); err != nil {
		return nil, err
	}
	return r, r.git(ctx, "remote", "add", "origin", r.bare)
}

// git runs git in the clone.
func (r *repo) git(ctx context.Context, args ...string) error {
	_, err := command(ctx, "git", r.args(args...)...)
	return err
}

func (r *repo) args(args ...string) []string {
	return append([]string{
		"-C", r.work, "-c", "user.name=Sceptic", "-c", "user.email=sceptic@example.net",
		"-c", "commit.gpgsign=false", "-c", "core.hooksPath=/nonexistent",
	}, args...)
}

// write puts the tree in the clone.
func (r *repo) write(content string) error { return r.put(treeFile, content) }

// put puts a file in the clone.
func (r *repo) put(file, content string) error {
	return os.WriteFile(filepath.Join(r.work, file), []byte(content), 0o644)
}

// edit replaces a piece of a file in the clone.
func (r *repo) edit(file, old, new string) error {
	content, err := os.ReadFile(filepath.Join(r.work, file))
	if err != nil {
		return err
	}
	if !strings.Contains(string(content), old) {
		return fmt.Errorf("edit %s: it does not hold %q", file, old)
	}
	return r.put(file, strings.Replace(string(content), old, new, 1))
}

// undo commits the opposite of the last commit and pushes it.
func (r *repo) undo(ctx context.Context) (string, error) {
	if err := r.git(ctx, "revert", "--no-edit", "HEAD"); err != nil {
		return "", err
	}
	return r.publish(ctx)
}

// push commits what is in the clone, pushes it and returns the commit.
func (r *repo) push(ctx context.Context, message string) (string, error) {
	for _, args := range [][]string{
		{"add", "--all"}, {"commit", "--quiet", "--message", message},
	} {
		if err := r.git(ctx, args...); err != nil {
			return "", err
		}
	}
	return r.publish(ctx)
}

func (r *repo) publish(ctx context.Context) (string, error) {
	if err := r.git(ctx, "push", "--quiet", "origin", "main"); err != nil {
		return "", err
	}
	out, err := command(ctx, "git", r.args("rev-parse", "HEAD")...)
	return strings.TrimSpace(out), err
}

// changes is what differs between the clone and its last commit, without the
// headers; the whole file where there is no commit.
func (r *repo) changes(ctx context.Context) (string, error) {
	if r.git(ctx, "rev-parse", "--quiet", "--verify", "HEAD") != nil {
		content, err := os.ReadFile(filepath.Join(r.work, treeFile))
		return string(content), err
	}
	if err := r.git(ctx, "add", "--intent-to-add", "--all"); err != nil { // or new files are none
		return "", err
	}
	out, err := command(ctx, "git", r.args("diff", "--unified=0", "--no-color", "HEAD")...)
	var kept strings.Builder
	for line := range strings.Lines(out) {
		header := strings.HasPrefix(line, "+++") || strings.HasPrefix(line, "---")
		if !header && strings.ContainsRune("+-", rune(line[0])) {
			kept.WriteString(line)
		}
	}
	return kept.String(), err
}
