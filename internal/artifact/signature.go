package artifact

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/blake2b"
)

// ErrSignature: the artifact is not signed by the key that was asked for.
var ErrSignature = errors.New("bad signature")

// Signatures are those of minisign (https://jedisct1.github.io/minisign/): a key
// is "Ed", an id of eight bytes and a public key of Ed25519; a signature is the
// algorithm, the id and the signature proper, of the bytes ("Ed") or of their
// BLAKE2b-512 ("ED"). A second one covers the first with a trusted comment.
const (
	signatureSuffix = ".minisig"
	maxSignature    = 4 << 10 // bytes
	idLen           = 8
	signatureLen    = 2 + idLen + ed25519.SignatureSize
	trustedPrefix   = "trusted comment: "
)

// signature is a file of minisign, taken apart.
type signature struct {
	hashed  bool
	id      [idLen]byte
	sig     []byte
	trusted string
	global  []byte
}

func parseSignature(text []byte) (signature, error) {
	lines := strings.Split(strings.TrimRight(strings.ReplaceAll(string(text), "\r\n", "\n"), "\n"), "\n")
	if len(lines) != 4 || !strings.HasPrefix(lines[0], "untrusted comment: ") {
		return signature{}, fmt.Errorf("%w: not a file of minisign", ErrSignature)
	}
	raw, err := base64.StdEncoding.DecodeString(lines[1])
	global, err2 := base64.StdEncoding.DecodeString(lines[3])
	trusted, ok := strings.CutPrefix(lines[2], trustedPrefix)
	if err != nil || err2 != nil || !ok || len(raw) != signatureLen || len(global) != ed25519.SignatureSize {
		return signature{}, fmt.Errorf("%w: not a file of minisign", ErrSignature)
	}
	s := signature{sig: raw[2+idLen:], trusted: trusted, global: global}
	copy(s.id[:], raw[2:])
	switch string(raw[:2]) {
	case "ED":
		s.hashed = true
	case "Ed":
	default:
		return signature{}, fmt.Errorf("%w: of an unknown algorithm", ErrSignature)
	}
	return s, nil
}

// verify fails with ErrSignature unless the bytes are signed by a key, as
// minisign prints it.
func (s signature) verify(key string, r io.Reader) error {
	raw, err := base64.StdEncoding.DecodeString(key)
	if err != nil || len(raw) != 2+idLen+ed25519.PublicKeySize || string(raw[:2]) != "Ed" {
		return fmt.Errorf("%w: %q is no public key of minisign", ErrRef, key)
	}
	if !bytes.Equal(raw[2:2+idLen], s.id[:]) {
		return fmt.Errorf("%w: by another key than %s", ErrSignature, key)
	}
	public := ed25519.PublicKey(raw[2+idLen:])
	message, err := s.message(r)
	if err != nil {
		return err
	}
	if !ed25519.Verify(public, message, s.sig) {
		return fmt.Errorf("%w: it is not of these bytes", ErrSignature)
	}
	if !ed25519.Verify(public, append(bytes.Clone(s.sig), s.trusted...), s.global) {
		return fmt.Errorf("%w: its trusted comment was changed", ErrSignature)
	}
	return nil
}

func (s signature) message(r io.Reader) ([]byte, error) {
	if !s.hashed {
		return io.ReadAll(r) // the blob is bounded
	}
	h, err := blake2b.New512(nil)
	if err != nil {
		return nil, err
	}
	_, err = io.Copy(h, r)
	return h.Sum(nil), err
}

// checkSigned fetches the signature of a blob that is there, if it has none yet,
// and verifies it.
func (s *Store) checkSigned(ctx context.Context, p place) error {
	if p.key == "" {
		return nil
	}
	text, err := s.signatureOf(ctx, p)
	if err != nil {
		return fmt.Errorf("signature: %w", err)
	}
	one, err := parseSignature(text)
	if err != nil {
		return err
	}
	f, _, err := openRegular(s.blob(p.sum))
	if err != nil {
		return err
	}
	defer f.Close()
	if err := one.verify(p.key, f); err != nil {
		return errors.Join(err, removeIfThere(s.signature(p.sum)))
	}
	return nil
}

func (s *Store) signature(sum string) string { return filepath.Join(s.dir, signatures, sum) }

func (s *Store) signatureOf(ctx context.Context, p place) ([]byte, error) {
	text, err := os.ReadFile(s.signature(p.sum))
	if !errors.Is(err, fs.ErrNotExist) {
		return text, err
	}
	r, err := s.openSignature(ctx, p)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	text, err = io.ReadAll(io.LimitReader(r, maxSignature+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxSignature {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrTooLarge, maxSignature)
	}
	return text, s.keepSignature(p.sum, text)
}

func (s *Store) openSignature(ctx context.Context, p place) (io.ReadCloser, error) {
	if p.url == nil {
		f, _, err := openRegular(p.file + signatureSuffix)
		return f, err
	}
	at := *p.url
	at.Path += signatureSuffix
	at.RawPath = ""
	return s.get(ctx, &url.URL{Scheme: at.Scheme, Host: at.Host, Path: at.Path, RawQuery: at.RawQuery})
}

func (s *Store) keepSignature(sum string, text []byte) error {
	tmp, err := os.CreateTemp(s.dir, tmpPrefix)
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(text)
	if err := errors.Join(err, settle(tmp, 0o644), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), s.signature(sum))
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
