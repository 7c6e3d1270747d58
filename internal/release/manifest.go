package release

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Manifest is what a version was when it was verified.
type Manifest struct {
	Version string `json:"version"`
	SHA256  string `json:"sha256"` // of the artifact
	Files   []File `json:"files"`  // by path
}

// File is one regular file of a version.
type File struct {
	Path   string      `json:"path"`
	Mode   fs.FileMode `json:"mode"`
	Size   int64       `json:"size"`
	SHA256 string      `json:"sha256"`
}

// modeBits are what of a mode belongs to a version.
const modeBits = fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky

// MaxFiles bounds the files of a version.
const MaxFiles = 20000

// maxManifest leaves room for the longest names of all files, in bytes.
const maxManifest = 32 << 20

// Scan makes the manifest of a tree.
func Scan(tree string) ([]File, error) {
	var out []File
	err := filepath.WalkDir(tree, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(tree, path)
		if err != nil {
			return err
		}
		if len(out) == MaxFiles {
			return fmt.Errorf("more than %d files", MaxFiles)
		}
		if !d.Type().IsRegular() {
			return fmt.Errorf("%s is no regular file", name)
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		sum, err := sumOf(path)
		out = append(out, File{Path: name, Mode: info.Mode() & modeBits, Size: info.Size(), SHA256: sum})
		return err
	})
	slices.SortFunc(out, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	return out, err
}

func sumOf(path string) (string, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// Manifest reads the manifest of a version.
func (r *Root) Manifest(dir string) (Manifest, error) {
	var m Manifest
	if !plainName(dir) {
		return m, fmt.Errorf("%q is no name of a version", dir)
	}
	path := r.own("manifest", dir)
	if info, err := os.Stat(path); err == nil && info.Size() > maxManifest {
		return m, fmt.Errorf("the manifest of %s is larger than %d bytes", dir, maxManifest)
	}
	content, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(content, &m)
	}
	if err != nil {
		return m, fmt.Errorf("read the manifest of %s: %w", dir, err)
	}
	return m, nil
}

func plainName(dir string) bool {
	return dir != "" && dir != "." && !strings.HasPrefix(dir, "..") && !strings.ContainsAny(dir, "/\x00")
}

// Versions lists those that are ours: whole when they got their names. Of one
// whose manifest cannot be read that cannot be told, so it is not listed.
func (r *Root) Versions() (map[string]Manifest, error) {
	entries, err := os.ReadDir(r.versions())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list versions: %w", err)
	}
	out := make(map[string]Manifest)
	for _, e := range entries {
		if m, err := r.Manifest(e.Name()); err == nil && e.IsDir() {
			out[e.Name()] = m
		}
	}
	return out, nil
}

// mostDamage is how much of it is told.
const mostDamage = 5

// Damage tells how a version differs from what was verified, by whoever owns its
// manifest: nobody else may own a file of it. look, if not nil, is asked whether a
// file is as it was when its digest was last found good.
func (r *Root) Damage(dir string, m Manifest, look func(path string, info fs.FileInfo) bool) []string {
	d := damage{known: make(map[string]File, len(m.Files)), look: look}
	for _, f := range m.Files {
		d.known[f.Path] = f
	}
	if info, err := os.Lstat(r.own("manifest", dir)); err == nil {
		d.owner = ownerOf(info)
	}
	tree := r.Version(dir)
	err := filepath.WalkDir(tree, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		name, err := filepath.Rel(tree, path)
		if err == nil {
			d.file(path, name, e)
		}
		return err
	})
	if err != nil {
		d.tell("%v", err)
	}
	for _, f := range m.Files {
		if _, left := d.known[f.Path]; left {
			d.tell("%s is missing", f.Path)
		}
	}
	return d.told
}

type damage struct {
	known map[string]File // not seen yet
	look  func(path string, info fs.FileInfo) bool
	owner uint32
	told  []string
}

func ownerOf(info fs.FileInfo) uint32 { return info.Sys().(*syscall.Stat_t).Uid }

func (d *damage) tell(format string, args ...any) {
	if len(d.told) < mostDamage {
		d.told = append(d.told, fmt.Sprintf(format, args...))
	}
}

func (d *damage) file(path, name string, e fs.DirEntry) {
	f, ok := d.known[name]
	delete(d.known, name)
	info, err := e.Info()
	switch {
	case !ok:
		d.tell("%s is not of it", name)
	case err != nil:
		d.tell("%s: %v", name, err)
	case !info.Mode().IsRegular() || info.Mode()&modeBits != f.Mode || info.Size() != f.Size:
		d.tell("%s was changed", name)
	case ownerOf(info) != d.owner:
		d.tell("%s has another owner", name)
	case d.look != nil && d.look(path, info):
	default:
		if sum, err := sumOf(path); err != nil || sum != f.SHA256 {
			d.tell("%s was changed", name)
		}
	}
}
