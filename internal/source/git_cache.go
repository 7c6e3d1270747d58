package source

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"unicode"

	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5/plumbing"
	lru "github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/storage/filesystem"

	"reconciler/internal/state"
)

const (
	// maxPacks bounds the packs in a cache: each download adds one, and one
	// more download of everything is the cheapest way to make them one.
	maxPacks = 64
	// maxHaves is how many of the latest commits are named to the far side,
	// so that a rewritten branch does not mean a whole download.
	maxHaves = 64
	// objectMemory is what go-git may keep of the objects it reads, in bytes.
	objectMemory = 4 << 20
)

// cache is a bare repository on disk with the full history of one ref, and
// beside it the commit that was taken last, which outlives the repository.
type cache struct {
	dir     string
	maxRepo int64
	origin  string // of URL and ref: another is another cache
}

// accepted is the content of accepted.json.
type accepted struct {
	Origin string `json:"origin"`
	Commit string `json:"commit"` // taken last
	// Base is the one that was in force last: history must lead on from it.
	Base string `json:"base,omitempty"`
}

func newCache(opt GitOptions, shown string) *cache {
	return &cache{dir: opt.Cache, maxRepo: opt.MaxRepo, origin: shown + "#" + refName(opt.Ref)}
}

func (c *cache) repo() string     { return filepath.Join(c.dir, "repo.git") }
func (c *cache) packs() string    { return filepath.Join(c.repo(), "objects", "pack") }
func (c *cache) accepted() string { return filepath.Join(c.dir, "accepted.json") }

// open returns the repository as it is on disk now.
func (c *cache) open() *filesystem.Storage {
	return filesystem.NewStorageWithOptions(osfs.New(c.repo()), lru.NewObjectLRU(objectMemory),
		filesystem.Options{LargeObjectThreshold: MaxFile})
}

// Prepare makes the repository ready for a download.
func (c *cache) Prepare() error {
	if c.worn() || !c.sound() {
		if err := c.Discard(); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(c.packs(), 0o700); err != nil {
		return fmt.Errorf("prepare cache: %w: %w", ErrDisk, err)
	}
	leftovers, _ := filepath.Glob(filepath.Join(c.packs(), "tmp_*"))
	for _, name := range leftovers {
		_ = os.Remove(name)
	}
	if err := c.open().Init(); err != nil {
		return fmt.Errorf("prepare cache: %w: %w", ErrDisk, err)
	}
	return nil
}

// sound reports whether the repository can be opened; one that is not there
// can.
func (c *cache) sound() bool {
	if info, err := os.Lstat(c.repo()); err == nil && !info.IsDir() {
		return false
	}
	// Looking for what cannot be there reads the index of every pack.
	err := c.open().HasEncodedObject(plumbing.ZeroHash)
	return errors.Is(err, plumbing.ErrObjectNotFound)
}

// worn reports a repository of another place, or one that has grown too large
// or too many packs.
func (c *cache) worn() bool {
	packs, _ := filepath.Glob(filepath.Join(c.packs(), "*.pack"))
	if len(packs) >= maxPacks {
		return true
	}
	if a := c.last(); a.Origin != c.origin && len(packs) > 0 && a.Origin != "" {
		return true
	}
	var size int64
	for _, p := range packs {
		if info, err := os.Stat(p); err == nil {
			size += info.Size()
		}
	}
	return size > c.maxRepo
}

// Discard throws the repository away.
func (c *cache) Discard() error {
	if err := os.RemoveAll(c.repo()); err != nil {
		return fmt.Errorf("discard cache: %w: %w", ErrDisk, err)
	}
	return nil
}

// Has reports that a commit is here. Its history then is as well, because
// downloads are always whole.
func (c *cache) Has(commit string) bool {
	return c.open().HasEncodedObject(plumbing.NewHash(commit)) == nil
}

// Haves are the latest commits here, newest first.
func (c *cache) Haves() []plumbing.Hash {
	commit, err := object.GetCommit(c.open(), plumbing.NewHash(c.last().Commit))
	var haves []plumbing.Hash
	for err == nil && len(haves) < maxHaves {
		haves = append(haves, commit.Hash)
		commit, err = commit.Parent(0)
	}
	return haves
}

func (c *cache) last() accepted {
	var a accepted
	data, err := os.ReadFile(c.accepted())
	if err != nil || json.Unmarshal(data, &a) != nil {
		return accepted{}
	}
	return a
}

// Take remembers the commit that was taken.
func (c *cache) Take(commit string) error {
	a := c.last()
	if a.Origin != c.origin {
		a = accepted{Origin: c.origin}
	}
	a.Commit = commit
	return c.remember(a)
}

// Settle remembers the commit that is in force, if it is one of this place.
func (c *cache) Settle(commit string) error {
	a := c.last()
	if a.Origin != c.origin || !isHash(commit) || !c.Has(commit) {
		return nil
	}
	a.Base = commit
	return c.remember(a)
}

func (c *cache) remember(a accepted) error {
	if c.last() == a {
		return nil
	}
	data, err := json.Marshal(a)
	if err != nil {
		return err
	}
	if err := state.WriteFile(c.accepted(), append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("remember commit: %w: %w", ErrDisk, err)
	}
	return nil
}

// Forward fails with ErrRewritten unless the commit descends from the one that
// was taken last from the same place.
func (c *cache) Forward(ctx context.Context, commit string) error {
	last := c.last()
	if last.Origin != c.origin || last.Base == "" || last.Base == commit || last.Commit == commit {
		return nil
	}
	head, err := object.GetCommit(c.open(), plumbing.NewHash(commit))
	if err != nil {
		return fmt.Errorf("%w: read commit %s: %w", ErrCorrupt, commit, err)
	}
	found := errors.New("found")
	err = object.NewCommitPreorderIter(head, nil, nil).ForEach(func(c *object.Commit) error {
		if c.Hash.String() == last.Base {
			return found
		}
		return ctx.Err()
	})
	switch {
	case errors.Is(err, found):
		return nil
	case err == nil:
		return fmt.Errorf("%w: it does not descend from %s, which was accepted last", ErrRewritten, last.Base)
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return fmt.Errorf("%w: walk history: %w", ErrCorrupt, err)
}

// Tree reads the YAML and the objects below a path of a commit.
func (c *cache) Tree(ctx context.Context, hash, below string) (Tree, error) {
	commit, err := object.GetCommit(c.open(), plumbing.NewHash(hash))
	if err != nil {
		return Tree{}, fmt.Errorf("%w: read commit: %w", ErrCorrupt, err)
	}
	root, err := commit.Tree()
	if err != nil {
		return Tree{}, fmt.Errorf("%w: read tree: %w", ErrCorrupt, err)
	}
	if below != "" {
		root, err = root.Tree(below)
		if errors.Is(err, object.ErrDirectoryNotFound) || errors.Is(err, object.ErrEntryNotFound) {
			return Tree{}, fmt.Errorf("%w: no directory %s in it", ErrMissing, below)
		}
		if err != nil {
			return Tree{}, fmt.Errorf("%w: read %s: %w", ErrCorrupt, below, err)
		}
	}
	g := gitWalk{ctx: ctx}
	if err := g.directory(root, "", 0); err != nil {
		return Tree{}, err
	}
	files, err := g.done()
	if err != nil {
		return Tree{}, err
	}
	title, _, _ := strings.Cut(strings.TrimSpace(commit.Message), "\n")
	return Tree{
		Revision: hash,
		Title:    printable(title),
		Author:   printable(fmt.Sprintf("%s <%s>", commit.Author.Name, commit.Author.Email)),
		Time:     commit.Committer.When.UTC(),
		Files:    files,
	}, nil
}

// gitWalk reads the YAML and the objects of a tree of Git.
type gitWalk struct {
	gathering
	ctx context.Context
}

func (w *gitWalk) directory(t *object.Tree, name string, depth int) error {
	if depth == maxDepth {
		return fmt.Errorf("%w: %s is deeper than %d directories", ErrTooLarge, name, maxDepth)
	}
	for _, e := range t.Entries {
		if err := errors.Join(w.ctx.Err(), w.visit()); err != nil {
			return err
		}
		if isHidden(e.Name) {
			continue
		}
		if err := w.entry(t, e, path.Join(name, e.Name), depth); err != nil {
			return err
		}
	}
	return nil
}

func (w *gitWalk) entry(t *object.Tree, e object.TreeEntry, name string, depth int) error {
	switch {
	case e.Mode == filemode.Dir:
		sub, err := t.Tree(e.Name)
		if err != nil {
			return fmt.Errorf("%w: read %s: %w", ErrCorrupt, name, err)
		}
		return w.directory(sub, name, depth+1)
	case e.Mode == filemode.Symlink:
		return fmt.Errorf("%w: %s is a symbolic link, which a Git source does not follow", ErrUnreadable, name)
	case !isWanted(e.Name):
		return nil
	case !e.Mode.IsFile():
		return fmt.Errorf("%w: %s is no regular file", ErrUnreadable, name)
	}
	f, err := t.TreeEntryFile(&e)
	if err != nil {
		return fmt.Errorf("%w: read %s: %w", ErrCorrupt, name, err)
	}
	return w.blob(f, name)
}

func (w *gitWalk) blob(f *object.File, name string) error {
	if most := maxSize(name); f.Size > most {
		return fmt.Errorf("%w: %s has %d bytes, more than %d", ErrTooLarge, name, f.Size, most)
	}
	r, err := f.Reader()
	if err != nil {
		return fmt.Errorf("%w: read %s: %w", ErrCorrupt, name, err)
	}
	defer r.Close()
	err = w.add(name, r)
	if err != nil && !errors.Is(err, ErrTooLarge) {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return err
}

// printable keeps foreign text from taking a terminal or a log over.
func printable(text string) string {
	const most = 200
	clean := strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, text)
	if runes := []rune(clean); len(runes) > most {
		clean = string(runes[:most-1]) + "…"
	}
	return clean
}
