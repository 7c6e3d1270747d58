package artifact

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	blobs      = "blobs"
	trees      = "trees"
	signatures = "signatures"
	lockName   = "lock"
	tmpPrefix  = "tmp-"
	// rollbacks is how many artifacts stay that nothing refers to any more.
	rollbacks = 8
)

// Options bound what is fetched. Zero values stand for the defaults.
type Options struct {
	MaxDownload int64 // bytes of an artifact; 64 MiB
	MaxUnpacked int64 // bytes that come out of an archive; 256 MiB
	MaxEntries  int   // files and folders of an archive; 4096
	MaxObject   int64 // bytes of an object; 16 MiB

	ConnectTimeout time.Duration // for a connection, and again for TLS; 10 s
	HeaderTimeout  time.Duration // from the request to its answer; 10 s
	StallTimeout   time.Duration // without a byte; 30 s
	TotalTimeout   time.Duration // for a download, redirects included; 5 min

	// Transport is what connections are made with, but for the timeouts; nil:
	// with the certificates of the system and the proxy of the environment.
	Transport *http.Transport
}

func (o Options) withDefaults() Options {
	o.MaxDownload = cmp.Or(o.MaxDownload, 64<<20)
	o.MaxUnpacked = cmp.Or(o.MaxUnpacked, 256<<20)
	o.MaxEntries = cmp.Or(o.MaxEntries, 4096)
	o.MaxObject = cmp.Or(o.MaxObject, 16<<20)
	o.ConnectTimeout = cmp.Or(o.ConnectTimeout, 10*time.Second)
	o.HeaderTimeout = cmp.Or(o.HeaderTimeout, 10*time.Second)
	o.StallTimeout = cmp.Or(o.StallTimeout, 30*time.Second)
	o.TotalTimeout = cmp.Or(o.TotalTimeout, 5*time.Minute)
	return o
}

// Store is a cache of artifacts in a directory. Its methods may be called from
// several goroutines.
type Store struct {
	dir       string
	opt       Options
	transport *http.Transport

	mu      sync.Mutex
	objects map[Ref]object  // as read last
	kept    map[string]bool // digests that the last Keep was told of
}

// At is a cache that is only read from: nothing is made there, and nothing can
// be fetched where there is none.
func At(dir string, o Options) *Store {
	o = o.withDefaults()
	return &Store{dir: dir, opt: o, transport: o.transport(), objects: make(map[Ref]object)}
}

// Open opens a cache, makes it if need be, and collects what a kill left,
// unless another process is fetching.
func Open(dir string, o Options) (*Store, error) {
	s := At(dir, o)
	if err := s.prepare(); err != nil {
		return nil, fmt.Errorf("open cache %s: %w", dir, explain(err))
	}
	return s, nil
}

func (s *Store) prepare() error {
	for _, sub := range []string{blobs, trees, signatures} {
		if err := os.MkdirAll(filepath.Join(s.dir, sub), 0o755); err != nil {
			return err
		}
	}
	if err := syncDir(s.dir); err != nil {
		return err
	}
	lock, err := s.lock(syscall.LOCK_EX | syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil
	}
	if err != nil {
		return err
	}
	defer lock.Close()
	return s.sweep()
}

// lock holds the cache until the file is closed: shared while something
// unfinished stands in it, exclusively to remove what is not in use.
func (s *Store) lock(how int) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(s.dir, lockName), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	for {
		err = syscall.Flock(int(f.Fd()), how)
		if err == nil {
			return f, nil
		}
		if !errors.Is(err, syscall.EINTR) {
			return nil, errors.Join(fmt.Errorf("lock: %w", err), f.Close())
		}
	}
}

func (s *Store) sweep() error {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), tmpPrefix) {
			if err := os.RemoveAll(filepath.Join(s.dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Store) blob(sum string) string { return filepath.Join(s.dir, blobs, sum) }
func (s *Store) tree(sum string) string { return filepath.Join(s.dir, trees, sum) }

// discard removes a blob or a tree: its name at once, whatever happens then.
// What does not exist is removed already.
func (s *Store) discard(path string) error {
	aside := filepath.Join(s.dir, tmpPrefix+filepath.Base(path))
	if err := os.RemoveAll(aside); err != nil {
		return err
	}
	if err := os.Rename(path, aside); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.RemoveAll(aside)
}

// Keep removes what none of the refs needs, but for the last few that they
// ceased to need: one may want to go back to them. While something is being
// fetched it removes nothing, and the next call does.
func (s *Store) Keep(refs []Ref) error {
	if err := s.keep(refs); err != nil {
		return fmt.Errorf("prune cache %s: %w", s.dir, explain(err))
	}
	return nil
}

func (s *Store) keep(refs []Ref) error {
	wanted := make(map[string]bool)
	for _, r := range refs {
		if p, err := r.place(); err == nil && p.sum != "" {
			wanted[p.sum] = true
		}
	}
	left := s.remember(refs, wanted)
	lock, err := s.lock(syscall.LOCK_EX | syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil
	}
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := s.touch(left); err != nil {
		return err
	}
	return s.prune(wanted)
}

// remember lets go of objects in memory and returns the digests that were
// wanted so far.
func (s *Store) remember(refs []Ref, wanted map[string]bool) (left []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for ref := range s.objects {
		if !slices.Contains(refs, ref) {
			delete(s.objects, ref)
		}
	}
	for sum := range s.kept {
		if !wanted[sum] {
			left = append(left, sum)
		}
	}
	s.kept = wanted
	return left
}

// touch makes artifacts the newest: what was in use until now is more likely to
// be gone back to than what was fetched last.
func (s *Store) touch(sums []string) error {
	now := time.Now()
	for _, sum := range sums {
		for _, path := range []string{s.blob(sum), s.tree(sum)} {
			if err := os.Chtimes(path, now, now); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}

func (s *Store) prune(wanted map[string]bool) error {
	ages := make(map[string]time.Time)
	for _, sub := range []string{blobs, trees} {
		entries, err := os.ReadDir(filepath.Join(s.dir, sub))
		if err != nil {
			return err
		}
		for _, e := range entries {
			info, err := e.Info()
			if err != nil {
				return err
			}
			if t := info.ModTime(); !wanted[e.Name()] && !t.Before(ages[e.Name()]) {
				ages[e.Name()] = t
			}
		}
	}
	sums := slices.SortedFunc(maps.Keys(ages), func(a, b string) int { return ages[b].Compare(ages[a]) })
	for _, sum := range sums[min(rollbacks, len(sums)):] {
		if err := errors.Join(s.discard(s.tree(sum)), s.discard(s.blob(sum)), removeIfThere(s.signature(sum))); err != nil {
			return err
		}
	}
	return nil
}

// syncDir makes the names in a directory durable.
func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
