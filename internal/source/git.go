package source

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"path"
	"path/filepath"
	"strings"
	"time"
)

// fetchFactor is how much longer than another operation a download may take.
const fetchFactor = 5

// GitOptions of a followed repository.
type GitOptions struct {
	// URL is a local path, file://, http:// or https://. The first two need
	// the git binary. A user and password in it serve as the token does, and
	// are never shown.
	URL string
	// Ref is a branch, a tag or a full commit hash; empty for HEAD.
	Ref string
	// Path is the directory in the repository; empty for its root.
	Path string
	// TokenFile is read at each use. A token goes over https only.
	TokenFile string
	// CAFile holds more certificates, in PEM, beside the system's.
	CAFile string
	// Cache is a directory of our own. What is in it can be lost, at the
	// price of one more download and of one check for a rewritten branch.
	Cache string
	// Poll is the time between two looks, ±10 %. Default 60 s.
	Poll time.Duration
	// AllowRewrite takes commits that do not descend from the one accepted last.
	AllowRewrite bool
	// Timeout bounds each operation, a download at five times as much.
	// Default 60 s.
	Timeout time.Duration
	// MaxRepo bounds a download, and the cache at twice as much, in bytes.
	// Default 512 MiB.
	MaxRepo int64
	// Log may be nil.
	Log *slog.Logger
}

func (o *GitOptions) defaults() error {
	if o.Cache == "" {
		return errors.New("no cache directory")
	}
	if o.Poll <= 0 {
		o.Poll = time.Minute
	}
	if o.Timeout <= 0 {
		o.Timeout = time.Minute
	}
	if o.MaxRepo <= 0 {
		o.MaxRepo = 512 << 20
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.Path = strings.Trim(o.Path, "/")
	if o.Path != "" && !filepath.IsLocal(o.Path) {
		return fmt.Errorf("path %q leaves the repository", o.Path)
	}
	if o.Path = path.Clean(o.Path); o.Path == "." { // the root has no name in Git
		o.Path = ""
	}
	return nil
}

// remote is the far side. It is the seam for an unprivileged child process
// that talks to the network and parses what comes from there: its arguments
// and results fit on a pipe.
type remote interface {
	// Resolve asks which commit a ref names. A few kilobytes travel.
	Resolve(ctx context.Context, ref string) (target, error)
	// Fetch brings the target with its history into the cache.
	Fetch(ctx context.Context, t target, c *cache) error
}

// target is a commit, and what to ask for to get it.
type target struct {
	Commit string
	Wants  []string
}

// git is the Source of a repository. Only the goroutine of Run touches it,
// Sync and Look aside.
type git struct {
	opt    GitOptions
	name   string
	remote remote
	cache  *cache
	wake   chan struct{}
	asks
	words

	taken    string // commit delivered last
	failures int    // in a row
	ops      operations
}

// NewGit follows a ref of a repository. It fails only on options that can
// never work; it touches neither network nor disk.
func NewGit(opt GitOptions) (Source, error) {
	if err := opt.defaults(); err != nil {
		return nil, fmt.Errorf("git source: %w", err)
	}
	far, err := newSmart(opt)
	if err != nil {
		return nil, fmt.Errorf("git source: %w", err)
	}
	shown := far.shown
	return &git{
		opt:    opt,
		name:   "git " + shown + "#" + refName(opt.Ref),
		remote: far,
		cache:  newCache(opt, shown),
		wake:   make(chan struct{}, 1),
		asks:   make(asks),
	}, nil
}

func refName(ref string) string {
	if ref == "" {
		return "HEAD"
	}
	return ref
}

func (g *git) String() string { return g.name }

func (g *git) Sync() {
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

func (g *git) Run(ctx context.Context, deliver func(Tree), health func(error)) error {
	health = once(health)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		var asked chan<- error
		select {
		case <-ctx.Done():
			return nil
		case <-g.wake:
		case asked = <-g.asks:
		case <-timer.C:
		}
		g.settle()
		tree, err := g.look(ctx)
		if ctx.Err() != nil {
			return nil
		}
		health(err)
		if tree != nil {
			deliver(*tree)
			g.settle()
		}
		if asked != nil {
			asked <- err
		}
		timer.Reset(g.pause(err))
	}
}

// settle writes down what was accepted meanwhile.
func (g *git) settle() {
	revision := g.accepted.Swap(nil)
	if revision == nil {
		return
	}
	if err := g.cache.Settle(*revision); err != nil {
		g.opt.Log.Warn("remember what was accepted", "source", g.name, "error", err)
	}
}

// pause is the time until the next look. Troubles are looked into soon at
// first, because the network may only be coming up, and then ever more rarely.
func (g *git) pause(err error) time.Duration {
	if err == nil {
		g.failures = 0
		return jitter(g.opt.Poll)
	}
	g.failures++
	wait := g.opt.Poll / 8 << min(g.failures-1, 6)
	return jitter(min(wait, 5*g.opt.Poll))
}

func jitter(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (0.9 + 0.2*rand.Float64()))
}

// look asks for the commit and gets its tree; nil if it is the one delivered
// last.
func (g *git) look(ctx context.Context) (*Tree, error) {
	var t target
	err := g.ops.Run(ctx, g.opt.Timeout, func(ctx context.Context) (err error) {
		t, err = g.resolve(ctx)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("resolve %s: %w", refName(g.opt.Ref), err)
	}
	if t.Commit == g.taken {
		return nil, nil
	}
	var tree Tree
	err = g.ops.Run(ctx, fetchFactor*g.opt.Timeout, func(ctx context.Context) (err error) {
		tree, err = g.obtain(ctx, t)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("take commit %s: %w", t.Commit, err)
	}
	if err := g.cache.Take(t.Commit); err != nil {
		return nil, err
	}
	if g.forgiven.Swap(false) {
		if err := g.cache.Settle(t.Commit); err != nil {
			return nil, err
		}
	}
	g.taken = t.Commit
	return &tree, nil
}

// resolve spares the network where the ref is a commit that is here.
func (g *git) resolve(ctx context.Context) (target, error) {
	if isHash(g.opt.Ref) && (g.opt.Ref == g.taken || g.cache.Has(g.opt.Ref)) {
		return target{Commit: g.opt.Ref, Wants: []string{g.opt.Ref}}, nil
	}
	return g.remote.Resolve(ctx, g.opt.Ref)
}

// obtain reads the target's tree, after a download if it is not here. A cache
// that turns out to be corrupt is thrown away, once.
func (g *git) obtain(ctx context.Context, t target) (Tree, error) {
	tree, err := g.tryObtain(ctx, t)
	if errors.Is(err, ErrCorrupt) {
		g.opt.Log.Warn("throw the git cache away", "source", g.name, "error", err)
		if err := g.cache.Discard(); err != nil {
			return Tree{}, err
		}
		tree, err = g.tryObtain(ctx, t)
	}
	return tree, err
}

func (g *git) tryObtain(ctx context.Context, t target) (Tree, error) {
	if !g.cache.Has(t.Commit) {
		if err := g.cache.Prepare(); err != nil {
			return Tree{}, err
		}
		if err := g.remote.Fetch(ctx, t, g.cache); err != nil {
			return Tree{}, fmt.Errorf("fetch: %w", err)
		}
	}
	if !g.opt.AllowRewrite && !g.forgiven.Load() {
		if err := g.cache.Forward(ctx, t.Commit); err != nil {
			return Tree{}, err
		}
	}
	return g.cache.Tree(ctx, t.Commit, g.opt.Path)
}

// isHash reports a full commit hash in hexadecimal digits.
func isHash(ref string) bool {
	return len(ref) == 40 && strings.Trim(ref, "0123456789abcdef") == ""
}

// withoutUser is a URL fit to be shown, and the user and password in it.
func withoutUser(u *url.URL) (string, *url.Userinfo) {
	shown := *u
	shown.User = nil
	return shown.String(), u.User
}
