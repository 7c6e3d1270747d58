package artifact

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
)

// A tree is a folder with the members of an archive and their digests, in the
// form that `sha256sum -c sums` reads. The first line is a comment with the
// digest of the others.
const (
	files = "files"
	sums  = "sums"
)

// member is a regular file of a tree.
type member struct {
	name string // below files
	sum  string
}

// unfold makes a tree of a blob that is an archive; other blobs it judges.
func (s *Store) unfold(ctx context.Context, sum string) error {
	f, info, err := openRegular(s.blob(sum))
	if err != nil {
		return err
	}
	defer f.Close()
	what, err := sniff(f)
	if err != nil || what == formELF {
		return errors.Join(err, s.fits(info.Size()))
	}
	tmp, err := os.MkdirTemp(s.dir, tmpPrefix)
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	if err := s.grow(ctx, f, tmp); err != nil {
		return err
	}
	return s.plant(tmp, sum)
}

func (s *Store) fits(size int64) error {
	if size > s.opt.MaxObject {
		return fmt.Errorf("%w: an object of %d bytes, more than %d", ErrTooLarge, size, s.opt.MaxObject)
	}
	return nil
}

// grow unpacks an archive into a folder that is empty.
func (s *Store) grow(ctx context.Context, f *os.File, dir string) error {
	if err := os.Mkdir(filepath.Join(dir, files), 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(filepath.Join(dir, files))
	if err != nil {
		return err
	}
	defer root.Close()
	g := &grower{root: root}
	if err := unpack(ctx, f, s.opt, g); err != nil {
		return err
	}
	if err := g.settle(); err != nil {
		return err
	}
	return writeSums(dir, g.members)
}

// plant gives a tree its name. One that is there by now was made by another
// fetcher, and is as good.
func (s *Store) plant(tmp, sum string) error {
	if err := os.Chmod(tmp, 0o755); err != nil {
		return err
	}
	if err := syncDir(tmp); err != nil {
		return err
	}
	if err := s.discardDamaged(sum); err != nil {
		return err
	}
	err := os.Rename(tmp, s.tree(sum))
	if err != nil && !errors.Is(err, syscall.ENOTEMPTY) && !errors.Is(err, syscall.EEXIST) {
		return err
	}
	return syncDir(filepath.Join(s.dir, trees))
}

func (s *Store) discardDamaged(sum string) error {
	err := verifyTree(s.tree(sum))
	if missing(err) {
		return s.discard(s.tree(sum))
	}
	return err
}

// grower is a sink that writes to a folder, through a root that no name and no
// link leads out of.
type grower struct {
	root    *os.Root
	folders []string
	members []member
}

func (g *grower) folder(name string) error {
	g.folders = append(g.folders, name)
	return g.root.Mkdir(name, 0o755)
}

func (g *grower) file(name string, executable bool, r io.Reader) error {
	mode := fs.FileMode(0o644)
	if executable {
		mode = 0o755
	}
	f, err := g.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	h := sha256.New()
	_, err = io.Copy(io.MultiWriter(f, h), r)
	if err == nil {
		err = settle(f, mode)
	}
	g.members = append(g.members, member{name, hex.EncodeToString(h.Sum(nil))})
	return errors.Join(err, f.Close())
}

// settle makes the folders durable.
func (g *grower) settle() error {
	for _, name := range append(g.folders, ".") {
		d, err := g.root.Open(name)
		if err != nil {
			return err
		}
		if err := errors.Join(settle(d, 0o755), d.Close()); err != nil {
			return err
		}
	}
	return nil
}

// settle gives a file its mode, whatever the umask, and makes it durable.
func settle(f *os.File, mode fs.FileMode) error {
	if err := f.Chmod(mode); err != nil {
		return err
	}
	return f.Sync()
}

func writeSums(dir string, members []member) error {
	var b strings.Builder
	for _, m := range members {
		fmt.Fprintf(&b, "%s  %s/%s\n", m.sum, files, m.name)
	}
	own := sha256.Sum256([]byte(b.String()))
	f, err := os.OpenFile(filepath.Join(dir, sums), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "# %x\n%s", own, b.String())
	if err == nil {
		err = settle(f, 0o644)
	}
	return errors.Join(err, f.Close())
}

// readSums fails with ErrDigest unless it reads what was written.
func readSums(dir string) ([]member, error) {
	data, err := os.ReadFile(filepath.Join(dir, sums))
	if err != nil {
		return nil, err
	}
	first, lines, _ := strings.Cut(string(data), "\n")
	own := sha256.Sum256([]byte(lines))
	if err := compare(hex.EncodeToString(own[:]), strings.TrimPrefix(first, "# ")); err != nil {
		return nil, err
	}
	var members []member
	for line := range strings.Lines(lines) {
		sum, name, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "  "+files+"/")
		members = append(members, member{name, sum})
	}
	return members, nil
}

// verifyTree fails with ErrDigest or fs.ErrNotExist unless the tree is whole.
func verifyTree(dir string) error {
	members, err := readSums(dir)
	if err != nil {
		return err
	}
	for _, m := range members {
		if err := verifyFile(filepath.Join(dir, files, m.name), m.sum); err != nil {
			return err
		}
	}
	return nil
}

// choose finds the member that a Ref means.
func choose(members []member, want string) (member, error) {
	var objects []string
	var found member
	for _, m := range members {
		if m.name == want {
			return m, nil
		}
		if path.Ext(m.name) == ".o" {
			objects, found = append(objects, m.name), m
		}
	}
	if want == "" && len(objects) == 1 {
		return found, nil
	}
	return member{}, fmt.Errorf("%w: %s", ErrMember, choice(objects, want))
}

func choice(objects []string, want string) string {
	has := "it has no file that ends in .o"
	if n := len(objects); n > 0 {
		has = "it has " + strings.Join(objects[:min(n, 10)], ", ")
		if n > 10 {
			has += fmt.Sprintf(" and %d more", n-10)
		}
	}
	if want == "" {
		return "which one of the archive? " + has
	}
	return fmt.Sprintf("%q in the archive; %s", want, has)
}
