package source

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"reconciler/internal/state"
)

// Bounds of a Store. The snapshots that a way back needs stay whatever the
// bounds say.
const (
	MaxSnapshots     = 20
	MaxSnapshotBytes = 64 << 20
)

const (
	indexName   = "index.json"
	filesSuffix = ".files.json"
	minPrefix   = 4
	maxRevision = 128
)

// Verdict is what became of a revision.
type Verdict uint8

// Verdicts. A bad revision is in quarantine.
const (
	Unjudged Verdict = iota
	Good
	Bad
)

func (v Verdict) String() string {
	switch v {
	case Unjudged:
		return "unknown"
	case Good:
		return "good"
	case Bad:
		return "bad"
	}
	return fmt.Sprintf("Verdict(%d)", uint8(v))
}

// MarshalText writes the verdict as a word.
func (v Verdict) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (v *Verdict) UnmarshalText(text []byte) error {
	for _, known := range []Verdict{Unjudged, Good, Bad} {
		if string(text) == known.String() {
			*v = known
			return nil
		}
	}
	return fmt.Errorf("unknown verdict %q", text)
}

// Snapshot describes a stored tree.
type Snapshot struct {
	Revision string    `json:"revision"`
	Title    string    `json:"title,omitempty"`
	Author   string    `json:"author,omitempty"`
	Time     time.Time `json:"time"`
	Saved    time.Time `json:"saved"`
	Verdict  Verdict   `json:"verdict"`
	// Reason is why it is bad.
	Reason string `json:"reason,omitempty"`
	// Digest is of the files, Bytes their size on disk.
	Digest string `json:"digest"`
	Bytes  int64  `json:"bytes"`
}

// Store keeps trees in a directory, so that boot and rollback need no network.
// One process writes, others may read. Its methods may be called from several
// goroutines.
type Store struct {
	dir string

	mu    sync.Mutex
	index []Snapshot // the current one first, then by when they last were
}

// OpenStore opens, and creates where needed, a directory of snapshots. Where
// the list of them cannot be read, the Store beside the error, which wraps
// ErrCorrupt, is empty but works.
func OpenStore(dir string) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open snapshots: %w", err)
	}
	s := &Store{dir: dir}
	data, err := os.ReadFile(s.path(indexName))
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open snapshots: %w", err)
	}
	if err := s.decode(data); err != nil {
		s.index = nil
		return s, fmt.Errorf("open snapshots: %w: %s: %w", ErrCorrupt, s.path(indexName), err)
	}
	return s, nil
}

// Reload reads the list again, after another process wrote it. On an error it is
// as it was.
func (s *Store) Reload() error {
	fresh, err := OpenStore(s.dir)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.index = fresh.index
	return nil
}

func (s *Store) decode(data []byte) error {
	if err := json.Unmarshal(data, &s.index); err != nil {
		return err
	}
	for _, snap := range s.index {
		if err := errors.Join(checkRevision(snap.Revision), checkRevision(snap.Digest)); err != nil {
			return err
		}
	}
	return nil
}

// checkRevision keeps revisions fit for file names and terminals.
func checkRevision(revision string) error {
	const fit = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
	if revision == "" || len(revision) > maxRevision || strings.Trim(revision, fit) != "" {
		return fmt.Errorf("revision %q is no name for a file", revision)
	}
	return nil
}

func (s *Store) path(name string) string { return filepath.Join(s.dir, name) }

// Save stores a tree and makes it the current one. A tree that is stored
// already keeps its verdict, unless its files differ. On an error, such as a
// full disk, the older ones are as they were.
func (s *Store) Save(t Tree) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.save(t); err != nil {
		return fmt.Errorf("save snapshot %s: %w", t.Revision, err)
	}
	return nil
}

func (s *Store) save(t Tree) error {
	if err := checkRevision(t.Revision); err != nil {
		return err
	}
	if err := state.Sweep(s.dir); err != nil {
		return err
	}
	defer s.clear()
	snap := Snapshot{Revision: t.Revision, Title: t.Title, Author: t.Author, Time: t.Time, Digest: digest(t.Files)}
	if old, ok := s.find(t.Revision); ok && old.Digest == snap.Digest {
		snap.Verdict, snap.Reason = old.Verdict, old.Reason
	}
	var err error
	if snap.Bytes, err = s.write(snap, t.Files); err != nil {
		return err
	}
	snap.Saved = time.Now().UTC().Round(0)
	index := slices.DeleteFunc(slices.Clone(s.index), func(o Snapshot) bool { return o.Revision == t.Revision })
	return s.replace(thin(slices.Insert(index, 0, snap)))
}

// write stores files under their digest, unless they are there and sound, and
// returns their size on disk.
func (s *Store) write(snap Snapshot, files map[string][]byte) (int64, error) {
	data, err := json.Marshal(files)
	if err != nil {
		return 0, err
	}
	if _, err := s.read(snap); err == nil {
		return int64(len(data)), nil
	}
	return int64(len(data)), state.WriteFile(s.path(snap.Digest+filesSuffix), data, 0o600)
}

// replace writes the list.
func (s *Store) replace(index []Snapshot) error {
	data, err := json.MarshalIndent(index, "", "\t")
	if err != nil {
		return err
	}
	if err := state.WriteFile(s.path(indexName), append(data, '\n'), 0o600); err != nil {
		return err
	}
	s.index = index
	return nil
}

// clear removes files that are not on the list. What it cannot remove now it
// tries again next time.
func (s *Store) clear() {
	listed := make(map[string]bool, len(s.index))
	for _, snap := range s.index {
		listed[snap.Digest+filesSuffix] = true
	}
	stored, _ := filepath.Glob(s.path("*" + filesSuffix))
	for _, path := range stored {
		if !listed[filepath.Base(path)] {
			_ = os.Remove(path)
		}
	}
}

// thin drops the oldest beyond the bounds.
func thin(index []Snapshot) []Snapshot {
	needed := map[int]bool{0: true}
	for _, i := range []int{lastGood(index), previous(index)} {
		if i >= 0 {
			needed[i] = true
		}
	}
	var kept []Snapshot
	var bytes int64
	for i := range needed {
		bytes += index[i].Bytes
	}
	room := MaxSnapshots - len(needed)
	for i, snap := range index {
		if needed[i] {
			kept = append(kept, snap)
			continue
		}
		if room > 0 && bytes+snap.Bytes <= MaxSnapshotBytes {
			kept = append(kept, snap)
			bytes += snap.Bytes
			room--
		}
	}
	return kept
}

// lastGood is the place of the latest good snapshot, or -1.
func lastGood(index []Snapshot) int {
	return slices.IndexFunc(index, func(s Snapshot) bool { return s.Verdict == Good })
}

// previous is the place of the latest good snapshot before the current one, or
// -1.
func previous(index []Snapshot) int {
	if len(index) == 0 {
		return -1
	}
	i := lastGood(index[1:])
	if i < 0 {
		return -1
	}
	return i + 1
}

func (s *Store) find(revision string) (Snapshot, bool) {
	i := slices.IndexFunc(s.index, func(o Snapshot) bool { return o.Revision == revision })
	if i < 0 {
		return Snapshot{}, false
	}
	return s.index[i], true
}

// resolve finds a snapshot by its revision, or the beginning of one that no
// other begins with.
func (s *Store) resolve(name string) (Snapshot, error) {
	if snap, ok := s.find(name); ok {
		return snap, nil
	}
	prefix := strings.TrimPrefix(name, dirPrefix)
	found := slices.DeleteFunc(slices.Clone(s.index), func(o Snapshot) bool {
		return !strings.HasPrefix(strings.TrimPrefix(o.Revision, dirPrefix), prefix)
	})
	switch {
	case len(found) == 0 || len(prefix) < minPrefix:
		return Snapshot{}, fmt.Errorf("find snapshot %q: %w", name, fs.ErrNotExist)
	case len(found) > 1:
		return Snapshot{}, fmt.Errorf("find snapshot %q: %d revisions begin so", name, len(found))
	}
	return found[0], nil
}

// Get returns a stored tree by its revision or a prefix of it, of four
// characters at the least. One that is not kept is fs.ErrNotExist, one that is
// not what was saved is ErrCorrupt.
func (s *Store) Get(revision string) (Tree, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	snap, err := s.resolve(revision)
	if err != nil {
		return Tree{}, err
	}
	return s.read(snap)
}

func (s *Store) read(snap Snapshot) (Tree, error) {
	path := s.path(snap.Digest + filesSuffix)
	data, err := os.ReadFile(path)
	if err != nil {
		return Tree{}, fmt.Errorf("read snapshot %s: %w: %w", snap.Revision, ErrCorrupt, err)
	}
	var files map[string][]byte
	if err := json.Unmarshal(data, &files); err != nil {
		return Tree{}, fmt.Errorf("read snapshot %s: %w: %s: %w", snap.Revision, ErrCorrupt, path, err)
	}
	if digest(files) != snap.Digest {
		return Tree{}, fmt.Errorf("read snapshot %s: %w: %s is not what was saved", snap.Revision, ErrCorrupt, path)
	}
	return Tree{Revision: snap.Revision, Title: snap.Title, Author: snap.Author, Time: snap.Time, Files: files}, nil
}

// List returns what is kept, the current one first.
func (s *Store) List() []Snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.index)
}

// Mark records what became of a revision.
func (s *Store) Mark(revision string, v Verdict, reason string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	snap, err := s.resolve(revision)
	if err != nil {
		return err
	}
	index := slices.Clone(s.index)
	for i := range index {
		if index[i].Revision == snap.Revision {
			index[i].Verdict, index[i].Reason = v, reason
		}
	}
	if slices.Equal(index, s.index) {
		return nil
	}
	if err := s.replace(index); err != nil {
		return fmt.Errorf("mark snapshot %s: %w", snap.Revision, err)
	}
	return nil
}

// Current is the snapshot that was saved last.
func (s *Store) Current() (Snapshot, bool) {
	return s.at(func([]Snapshot) int { return 0 })
}

// LastGood is the latest good snapshot, be it the current one or not.
func (s *Store) LastGood() (Snapshot, bool) { return s.at(lastGood) }

// Previous is the latest good snapshot before the current one: what a rollback
// goes to.
func (s *Store) Previous() (Snapshot, bool) { return s.at(previous) }

func (s *Store) at(place func([]Snapshot) int) (Snapshot, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := place(s.index)
	if i < 0 || i >= len(s.index) {
		return Snapshot{}, false
	}
	return s.index[i], true
}
