package artifact

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/blake2b"
)

// signer signs as minisign does.
type signer struct {
	id      string
	private ed25519.PrivateKey
}

func newSigner(t *testing.T, id string) signer {
	t.Helper()
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return signer{id, private}
}

func (s signer) key() string {
	return base64.StdEncoding.EncodeToString(append([]byte("Ed"+s.id), s.private.Public().(ed25519.PublicKey)...))
}

func (s signer) sign(algorithm string, content []byte, comment string) string {
	message := content
	if algorithm == "ED" {
		sum := blake2b.Sum512(content)
		message = sum[:]
	}
	sig := ed25519.Sign(s.private, message)
	global := ed25519.Sign(s.private, append(bytes.Clone(sig), comment...))
	encode := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("untrusted comment: x\n%s\ntrusted comment: %s\n%s\n", encode(append([]byte(algorithm+s.id), sig...)), comment, encode(global))
}

// TestSignature takes what the right key has signed, and nothing else, from a
// server and from a file. What is refused is not unpacked.
func TestSignature(t *testing.T) {
	ours, theirs := newSigner(t, "12345678"), newSigner(t, "abcdefgh")
	sameID := newSigner(t, "12345678")
	content := tgz(t, tar.Header{Name: "a", Size: 100})
	good := ours.sign("ED", content, "timestamp:1")
	for name, tt := range map[string]struct {
		text string
		ok   bool
	}{
		"of the hash":          {good, true},
		"of the bytes":         {ours.sign("Ed", content, "c"), true},
		"with CRLF":            {strings.ReplaceAll(good, "\n", "\r\n"), true},
		"of other bytes":       {ours.sign("ED", append(bytes.Clone(content), 0), "c"), false},
		"by another key":       {theirs.sign("ED", content, "c"), false},
		"by a key with its id": {sameID.sign("ED", content, "c"), false},
		"its comment changed":  {strings.Replace(good, "timestamp:1", "timestamp:2", 1), false},
		"no trusted comment":   {strings.Join(strings.Split(good, "\n")[:2], "\n"), false},
		"truncated":            {good[:len(good)-20], false},
		"another algorithm":    {ours.sign("EX", content, "c"), false},
		"empty":                {"", false},
		"no base64":            {"untrusted comment: x\n!\ntrusted comment: y\n!\n", false},
		"huge":                 {good + strings.Repeat("x", 10000), false},
		"a page":               {"<html>not found</html>", false},
		"missing":              {"404", false},
	} {
		for _, from := range []string{"server", "file"} {
			t.Run(name+" from a "+from, func(t *testing.T) {
				store, err := Open(t.TempDir(), Options{})
				if err != nil {
					t.Fatal(err)
				}
				ref := Ref{SHA256: digest(content), Minisign: ours.key(), URL: offer(t, from, content, tt.text)}
				err = store.Fetch(context.Background(), ref)
				_, unpacked := store.Tree(ref)
				if (err == nil) != tt.ok || (unpacked == nil) != tt.ok {
					t.Errorf("fetch: %v, unpacked: %v", err, unpacked)
				}
				if again := store.Fetch(context.Background(), ref); (again == nil) != tt.ok {
					t.Errorf("the second time: %v", again)
				}
			})
		}
	}
}

// TestSignatureOfWhatIsThere is that what was fetched without a signature is not
// taken for signed.
func TestSignatureOfWhatIsThere(t *testing.T) {
	ours, content := newSigner(t, "12345678"), tgz(t, tar.Header{Name: "a", Size: 100})
	store, err := Open(t.TempDir(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	ref := Ref{SHA256: digest(content), URL: offer(t, "file", content, newSigner(t, "12345678").sign("ED", content, "c"))}
	if err := store.Fetch(context.Background(), ref); err != nil {
		t.Fatal(err)
	}
	ref.Minisign = ours.key()
	if err := store.Fetch(context.Background(), ref); !errors.Is(err, ErrSignature) {
		t.Errorf("got %v", err)
	}
}

// offer puts an artifact and its signature somewhere.
func offer(t *testing.T, from string, content []byte, signature string) string {
	t.Helper()
	if from == "file" {
		path := filepath.Join(t.TempDir(), "a.tar.gz")
		err := os.WriteFile(path, content, 0o644)
		if signature != "404" {
			err = errors.Join(err, os.WriteFile(path+".minisig", []byte(signature), 0o644))
		}
		if err != nil {
			t.Fatal(err)
		}
		return "file://" + path
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/a.tar.gz":
			_, _ = w.Write(content)
		case signature == "404":
			http.NotFound(w, r)
		default:
			_, _ = w.Write([]byte(signature))
		}
	}))
	t.Cleanup(server.Close)
	return server.URL + "/a.tar.gz"
}
