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
	"path/filepath"
	"syscall"
)

// Fetch brings an artifact into the cache and unpacks it. What is there and
// whole is left as it is, and what is there but not unpacked needs no network.
// Of a local file that is not pinned it tells only whether Object would do.
func (s *Store) Fetch(ctx context.Context, ref Ref) error {
	p, err := ref.place()
	switch {
	case err != nil:
	case p.sum == "":
		_, err = s.object(ref, p)
	default:
		err = s.fetch(ctx, p)
	}
	if err != nil {
		return fmt.Errorf("fetch %v: %w", ref, explain(err))
	}
	return nil
}

func (s *Store) fetch(ctx context.Context, p place) error {
	lock, err := s.lock(syscall.LOCK_SH)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := verifyTree(s.tree(p.sum)); p.key == "" && (err == nil || !missing(err)) {
		return err
	}
	err = verifyFile(s.blob(p.sum), p.sum)
	if missing(err) {
		err = s.download(ctx, p)
	}
	if err == nil {
		err = s.checkSigned(ctx, p)
	}
	if err == nil && missing(verifyTree(s.tree(p.sum))) {
		err = s.unfold(ctx, p.sum)
	}
	return err
}

// missing tells that something is not there, or not as it was written.
func missing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrDigest)
}

// verifyFile fails with ErrDigest unless a file has the digest.
func verifyFile(path, sum string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return err
	}
	return compare(hex.EncodeToString(h.Sum(nil)), sum)
}

func compare(got, want string) error {
	if got != want {
		return fmt.Errorf("%w: sha256 is %s, not %s", ErrDigest, got, want)
	}
	return nil
}

// download makes the blob.
func (s *Store) download(ctx context.Context, p place) error {
	if p.url == nil {
		f, _, err := openRegular(p.file)
		if err != nil {
			return err
		}
		defer f.Close()
		return s.add(f, p.sum)
	}
	stalled := fmt.Errorf("%w: not done within %v", ErrStalled, s.opt.TotalTimeout)
	ctx, cancel := context.WithTimeoutCause(ctx, s.opt.TotalTimeout, stalled)
	defer cancel()
	body, err := s.get(ctx, p.url)
	if err != nil {
		return err
	}
	defer body.Close()
	return s.add(body, p.sum)
}

// add writes a blob, which appears whole and with the right digest or not at
// all.
func (s *Store) add(r io.Reader, sum string) error {
	tmp, err := os.CreateTemp(s.dir, tmpPrefix)
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	err = s.fill(tmp, r, sum)
	if err := errors.Join(err, tmp.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp.Name(), s.blob(sum)); err != nil {
		return err
	}
	return syncDir(filepath.Join(s.dir, blobs))
}

func (s *Store) fill(f *os.File, r io.Reader, sum string) error {
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(f, h), io.LimitReader(r, s.opt.MaxDownload+1))
	if err != nil {
		return err
	}
	if n > s.opt.MaxDownload {
		return fmt.Errorf("%w: more than %d bytes", ErrTooLarge, s.opt.MaxDownload)
	}
	if err := compare(hex.EncodeToString(h.Sum(nil)), sum); err != nil {
		return err
	}
	if err := f.Chmod(0o644); err != nil {
		return err
	}
	return f.Sync()
}
